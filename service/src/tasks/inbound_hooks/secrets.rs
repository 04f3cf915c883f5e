//! The secrets that senders sign with: made or taken, sealed, opened to check a signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use entity::tasks::inbound_hook::{HookScheme, Model};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::signatures;
use crate::core::Core;
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::secrets::Place;

const BYTES: usize = 32;

/// A secret for a hook.
pub struct NewSecret {
    pub value: SecretString,
    /// It was made here, so its owner has to be told.
    is_made: bool,
}

impl NewSecret {
    /// What the answer shows.
    pub fn shown(self) -> Option<String> {
        self.is_made.then(|| self.value.expose_secret().to_owned())
    }
}

/// The secret that was given, or a new one where the scheme lets receivers make it.
///
/// # Errors
/// [`Error::Invalid`] at `/secret`.
pub fn new(ctx: &Ctx, scheme: HookScheme, given: Option<String>) -> Result<Option<NewSecret>> {
    let refused = |code, message: &str| Err(Error::invalid("/secret", code, message));
    match (scheme, given) {
        (HookScheme::None, None) => Ok(None),
        (HookScheme::None, Some(_)) => refused("unsupported", "Nothing is signed: there is no secret."),
        (_, Some(secret)) => {
            if signatures::key(scheme, &secret).is_none() {
                return refused("secret", "The secret is whsec_ and base64.");
            }
            Ok(Some(NewSecret { value: SecretString::from(secret), is_made: false }))
        }
        (HookScheme::Stripe | HookScheme::Slack, None) => {
            refused("required", "The sender makes the secret: copy it from there.")
        }
        (HookScheme::StandardWebhooks | HookScheme::Github | HookScheme::Hmac, None) => {
            let encoded = {
                let mut bytes = [0; BYTES];
                ctx.core.ids.fill(&mut bytes);
                STANDARD.encode(bytes)
            };
            let value = match scheme {
                HookScheme::StandardWebhooks => format!("whsec_{encoded}"),
                _ => encoded,
            };
            Ok(Some(NewSecret { value: SecretString::from(value), is_made: true }))
        }
    }
}

fn place(tenant: Uuid, row: Uuid) -> Place {
    Place { tenant, table: "inbound_hook", column: "secret", row }
}

fn previous_place(tenant: Uuid, row: Uuid) -> Place {
    Place { tenant, table: "inbound_hook", column: "previous_secret", row }
}

pub fn seal(ctx: &Ctx, hook: Uuid, secret: Option<&str>) -> Result<Option<Vec<u8>>> {
    secret.map(|secret| ctx.core.keys.seal(&place(ctx.tenant, hook), secret.as_bytes())).transpose()
}

/// The secret of now, as it is stored while it is the one before.
pub fn seal_previous(core: &Core, hook: &Model) -> Result<Option<Vec<u8>>> {
    let Some(sealed) = &hook.secret else { return Ok(None) };
    let secret = core.keys.open(&place(hook.tenant_id, hook.id), sealed)?;
    core.keys.seal(&previous_place(hook.tenant_id, hook.id), secret.expose_secret()).map(Some)
}

/// The keys that a signature may be made with now.
pub fn keys(core: &Core, hook: &Model, now: DateTime<Utc>) -> Result<Vec<Vec<u8>>> {
    let current = hook.secret.as_ref().map(|sealed| (place(hook.tenant_id, hook.id), sealed));
    let before =
        hook.previous_secret.as_ref().filter(|_| hook.previous_secret_until.is_some_and(|at| at > now));
    let before = before.map(|sealed| (previous_place(hook.tenant_id, hook.id), sealed));
    let mut keys = Vec::new();
    for (place, sealed) in current.into_iter().chain(before) {
        let secret = core.keys.open_text(&place, sealed)?;
        keys.extend(signatures::key(hook.scheme, secret.expose_secret()));
    }
    Ok(keys)
}
