//! Signing in by a link instead of a password.

use entity::identity::verification_token::Purpose;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::{require_known, send_to};
use crate::auth::opaque::VERIFICATION_TOKEN;
use crate::auth::principal::RequestInfo;
use crate::core::Core;
use crate::db::Reason;
use crate::error::Result;
use crate::identity::sessions::{self, SignedIn};
use crate::identity::users;

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestMagicLink {
    /// In any case.
    #[validate(length(min = 1, max = 254))]
    #[schema(min_length = 1, max_length = 254, example = "ada@example.org")]
    pub email: String,
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignInByMagicLink {
    /// From the mail.
    #[schema(value_type = String, example = "mc_vt_…")]
    pub token: SecretString,
    /// The tenant to act in, as when signing in with a password.
    #[serde(default)]
    pub tenant_id: Option<Uuid>,
}

pub async fn request(core: &Core, request: RequestMagicLink) -> Result<()> {
    send_to(core, &request.email, Purpose::MagicLink).await
}

/// Opens a session, or asks for the second factor: reading somebody's mail does not replace it. It does not verify the address: a password that somebody else chose would outlive
/// the proof.
///
/// # Errors
/// 401 `invalid_verification_token`; 403 as for a password, which leaves the token usable.
pub async fn sign_in(
    core: &Core,
    sign_in: SignInByMagicLink,
    device: Option<String>,
    request: &RequestInfo,
) -> Result<SignedIn> {
    let SignInByMagicLink { token, tenant_id } = sign_in;
    let (hash, user) = require_known(core, &token, Purpose::MagicLink).await?;
    let user = users::by_id(core.db.system(Reason::SignIn).connection(), user).await?;
    let user = user.filter(|user| user.is_active).ok_or_else(|| VERIFICATION_TOKEN.invalid())?;
    sessions::go_on(core, &user, Some(&hash), tenant_id, device, request).await
}
