//! From where an account signed in before, as the sessions tell: it outlasts a restart, and every node knows it.

use std::net::IpAddr;

use uuid::Uuid;

use super::rotation::LIFETIME;
use super::throttle::network;
use crate::core::Core;
use crate::db::Reason;
use crate::error::Result;

/// The newest of the account's sessions that are looked at; more live ones nobody has.
const ADDRESSES: &str = "SELECT s.ip FROM session s JOIN app_user u ON u.id = s.user_id \
     WHERE (u.id = $1 OR u.email = $2) AND s.ip IS NOT NULL AND s.created_at > $3 \
     ORDER BY s.created_at DESC LIMIT 100";

/// Whom a guess is about.
pub enum Account<'a> {
    Email(&'a str),
    Id(Uuid),
}

/// Whether the account opened a session from this network within the life of one. An address that is not known
/// is nowhere.
pub async fn is_familiar(core: &Core, account: Account<'_>, ip: Option<IpAddr>) -> Result<bool> {
    let Some(ip) = ip else { return Ok(false) };
    let (id, email) = match account {
        Account::Email(email) => (Uuid::nil(), email),
        Account::Id(id) => (id, ""),
    };
    let values = vec![id.into(), email.into(), (core.clock.now() - LIFETIME).into()];
    let rows = core.db.system(Reason::SignIn).query(ADDRESSES, values).await?;
    let here = network(ip);
    for row in rows {
        let known: String = row.try_get("", "ip")?;
        if known.parse().is_ok_and(|known| network(known) == here) {
            return Ok(true);
        }
    }
    Ok(false)
}
