//! `/v1/auth` and `/v1/me`: what is proved by reading a mail. Like signing in, these hand out or take
//! secrets and honour no `Idempotency-Key` where nobody is signed in.

use actix_web::{HttpRequest, post};
use service::identity::second_factors::ChallengeView;
use service::identity::sessions::TokensView;
use service::identity::verification_tokens::{
    self, ConfirmEmailChange, RequestEmailChange, RequestMagicLink, RequestPasswordReset, ResetPassword,
    SignInByMagicLink, VerifyEmail,
};
use utoipa_actix_web::service_config::ServiceConfig;

use super::sessions::{device, signed_in};
use crate::answer::{self, Answer};
use crate::extract::{Authenticated, Json, Public};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(request_password_reset)
        .service(reset_password)
        .service(request_magic_link)
        .service(sign_in_by_magic_link)
        .service(verify_email)
        .service(confirm_email_change)
        .service(request_email_verification)
        .service(request_email_change);
}

/// Ask for a new password
///
/// Sends a mail with a token of 30 minutes to the address, if an account has it: the answer does not
/// tell. At most five an hour are sent to one address. Open to everybody.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "request_password_reset",
    security(()),
    request_body(content = RequestPasswordReset, example = json!({"email": "ada@example.org"})),
    responses((status = 202, description = "If an account has the address, a mail is on its way.")),
)]
#[post("/v1/auth/forgot-password")]
async fn request_password_reset(public: Public, Json(request): Json<RequestPasswordReset>) -> Answer {
    public.run(async move |core, _| verification_tokens::request_reset(&core, request).await).await?;
    answer::noted()
}

/// Choose a new password
///
/// With the token of the mail, once. It also verifies the address and ends every session. Of several
/// uses at once one succeeds. Open to everybody who reads the mail.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "reset_password",
    security(()),
    request_body(content = ResetPassword, example = json!({"token": "mc_vt_…", "password": "correct horse battery"})),
    responses((status = 204, description = "The password is set: sign in.")),
)]
#[post("/v1/auth/reset-password")]
async fn reset_password(public: Public, Json(reset): Json<ResetPassword>) -> Answer {
    public.run(async move |core, info| verification_tokens::reset(&core, reset, &info).await).await?;
    answer::no_content()
}

/// Ask for a link to sign in
///
/// Sends a mail with a token of 15 minutes to the address, if an account has it: the answer does not
/// tell. At most five an hour are sent to one address. Open to everybody.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "request_magic_link",
    security(()),
    request_body(content = RequestMagicLink, example = json!({"email": "ada@example.org"})),
    responses((status = 202, description = "If an account has the address, a mail is on its way.")),
)]
#[post("/v1/auth/magic-link")]
async fn request_magic_link(public: Public, Json(request): Json<RequestMagicLink>) -> Answer {
    public.run(async move |core, _| verification_tokens::request_magic_link(&core, request).await).await?;
    answer::noted()
}

/// Sign in by a link
///
/// Opens a session with the token of the mail, once; who has a second factor gets a challenge instead,
/// with 202, because reading a mail does not replace it. Of several uses at once one succeeds. Open to
/// everybody who reads the mail.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "sign_in_by_magic_link",
    security(()),
    request_body(content = SignInByMagicLink, example = json!({"token": "mc_vt_…"})),
    responses(
        (status = 200, description = "Signed in.", body = TokensView),
        (status = 202, description = "The second factor is asked for.", body = ChallengeView),
    ),
)]
#[post("/v1/auth/magic-link/sign-in")]
async fn sign_in_by_magic_link(
    public: Public,
    request: HttpRequest,
    Json(sign_in): Json<SignInByMagicLink>,
) -> Answer {
    let device = device(&request);
    let done =
        public.run(async move |core, info| verification_tokens::sign_in(&core, sign_in, device, &info).await);
    signed_in(done.await?)
}

/// Verify an address
///
/// With the token of the mail, once, and with a password of one's own: whoever made the account may
/// know the one it has. It ends every session. Open to everybody who reads the mail.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "verify_email",
    security(()),
    request_body(content = VerifyEmail, example = json!({"token": "mc_vt_…", "password": "correct horse battery"})),
    responses((status = 204, description = "The address is verified and the password set: sign in.")),
)]
#[post("/v1/auth/verify-email")]
async fn verify_email(public: Public, Json(verify): Json<VerifyEmail>) -> Answer {
    public.run(async move |core, info| verification_tokens::verify(&core, verify, &info).await).await?;
    answer::no_content()
}

/// Confirm a new address
///
/// The account gets the address that the mail was sent to, and the old address is told. Open to
/// everybody who reads the mail.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "confirm_email_change",
    security(()),
    request_body(content = ConfirmEmailChange, example = json!({"token": "mc_vt_…"})),
    responses((status = 204, description = "The account has the new address.")),
)]
#[post("/v1/auth/change-email")]
async fn confirm_email_change(public: Public, Json(confirm): Json<ConfirmEmailChange>) -> Answer {
    public
        .run(async move |core, info| verification_tokens::confirm_change(&core, confirm, &info).await)
        .await?;
    answer::no_content()
}

/// Ask for the verification of my address
///
/// Sends a mail with a token of 24 hours, unless the address is verified already. Every signed-in person
/// may; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "request_email_verification",
    responses((status = 202, description = "A mail is on its way, if one is needed.")),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/verify-email")]
async fn request_email_verification(caller: Authenticated) -> Answer {
    caller.run(async move |ctx, _| verification_tokens::request_verification(&ctx).await).await?;
    answer::noted()
}

/// Ask for another address
///
/// Sends a mail with a token of 24 hours to the new address; nothing changes before it is used. Whether
/// an account has that address already is told to nobody but its reader. It takes my password or, without
/// one, a sign-in of the last ten minutes. Every signed-in person with a verified address may; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "request_email_change",
    request_body(content = RequestEmailChange, example = json!({"email": "ada@example.com", "password": "correct horse battery"})),
    responses((status = 202, description = "A mail to the new address is on its way.")),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/change-email")]
async fn request_email_change(caller: Authenticated, Json(request): Json<RequestEmailChange>) -> Answer {
    caller.run(async move |ctx, _| verification_tokens::request_change(&ctx, request).await).await?;
    answer::noted()
}
