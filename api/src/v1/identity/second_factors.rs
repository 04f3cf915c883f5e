//! `/v1/me/second-factor` and the second call of a sign-in, which takes no `Idempotency-Key`.

use actix_web::{HttpRequest, get, post};
use service::identity::second_factors::{
    self, CompleteSignIn, ConfirmSecondFactor, DisableSecondFactor, EnrolSecondFactor, NewRecoveryCodes,
    RecoveryCodesView, SecondFactorSecretView, SecondFactorView,
};
use service::identity::sessions::TokensView;
use utoipa_actix_web::service_config::ServiceConfig;

use super::sessions::device;
use crate::answer::{self, Answer};
use crate::error::Problem;
use crate::extract::{Authenticated, Json, OptionalJson, Public};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(complete_sign_in)
        .service(get_my_second_factor)
        .service(enrol_my_second_factor)
        .service(confirm_my_second_factor)
        .service(renew_my_recovery_codes)
        .service(disable_my_second_factor);
}

/// Sign in, second factor
///
/// Answers the challenge that a sign-in got in the place of tokens: with a code of the authenticator, or
/// with a recovery code, each of which works once. A challenge takes five codes. Wrong ones are counted
/// for each account and address. Open to everybody who has a challenge.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "complete_sign_in",
    security(()),
    request_body(content = CompleteSignIn, example = json!({"challenge": "mc_ch_…", "code": "287082"})),
    responses((status = 200, description = "Signed in.", body = TokensView)),
)]
#[post("/v1/auth/second-factor")]
async fn complete_sign_in(
    public: Public,
    request: HttpRequest,
    Json(complete): Json<CompleteSignIn>,
) -> Answer {
    let device = device(&request);
    let tokens =
        public.run(async move |core, info| second_factors::complete(&core, complete, device, &info).await);
    answer::ok(&tokens.await?)
}

/// Get my second factor
///
/// Whether there is one, and whether the tenant requires it. Every signed-in person may; an API key may
/// not.
#[utoipa::path(
    tag = "Account",
    operation_id = "get_my_second_factor",
    responses((status = 200, description = "My second factor.", body = SecondFactorView)),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[get("/v1/me/second-factor")]
async fn get_my_second_factor(caller: Authenticated) -> Answer {
    answer::ok(&caller.run(async move |ctx, _| second_factors::get(&ctx).await).await?)
}

/// Begin with a second factor
///
/// Shows a new secret for an authenticator, this once. Nothing changes until a code of it is confirmed;
/// beginning again makes another secret. Every signed-in person with a verified address may, with their
/// password where the account has one; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "enrol_my_second_factor",
    request_body(content = Option<EnrolSecondFactor>, example = json!({"password": "correct horse battery"})),
    responses((status = 200, description = "The secret, for the authenticator.", body = SecondFactorSecretView)),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/second-factor")]
async fn enrol_my_second_factor(
    caller: Authenticated,
    OptionalJson(enrol): OptionalJson<EnrolSecondFactor>,
) -> Answer {
    answer::ok(&caller.run(async move |ctx, _| second_factors::enrol(&ctx, enrol).await).await?)
}

/// Enable my second factor
///
/// With a code of the authenticator. Answers with ten recovery codes, shown this once, ends my other
/// sessions, and a mail tells of it. From now on every way to sign in asks for a code. Every signed-in
/// person who began with one may; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "confirm_my_second_factor",
    request_body(content = ConfirmSecondFactor, example = json!({"code": "287082"})),
    responses(
        (status = 200, description = "Enabled; my recovery codes.", body = RecoveryCodesView),
        (status = 404, description = "Nothing waits to be confirmed.", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/second-factor/confirm")]
async fn confirm_my_second_factor(caller: Authenticated, Json(confirm): Json<ConfirmSecondFactor>) -> Answer {
    answer::ok(&caller.run(async move |ctx, _| second_factors::confirm(&ctx, confirm).await).await?)
}

/// Get new recovery codes
///
/// Ten new ones, shown this once, in the place of all old ones. Every signed-in person with a second
/// factor may, with a code; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "renew_my_recovery_codes",
    request_body(content = NewRecoveryCodes, example = json!({"code": "287082"})),
    responses(
        (status = 200, description = "My new recovery codes.", body = RecoveryCodesView),
        (status = 404, description = "There is no second factor.", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/second-factor/recovery-codes")]
async fn renew_my_recovery_codes(caller: Authenticated, Json(new): Json<NewRecoveryCodes>) -> Answer {
    answer::ok(&caller.run(async move |ctx, _| second_factors::renew_recovery_codes(&ctx, new).await).await?)
}

/// Disable my second factor
///
/// With a code, and with the password where the account has one; a mail tells of it. In a tenant that
/// requires a second factor nothing is open any more until there is one again. Every signed-in person
/// with a second factor may; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "disable_my_second_factor",
    request_body(content = DisableSecondFactor, example = json!({"code": "287082", "password": "correct horse battery"})),
    responses(
        (status = 204, description = "Disabled."),
        (status = 404, description = "There is no second factor.", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/second-factor/disable")]
async fn disable_my_second_factor(caller: Authenticated, Json(disable): Json<DisableSecondFactor>) -> Answer {
    caller.run(async move |ctx, _| second_factors::disable(&ctx, disable).await).await?;
    answer::no_content()
}
