//! Short-lived tokens for front-ends, narrower than the credential that makes them: one run, to follow it
//! and perhaps to cancel it or to answer its questions.
//!
//! Invariant: a token dies with the credential that made it, and makes no other one. It is not stored.

use chrono::{DateTime, TimeDelta, Utc};
use entity::identity::api_key;
use entity::tasks::task_run;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::auth::access_tokens::{ClientGrant, Parent};
use crate::auth::principal::client_token_limited;
use crate::crud::Once;
use crate::ctx::{Actor, Ctx};
use crate::error::{Error, FieldError, Result};
use crate::governance::audit_logs::Change;

/// What a token may be given.
const SCOPES: [&str; 3] = ["task-runs:read", "task-runs:cancel", "task-runs:answer"];
const DEFAULT_SECONDS: i64 = 300;

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateToken {
    /// The run that the token is for; any other is as if it were missing.
    pub run_id: Uuid,
    /// `task-runs:read` to read the run, its steps and its events, `task-runs:cancel` to cancel it,
    /// `task-runs:answer` to answer its questions; those that you have yourself.
    #[serde(default = "read_only")]
    #[validate(length(min = 1, max = 3))]
    #[schema(min_items = 1, max_items = 3, default = json!(["task-runs:read"]), example = json!(["task-runs:read"]))]
    pub scopes: Vec<String>,
    /// For how long it works; no longer than the key that makes it.
    #[serde(default)]
    #[validate(range(min = 60, max = 900))]
    #[schema(minimum = 60, maximum = 900, default = 300)]
    pub expires_in_seconds: Option<i64>,
}

fn read_only() -> Vec<String> {
    vec![SCOPES[0].to_owned()]
}

/// A client token. It is shown here only.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenView {
    /// For `Authorization: Bearer`.
    #[schema(example = "eyJ0eXAiOiJjbGllbnQrand0…")]
    pub token: String,
    #[schema(example = "Bearer")]
    pub token_type: String,
    /// Seconds.
    pub expires_in: i64,
    pub expires_at: DateTime<Utc>,
    pub run_id: Uuid,
    pub scopes: Vec<String>,
}

/// # Errors
/// 403 `client_token_limited` for a client token; 422 for a run that there is not, and at each scope that
/// is not for tokens or that the caller does not hold.
pub async fn create(ctx: &Ctx, create: CreateToken) -> Result<TokenView> {
    if let Some(done) = ctx.replay().await? {
        return Ok(done);
    }
    let CreateToken { run_id, mut scopes, expires_in_seconds } = create;
    let (parent, user) = parent(ctx)?;
    check_scopes(ctx, &scopes)?;
    scopes.sort();
    scopes.dedup();
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    let missing = || Error::invalid("/runId", "not_found", "There is no such task run.");
    let run = tx.get::<task_run::Entity>(run_id).await?.ok_or_else(missing)?;
    let now = ctx.core.clock.now();
    let mut expires_at = now + TimeDelta::seconds(expires_in_seconds.unwrap_or(DEFAULT_SECONDS));
    if let Parent::Key(id) = parent
        && let Some(end) = tx.get::<api_key::Entity>(id).await?.and_then(|key| key.expires_at)
    {
        expires_at = expires_at.min(end);
    }
    let id = ctx.core.ids.next();
    let grant =
        ClientGrant { id, user, tenant: ctx.tenant, parent, run: run_id, scopes: scopes.clone(), expires_at };
    let view = TokenView {
        token: ctx.core.access_tokens.issue_client(&grant, now)?,
        token_type: "Bearer".to_owned(),
        expires_in: (expires_at - now).num_seconds(),
        expires_at,
        run_id,
        scopes,
    };
    let limits = json!({ "runId": run_id, "scopes": view.scopes, "expiresAt": expires_at });
    let change = Change::to("client token", id).within(run.workspace_id).with(limits);
    tx.finish(change, &view).await?;
    Ok(view)
}

/// The credential behind the call, and the person behind that.
fn parent(ctx: &Ctx) -> Result<(Parent, Uuid)> {
    match (ctx.actor, ctx.session) {
        (Actor::ApiKey { id, created_by }, _) => Ok((Parent::Key(id), created_by)),
        (Actor::User { id }, Some(session)) => Ok((Parent::Session(session), id)),
        _ => Err(client_token_limited()),
    }
}

fn check_scopes(ctx: &Ctx, scopes: &[String]) -> Result<()> {
    let others = scopes.iter().enumerate().filter(|(_, scope)| !SCOPES.contains(&scope.as_str()));
    let error = |(index, _)| {
        let message = format!("A client token is for {}.", SCOPES.join(", "));
        FieldError::new(format!("/scopes/{index}"), "not_for_tokens", message)
    };
    let errors: Vec<_> = others.map(error).collect();
    if !errors.is_empty() {
        return Err(Error::Invalid { errors });
    }
    ctx.rights.grant(scopes).map(|_| ())
}
