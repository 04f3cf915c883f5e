//! Links that decide one approval without signing in, for mails and chats.
//!
//! Invariants: a link is signed and not stored; it names a person and one approval, does what that person may do at
//! the time, and ends with the approval: the first decision uses it up, whoever made it. Reading it decides nothing,
//! because mail scanners read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use entity::tasks::approval::{self, ApprovalStatus};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;
use utoipa::ToSchema;
use uuid::Uuid;

use super::approvals::{self, ApprovalView, DecideApproval};
use crate::auth::permissions::approvals::Decide;
use crate::auth::principal::{self, RequestInfo};
use crate::core::Core;
use crate::crud::Once;
use crate::ctx::{Actor, Ctx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;

const PURPOSE: &str = "approval links";
const IDS: usize = 48;
const TAG: usize = 16;

/// A link that decides an approval.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalLinkView {
    pub approval_id: Uuid,
    /// Whoever has it may decide this approval in your name: treat it as a secret.
    #[schema(example = "https://example.com/v1/approval-links/…")]
    pub url: String,
    /// With the approval.
    pub expires_at: DateTime<Utc>,
}

/// Makes a link for the person who asks.
///
/// # Errors
/// 403 `person_only` for a key; 409 `already_decided`.
pub async fn create(ctx: &Ctx, id: Uuid) -> Result<ApprovalLinkView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let asked = ctx.db().get::<approval::Entity>(id).await?.ok_or(Error::not_found("approval"))?;
    let Actor::User { id: person } = ctx.actor else {
        return Err(Error::denied("person_only", "A link decides in the name of a person who is signed in."));
    };
    if asked.status != ApprovalStatus::Pending || asked.expires_at <= ctx.core.clock.now() {
        return Err(closed());
    }
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    let url = url(&ctx.core, ctx.tenant, id, person)?;
    let view = ApprovalLinkView { approval_id: id, url, expires_at: asked.expires_at };
    let change =
        Change::of::<approval::Entity>(id).with(json!({ "link": true, "expiresAt": asked.expires_at }));
    tx.finish(change, &view).await?;
    Ok(view)
}

/// Where this person decides the approval.
pub fn url(core: &Core, tenant: Uuid, approval: Uuid, person: Uuid) -> Result<String> {
    let link = Link { tenant, approval, person };
    let base = core.config.public_url.as_str().trim_end_matches('/').to_owned();
    Ok(format!("{base}/v1/approval-links/{}", link.seal(core)?))
}

/// The question behind a link, for who decides.
///
/// # Errors
/// 404 for a link that is malformed, of somebody who may not decide any more, or of an approval that is gone.
pub async fn read(core: &Core, request: &RequestInfo, token: &str) -> Result<ApprovalView> {
    let (ctx, id) = open(core, request, token).await?;
    approvals::get(&ctx, id).await.map_err(hidden)
}

/// Decides the approval in the name of the link's person.
///
/// # Errors
/// As [`read`]; 409 `already_decided` for all decisions but the first.
pub async fn decide(
    core: &Core,
    request: &RequestInfo,
    token: &str,
    body: DecideApproval,
) -> Result<ApprovalView> {
    let (ctx, id) = open(core, request, token).await?;
    approvals::decide(&ctx, id, body).await.map_err(hidden)
}

/// What the link's person may not see is as if it were missing.
fn hidden(error: Error) -> Error {
    match error {
        Error::Forbidden { .. } | Error::Denied { .. } => unknown(),
        other => other,
    }
}

async fn open(core: &Core, request: &RequestInfo, token: &str) -> Result<(Ctx, Uuid)> {
    let link = Link::open(core, token)?.ok_or_else(unknown)?;
    let person = principal::of_member(core, link.person, link.tenant).await?.ok_or_else(unknown)?;
    let ctx = person.authorize::<Decide>(core, request).map_err(hidden)?;
    Ok((ctx, link.approval))
}

fn unknown() -> Error {
    Error::not_found("approval link")
}

fn closed() -> Error {
    Error::conflict("already_decided", "The approval is decided, expired or cancelled.")
}

struct Link {
    tenant: Uuid,
    approval: Uuid,
    person: Uuid,
}

impl Link {
    fn seal(&self, core: &Core) -> Result<String> {
        let keys = core.keys.derive(PURPOSE)?;
        let key = keys.first().ok_or_else(|| Error::internal("no key for approval links"))?;
        let mut bytes = [self.tenant, self.approval, self.person].map(Uuid::into_bytes).concat();
        let tag = tag(key.expose_secret(), &bytes)?;
        bytes.extend_from_slice(&tag);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// `None` for one that is not ours. One that was made before a rotation of the master key still works.
    fn open(core: &Core, text: &str) -> Result<Option<Self>> {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else { return Ok(None) };
        let Some((ids, given)) = bytes.split_at_checked(IDS).filter(|(_, given)| given.len() == TAG) else {
            return Ok(None);
        };
        let mut is_ours = false;
        for key in core.keys.derive(PURPOSE)? {
            let tag = tag(key.expose_secret(), ids)?;
            is_ours |= bool::from(subtle::ConstantTimeEq::ct_eq(given, tag.as_slice()));
        }
        let id = |at: usize| ids.get(at..at + 16).and_then(|bytes| Uuid::from_slice(bytes).ok());
        let ids = id(0).zip(id(16)).zip(id(32)).filter(|_| is_ours);
        Ok(ids.map(|((tenant, approval), person)| Self { tenant, approval, person }))
    }
}

fn tag(key: &[u8], ids: &[u8]) -> Result<[u8; TAG]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(Error::internal)?;
    mac.update(ids);
    let mut tag = [0; TAG];
    tag.copy_from_slice(&mac.finalize().into_bytes()[..TAG]);
    Ok(tag)
}
