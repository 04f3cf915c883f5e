//! What the invited person does, by the token of the mail. They may be new to the platform, or have an
//! account: then they join with it, and its password stays.

use entity::identity::app_user::{self, PlatformRole};
use entity::identity::membership::{self, Column, MembershipStatus, Role};
use entity::identity::team_invite::{Entity, InviteStatus, Model};
use entity::identity::tenant;
use sea_orm::{ActiveEnum as _, ColumnTrait as _, EntityTrait as _, FromQueryResult as _, QueryFilter as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::auth::opaque::INVITE_TOKEN;
use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::db::{Reason, SystemTx, Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::{Change, Entry, append};
use crate::identity::sessions::rotation;
use crate::identity::tenant_limits::{self, Quota};
use crate::identity::users::{self, NewUser, Vouched};
use crate::identity::{memberships, team_members, verification_tokens};

const FIND: &str =
    "SELECT * FROM team_invite WHERE token_hash = $1 AND status = 'PENDING' AND expires_at > $2";
const FIND_FOR: &str = "SELECT * FROM team_invite WHERE email = $1 AND status = 'PENDING' AND expires_at > $2
    ORDER BY created_at, id LIMIT 10";
const ANSWER: &str = "UPDATE team_invite SET status = $3, accepted_by = $4, updated_at = $2,
    revision = revision + 1 WHERE token_hash = $1 AND status = 'PENDING' AND expires_at > $2 RETURNING *";
const JOIN: &str = "UPDATE membership SET status = 'ACTIVE', role = $3, updated_at = $4,
    revision = revision + 1 WHERE tenant_id = $1 AND user_id = $2 AND status = 'INVITED'";

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InviteToken {
    /// From the mail.
    #[schema(value_type = String, example = "mc_in_…")]
    pub token: SecretString,
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptInvite {
    /// From the mail.
    #[schema(value_type = String, example = "mc_in_…")]
    pub token: SecretString,
    /// For who has no account.
    #[serde(default)]
    #[validate(length(min = 1, max = 120))]
    #[schema(min_length = 1, max_length = 120, example = "Grace Hopper")]
    pub name: Option<String>,
    /// A new account's, when the invitation says `needsPassword`.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, min_length = 12, max_length = 128)]
    pub password: Option<SecretString>,
}

/// What an invitation offers, for who reads its mail.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InviteeView {
    pub tenant_id: Uuid,
    pub tenant_name: String,
    #[schema(example = "grace@example.org")]
    pub email: String,
    pub role: Role,
    pub status: InviteStatus,
    /// Whether accepting takes a password: nobody has proved before that the address is theirs.
    pub needs_password: bool,
}

/// # Errors
/// 401 `invalid_invite`.
pub async fn preview(core: &Core, token: &InviteToken) -> Result<InviteeView> {
    let (invite, user) = find(core, &token.token).await?;
    view(core, invite, needs_password(user.as_ref())).await
}

/// Makes the membership, and the account where there is none. Of several uses at once one wins.
///
/// # Errors
/// 401 `invalid_invite`; 403 `quota_exceeded`; 409 `already_member`, `membership_suspended`; 422 at
/// `/password`.
pub async fn accept(core: &Core, accept: AcceptInvite, request: &RequestInfo) -> Result<InviteeView> {
    let AcceptInvite { token, name, password } = accept;
    let (_, known) = find(core, &token).await?;
    let password_hash = match (password, needs_password(known.as_ref())) {
        (Some(password), true) => Some(users::hash_password(core, "/password", password).await?),
        (None, false) => None,
        (None, true) => return Err(Error::invalid("/password", "required", "Choose a password.")),
        (Some(_), false) => {
            let message = "This address has an account, which keeps its password: leave this out.";
            return Err(Error::invalid("/password", "not_needed", message));
        }
    };
    let now = core.clock.now();
    let tx = core.db.system(Reason::SignIn).begin().await?;
    let invite =
        answer(core, &tx, &token, InviteStatus::Accepted, known.as_ref().map(|user| user.id)).await?;
    let inviter = require_inviter(&tx, &invite).await?;
    let new = NewUser {
        email: invite.email.clone(),
        name,
        password_hash: password_hash.clone(),
        tenant: invite.tenant_id,
        platform_role: PlatformRole::Member,
        vouched: Vouched::ByPlatform,
    };
    let (user, is_new) = users::find_or_create(core, tx.connection(), new).await?;
    match password_hash {
        Some(hash) if !is_new && needs_password(Some(&user)) => {
            users::set_password(&tx, user.id, &hash, now).await?;
            users::set_verified(&tx, user.id, now).await?;
            verification_tokens::spend_all(core, &tx, user.id).await?;
            rotation::end_all(&tx, user.id, None, now).await?;
        }
        None if needs_password(Some(&user)) => return Err(INVITE_TOKEN.invalid()),
        _ => {}
    }
    join(core, &tx, &invite, user.id).await?;
    let teams = team_members::join_invited(core, &tx, &invite, inviter, user.id).await?;
    let joined = json!({ "status": invite.status, "userId": user.id, "workspaceIds": teams });
    let change = Change::of::<Entity>(invite.id).with(joined);
    let entry = Entry::of_person(request, invite.tenant_id, user.id, change);
    let _recorded = append(core, tx.connection(), entry).await?;
    tx.commit().await?;
    core.principals.clear();
    view(core, invite, false).await
}

/// Accepts the oldest invitation of an address for somebody new, of whom it was proved elsewhere that the
/// address is theirs. `None` when nobody with the right to do so invites them.
pub(in crate::identity) async fn accept_verified(
    core: &Core,
    tx: &SystemTx,
    email: &str,
    name: Option<&str>,
    request: &RequestInfo,
) -> Result<Option<app_user::Model>> {
    let now = core.clock.now();
    for row in tx.query(FIND_FOR, vec![email.into(), now.into()]).await? {
        let invite = Model::from_query_result(&row, "")?;
        let Ok(inviter) = require_inviter(tx, &invite).await else { continue };
        let new = NewUser {
            email: email.to_owned(),
            name: name.map(|name| name.chars().take(users::LONGEST_NAME).collect()),
            password_hash: None,
            tenant: invite.tenant_id,
            platform_role: PlatformRole::Member,
            vouched: Vouched::ByPlatform,
        };
        let (user, _) = users::find_or_create(core, tx.connection(), new).await?;
        let status = InviteStatus::Accepted.to_value().into();
        let values = vec![invite.token_hash.clone().into(), now.into(), status, user.id.into()];
        if tx.query(ANSWER, values).await?.is_empty() {
            return Err(INVITE_TOKEN.invalid());
        }
        join(core, tx, &invite, user.id).await?;
        let teams = team_members::join_invited(core, tx, &invite, inviter, user.id).await?;
        let joined = json!({ "status": InviteStatus::Accepted, "userId": user.id, "workspaceIds": teams });
        let change = Change::of::<Entity>(invite.id).with(joined);
        let entry = Entry::of_person(request, invite.tenant_id, user.id, change);
        let _recorded = append(core, tx.connection(), entry).await?;
        return Ok(Some(user));
    }
    Ok(None)
}

/// # Errors
/// 401 `invalid_invite`.
pub async fn decline(core: &Core, token: &InviteToken, request: &RequestInfo) -> Result<()> {
    let tx = core.db.system(Reason::SignIn).begin().await?;
    let invite = answer(core, &tx, &token.token, InviteStatus::Declined, None).await?;
    let change = Change::of::<Entity>(invite.id).with(json!({ "status": invite.status }));
    let entry = Entry::of_person(request, invite.tenant_id, invite.id, change);
    // Nobody is known by an account here: the invitation itself is who answers.
    let entry = Entry { user: None, actor: format!("team-invite:{}", invite.id), ..entry };
    let _recorded = append(core, tx.connection(), entry).await?;
    tx.commit().await
}

/// The pending invitation, and who has its address.
async fn find(core: &Core, token: &SecretString) -> Result<(Model, Option<app_user::Model>)> {
    let refused = || INVITE_TOKEN.invalid();
    let hash = INVITE_TOKEN.parse(token.expose_secret())?;
    let system = core.db.system(Reason::SignIn);
    let values = vec![hash.as_bytes().to_vec().into(), core.clock.now().into()];
    let rows = system.query(FIND, values).await?;
    let invite = Model::from_query_result(rows.first().ok_or_else(refused)?, "")?;
    let user = users::by_email(system.connection(), &invite.email).await?;
    if user.as_ref().is_some_and(|user| !user.is_active) {
        return Err(refused());
    }
    Ok((invite, user))
}

async fn answer(
    core: &Core,
    tx: &SystemTx,
    token: &SecretString,
    status: InviteStatus,
    user: Option<Uuid>,
) -> Result<Model> {
    let hash = INVITE_TOKEN.parse(token.expose_secret())?;
    let values =
        vec![hash.as_bytes().to_vec().into(), core.clock.now().into(), status.to_value().into(), user.into()];
    let rows = tx.query(ANSWER, values).await?;
    Ok(Model::from_query_result(rows.first().ok_or_else(|| INVITE_TOKEN.invalid())?, "")?)
}

/// An offer ends with the right of who made it.
#[expect(clippy::disallowed_methods, reason = "the invited person has no tenant yet")]
async fn require_inviter(tx: &SystemTx, invite: &Model) -> Result<Role> {
    let inviter = membership::Entity::find()
        .filter(Column::TenantId.eq(invite.tenant_id))
        .filter(Column::UserId.eq(invite.invited_by))
        .filter(Column::Status.eq(MembershipStatus::Active))
        .one(tx.connection())
        .await?;
    match inviter.filter(|inviter| inviter.role >= invite.role) {
        Some(inviter) => Ok(inviter.role),
        None => Err(INVITE_TOKEN.invalid()),
    }
}

async fn join(core: &Core, tx: &SystemTx, invite: &Model, user: Uuid) -> Result<()> {
    let role = invite.role.to_value().into();
    let values = vec![invite.tenant_id.into(), user.into(), role, core.clock.now().into()];
    if tx.execute(JOIN, values).await?.rows_affected() > 0 {
        return Ok(());
    }
    tenant_limits::admit_in(core, tx.connection(), invite.tenant_id, Quota::Members).await?;
    let taken = Error::conflict("already_member", "You belong to this tenant already.");
    let made = memberships::insert_active(core, tx.connection(), invite.tenant_id, user, invite.role).await;
    made.map_err(on_violation(Violation::Unique, taken))
}

fn needs_password(user: Option<&app_user::Model>) -> bool {
    user.is_none_or(|user| user.email_verified_at.is_none())
}

async fn view(core: &Core, invite: Model, needs_password: bool) -> Result<InviteeView> {
    let tenant = core.db.tenant(invite.tenant_id).get::<tenant::Entity>(invite.tenant_id).await?;
    let tenant = tenant.ok_or_else(|| Error::internal("an invitation without a tenant"))?;
    Ok(InviteeView {
        tenant_id: tenant.id,
        tenant_name: tenant.name,
        email: invite.email,
        role: invite.role,
        status: invite.status,
        needs_password,
    })
}
