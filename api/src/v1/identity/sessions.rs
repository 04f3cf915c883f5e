//! `/v1/auth`: signing in, staying signed in, signing out. These hand out secrets, so they take no
//! `Idempotency-Key`: a repeated login is another session.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, post};
use service::identity::second_factors::ChallengeView;
use service::identity::sessions::{self, Login, Logout, Refresh, SignedIn, TokensView};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::{Json, OptionalJson, Public};
use crate::middleware::caller;

pub fn routes(config: &mut ServiceConfig) {
    config.service(login).service(refresh).service(logout);
}

/// The answer to a sign-in: tokens, or a challenge for the second factor.
pub(super) fn signed_in(signed_in: SignedIn) -> Answer {
    match signed_in {
        SignedIn::Tokens(tokens) => answer::ok(&tokens),
        SignedIn::Challenge(challenge) => Ok(HttpResponse::Accepted().json(challenge)),
    }
}

/// Sign in
///
/// Opens a session of 30 days and answers with an access token of ten minutes and a refresh token that
/// works once. The session acts in `tenantId`, else in the person's default tenant, else in the first
/// they belong to; a person who belongs nowhere yet accepts their oldest invitation by signing in.
/// Who has a second factor gets a challenge instead, with 202. An unknown e-mail and a wrong password get the same answer. Failures are counted for each account
/// and address. Open to everybody.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "log_in",
    security(()),
    request_body(content = Login, example = json!({"email": "ada@example.org", "password": "correct horse battery"})),
    responses(
        (status = 200, description = "Signed in.", body = TokensView),
        (status = 202, description = "The second factor is asked for.", body = ChallengeView),
    ),
)]
#[post("/v1/auth/login")]
async fn login(public: Public, request: HttpRequest, Json(login): Json<Login>) -> Answer {
    let device = device(&request);
    let done = public.run(async move |core, info| sessions::login(&core, login, device, &info).await);
    signed_in(done.await?)
}

/// What a request to sign in comes from.
pub(super) fn device(request: &HttpRequest) -> Option<String> {
    request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Refresh the tokens
///
/// Uses the refresh token up and answers with the next pair; with `tenantId` the session goes on in
/// another tenant of the same person. Using a token that was used before ends its session. Of requests
/// at the same time with one token exactly one succeeds. Open to everybody who has a refresh token.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "refresh_session",
    security(()),
    request_body(content = Refresh, example = json!({"refreshToken": "mc_rt_…"})),
    responses(
        (status = 200, description = "The next pair of tokens.", body = TokensView),
    ),
)]
#[post("/v1/auth/refresh")]
async fn refresh(public: Public, Json(refresh): Json<Refresh>) -> Answer {
    answer::ok(&public.run(async move |core, info| sessions::refresh(&core, refresh, &info).await).await?)
}

/// Sign out
///
/// Ends the session of the given refresh token, else the session of the access token sent. All tokens
/// of the session stop working within a second. Signing out twice is no error. Open to everybody who
/// has one of the two tokens.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "log_out",
    security(()),
    request_body(content = Option<Logout>, example = json!({})),
    responses(
        (status = 204, description = "Signed out."),
    ),
)]
#[post("/v1/auth/logout")]
async fn logout(public: Public, request: HttpRequest, OptionalJson(logout): OptionalJson<Logout>) -> Answer {
    let session = caller(&request).ok().and_then(|principal| principal.session);
    public.run(async move |core, info| sessions::logout(&core, logout, session, &info).await).await?;
    answer::no_content()
}
