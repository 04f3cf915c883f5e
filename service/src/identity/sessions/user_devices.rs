//! The devices that a person has signed in from, so that a new one is told of. A device is what it calls
//! itself: `User-Agent`, hashed.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::auth::opaque::Sha256Hash;
use crate::core::Core;
use crate::db::SystemTx;
use crate::error::Result;
use crate::notifications::notify::{Notice, notify};

/// Devices that are remembered of a person, the last seen.
const MOST: i64 = 50;

const SEEN: &str = "UPDATE user_device SET last_seen_at = $3 WHERE user_id = $1 AND fingerprint = $2";
const KNOWN: &str = "SELECT COUNT(*) AS known FROM user_device WHERE user_id = $1";
const ADD: &str = "INSERT INTO user_device (user_id, fingerprint, last_seen_at) VALUES ($1, $2, $3) \
     ON CONFLICT (user_id, fingerprint) DO UPDATE SET last_seen_at = $3";
const FORGET: &str = "DELETE FROM user_device WHERE user_id = $1 AND fingerprint NOT IN \
     (SELECT fingerprint FROM user_device WHERE user_id = $1 ORDER BY last_seen_at DESC LIMIT $2)";

/// Notes a sign-in, within its transaction. The first device of a person is no news.
pub(super) async fn note(
    core: &Core,
    tx: &SystemTx,
    user: Uuid,
    device: Option<&str>,
    ip: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    let fingerprint = Sha256Hash::of(device.unwrap_or_default()).as_bytes().to_vec();
    let values = || vec![user.into(), fingerprint.clone().into(), now.into()];
    if tx.execute(SEEN, values()).await?.rows_affected() > 0 {
        return Ok(());
    }
    let counted = tx.query(KNOWN, vec![user.into()]).await?;
    let known: i64 = counted.first().map(|row| row.try_get("", "known")).transpose()?.unwrap_or(0);
    tx.execute(ADD, values()).await?;
    tx.execute(FORGET, vec![user.into(), MOST.into()]).await?;
    if known == 0 {
        return Ok(());
    }
    notify(core, tx.connection(), &[user], &Notice::new_device(device, ip)).await
}
