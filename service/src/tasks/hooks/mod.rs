//! What senders post to inbound hooks. Nothing is known of who calls but the token in the URL, and then the signature.
//!
//! Invariants: a token that is unknown, deleted or malformed, and a hook that takes nothing, are one answer; a
//! delivery is accepted with its run in one transaction, and once for each id that its sender gives it.

mod delivery;
mod rates;
mod sent;

use bytes::Bytes;
use entity::identity::tenant::{self, TenantStatus};
use entity::tasks::hook_delivery::DeliveryVerdict;
use entity::tasks::inbound_hook::Model as Hook;
use entity::tasks::task_definition::{self, Model as Definition, TaskType};
use sea_orm::FromQueryResult as _;

pub(super) use delivery::{Delivered, How, deliver};
pub use rates::HookRates;
pub use sent::Sent;

use crate::auth::opaque::HOOK_TOKEN;
use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::crud::document;
use crate::db::Reason;
use crate::error::{Error, Result};
use crate::identity::workspaces;
use crate::tasks::inbound_hooks::secrets;
use crate::tasks::inbound_hooks::signatures::{Signed, verify};
use delivery::Log;

/// What the sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is durable, with this id here.
    Taken(uuid::Uuid),
    /// What the sender's handshake wants to hear.
    Challenge(String),
}

/// Takes a delivery.
///
/// # Errors
/// 404 where nothing takes it, 401 `invalid_signature`, 409 `concurrency_limit` where the definition's key refuses the
/// run, 422 for a body that cannot be read or an input that does not fit, 429 for the limits of the hook and of the
/// tenant's queue.
pub async fn receive(core: &Core, info: &RequestInfo, token: &str, sent: Sent) -> Result<Receipt> {
    let hook = find(core, token).await?;
    core.hook_rates.admit(hook.id).await?;
    let proof = proof(core, &hook, &sent)?;
    let state = state(core, &hook).await;
    let log = Log { core, hook: &hook, sent: &sent };
    if let Err(unproved) = proof {
        log.unproved(unproved).await?;
        return Err(match state {
            Ok(_) => Error::unauthenticated("invalid_signature", unproved.message()),
            Err(error) => closed(error),
        });
    }
    let definition = match state {
        Ok(definition) => definition,
        Err(error @ (Error::Internal(_) | Error::Unavailable { .. })) => return Err(error),
        Err(error) => {
            log.refused(DeliveryVerdict::Refused, &error).await?;
            return Err(closed(error));
        }
    };
    let body = match sent.read() {
        Ok(body) => body,
        Err(error) => {
            log.refused(DeliveryVerdict::Malformed, &error).await?;
            return Err(error);
        }
    };
    if let Some(challenge) = sent::challenge(hook.scheme, &body) {
        log.note(DeliveryVerdict::Challenge, &body).await?;
        return Ok(Receipt::Challenge(challenge));
    }
    let how = How { request_id: info.request_id.clone(), replay: None };
    let delivered = match deliver(core, &hook, &definition, &sent, &body, how).await {
        Ok(delivered) => delivered,
        Err(error @ (Error::Internal(_) | Error::Unavailable { .. })) => return Err(error),
        Err(error) => {
            log.refused(DeliveryVerdict::Refused, &error).await?;
            return Err(match error {
                Error::Invalid { .. }
                | Error::RateLimited { .. }
                | Error::Conflict { code: "concurrency_limit", .. } => error,
                other => closed(other),
            });
        }
    };
    match delivered {
        Delivered::Done(delivery) => Ok(Receipt::Taken(delivery.id)),
        Delivered::Ignored => Ok(Receipt::Taken(log.note(DeliveryVerdict::Ignored, &body).await?)),
        Delivered::Before(first) => {
            log.note(DeliveryVerdict::Duplicate, &body).await?;
            Ok(Receipt::Taken(first))
        }
    }
}

/// The one answer of what takes nothing, whatever the reason: that is the tenant's business.
fn closed(error: Error) -> Error {
    match error {
        Error::Internal(_) | Error::Unavailable { .. } => error,
        _ => Error::not_found("hook"),
    }
}

async fn find(core: &Core, token: &str) -> Result<Hook> {
    let unknown = || Error::not_found("hook");
    let hash = HOOK_TOKEN.parse(token).map_err(|_| unknown())?;
    let sql = "SELECT * FROM inbound_hook WHERE deleted_at IS NULL \
         AND (token_hash = $1 OR (previous_token_hash = $1 AND previous_token_until > $2))";
    let values = vec![hash.as_bytes().to_vec().into(), core.clock.now().into()];
    let rows = core.db.system(Reason::SignIn).query(sql, values).await?;
    let hook = rows.first().map(|row| Hook::from_query_result(row, "")).transpose()?.ok_or_else(unknown)?;
    let known = [Some(&hook.token_hash), hook.previous_token_hash.as_ref()];
    let is_known = known.into_iter().flatten().any(|stored| hash.matches(stored));
    if is_known { Ok(hook) } else { Err(unknown()) }
}

fn proof(
    core: &Core,
    hook: &Hook,
    sent: &Sent,
) -> Result<Result<(), crate::tasks::inbound_hooks::signatures::Unproved>> {
    let now = core.clock.now();
    let keys = secrets::keys(core, hook, now)?;
    let header = |name: &str| sent.header(name);
    let signed = Signed { header: &header, body: &sent.body, now };
    Ok(verify(hook.scheme, &document::read(hook.config.clone()), &keys, &signed))
}

/// The definition, where everything around the hook takes deliveries.
pub(super) async fn state(core: &Core, hook: &Hook) -> Result<Definition> {
    if !hook.is_active {
        return Err(Error::conflict("hook_inactive", "The hook is not active."));
    }
    let db = core.db.tenant(hook.tenant_id);
    let tenant = db.get::<tenant::Entity>(hook.tenant_id).await?;
    if tenant.is_none_or(|tenant| tenant.status != TenantStatus::Active) {
        return Err(Error::denied("tenant_suspended", "The tenant is not active."));
    }
    let definition = db.get::<task_definition::Entity>(hook.definition_id).await?;
    let definition = definition.filter(|definition| definition.deleted_at.is_none());
    let Some(definition) = definition else {
        return Err(Error::conflict("target_gone", "The hook's task definition was deleted."));
    };
    if definition.kind != TaskType::Webhook {
        return Err(Error::conflict(
            "target_gone",
            "The hook's task definition is not of type WEBHOOK any more.",
        ));
    }
    if !definition.is_active {
        return Err(Error::conflict("definition_inactive", "The task definition is not active."));
    }
    workspaces::require_open_in(&db, definition.workspace_id).await?;
    Ok(definition)
}

/// Bytes of a delivery: the server reads no more.
pub const MOST_BYTES: usize = 1 << 20;

/// A delivery of an earlier time, as it came then.
pub(super) fn again(headers: &serde_json::Value, content_type: Option<&str>, body: &[u8]) -> Sent {
    let kept = headers.as_object().into_iter().flatten();
    let kept = kept.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let kind = content_type.map(|kind| ("content-type".to_owned(), kind.to_owned()));
    Sent::new(kind.into_iter().chain(kept), Bytes::copy_from_slice(body))
}
