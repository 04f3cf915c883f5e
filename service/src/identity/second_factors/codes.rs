//! Reading a code, using it up, and making recovery codes: ten of 80 random bits, stored as SHA-256.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use data_encoding::BASE32_NOPAD;
use entity::identity::recovery_code;
use entity::identity::second_factor::Model;
use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::place;
use crate::auth::opaque::Sha256Hash;
use crate::auth::totp;
use crate::core::Core;
use crate::db::SystemTx;
use crate::error::Result;
use crate::identity::sessions::familiar::{Account, is_familiar};

const RECOVERY_CODES: usize = 10;
const RECOVERY_BYTES: usize = 10;
const RECOVERY_CHARS: usize = 16;

const SPEND_STEP: &str = "UPDATE second_factor SET last_step = $2, updated_at = $3
    WHERE id = $1 AND last_step < $2 AND confirmed_at IS NOT NULL";
const SPEND_RECOVERY: &str =
    "UPDATE recovery_code SET used_at = $3 WHERE user_id = $1 AND hash = $2 AND used_at IS NULL";
const FORGET: &str = "DELETE FROM recovery_code WHERE user_id = $1";

/// A code that may be one of the person's; [`spend`] knows.
pub(super) enum Code {
    Step(i64),
    Recovery(Sha256Hash),
}

/// Looks at a code. Six digits can be guessed, so they are counted for each account and address; what
/// strangers try does not count where the person signed in before, and recovery codes are too long to be
/// guessed: the owner is never locked out.
///
/// # Errors
/// 429 `sign_in_attempts`.
pub(super) async fn guess(
    core: &Core,
    factor: &Model,
    given: &SecretString,
    ip: Option<IpAddr>,
) -> Result<Option<Code>> {
    let plain = plain(given);
    if plain.expose_secret().len() == RECOVERY_CHARS {
        return Ok(Some(Code::Recovery(Sha256Hash::of(plain.expose_secret()))));
    }
    let digits = totp::DIGITS as usize;
    if plain.expose_secret().len() != digits || !plain.expose_secret().bytes().all(|c| c.is_ascii_digit()) {
        return Ok(None);
    }
    let familiar = is_familiar(core, Account::Id(factor.id), ip);
    let attempt = core.second_factors.attempt(&factor.id.to_string(), ip, familiar).await?;
    let secret = core.keys.open(&place(factor.id), &factor.sealed)?;
    let now = core.clock.now();
    let found = totp::find(secret.expose_secret(), plain.expose_secret(), now, factor.last_step)?;
    if found.is_some() {
        attempt.succeeded().await;
    }
    Ok(found.map(Code::Step))
}

/// Uses the code up. `false` when it is none of the person's, or was used before.
pub(super) async fn spend(tx: &SystemTx, user: Uuid, code: &Code, now: DateTime<Utc>) -> Result<bool> {
    let spent = match code {
        Code::Step(step) => tx.execute(SPEND_STEP, vec![user.into(), (*step).into(), now.into()]).await?,
        Code::Recovery(hash) => {
            let hash = hash.as_bytes().to_vec();
            tx.execute(SPEND_RECOVERY, vec![user.into(), hash.into(), now.into()]).await?
        }
    };
    Ok(spent.rows_affected() == 1)
}

/// New recovery codes in the place of all old ones.
pub(super) async fn renew(core: &Core, tx: &SystemTx, user: Uuid) -> Result<Vec<String>> {
    tx.execute(FORGET, vec![user.into()]).await?;
    let mut codes = Vec::with_capacity(RECOVERY_CODES);
    for _ in 0..RECOVERY_CODES {
        let mut random = zeroize::Zeroizing::new([0; RECOVERY_BYTES]);
        core.ids.fill(random.as_mut());
        let code = BASE32_NOPAD.encode(random.as_ref());
        let row = recovery_code::Model {
            user_id: user,
            hash: Sha256Hash::of(&code).as_bytes().to_vec(),
            created_at: core.clock.now(),
            used_at: None,
        };
        row.into_active_model().reset_all().insert(tx.connection()).await?;
        codes.push([&code[..4], &code[4..8], &code[8..12], &code[12..]].join("-"));
    }
    Ok(codes)
}

/// As people copy it: in any case, with blanks and hyphens where they like.
fn plain(given: &SecretString) -> SecretString {
    let kept = given.expose_secret().chars().filter(|c| !c.is_whitespace() && *c != '-');
    SecretString::from(kept.flat_map(char::to_uppercase).collect::<String>())
}
