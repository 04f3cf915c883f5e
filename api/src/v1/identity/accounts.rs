//! `/v1/auth/oidc` and `/v1/me/accounts`: signing in with an account elsewhere, and linking one. What is
//! open to everybody takes no `Idempotency-Key`.

use actix_web::{HttpRequest, delete, get, post};
use service::crud::UNREVISED;
use service::identity::accounts::{
    self, AccountPage, AccountView, BeginLink, BeginOidcSignIn, OidcAnswer, OidcProviderPage, OidcRequestView,
};
use service::identity::second_factors::ChallengeView;
use service::identity::sessions::TokensView;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use super::sessions::{device, signed_in};
use crate::answer::{self, Answer};
use crate::error::Problem;
use crate::extract::{Authenticated, IfMatch, Json, Path, Public};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_oidc_providers)
        .service(start_oidc_sign_in)
        .service(finish_oidc_sign_in)
        .service(list_my_accounts)
        .service(start_account_link)
        .service(link_my_account)
        .service(unlink_my_account);
}

/// List the providers to sign in with
///
/// Those that the operator configured, in their order. Open to everybody.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "list_oidc_providers",
    security(()),
    responses((status = 200, description = "The providers.", body = OidcProviderPage)),
)]
#[get("/v1/auth/oidc")]
async fn list_oidc_providers(public: Public) -> Answer {
    let page = public.run(async move |core, _| Ok(accounts::list_providers(&core))).await?;
    answer::ok(&OidcProviderPage::from(page))
}

/// Begin to sign in with a provider
///
/// Answers where to send the person. Keep `state` with the browser: the answer must bring the same. The
/// request can be answered once, within ten minutes. Open to everybody.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "start_oidc_sign_in",
    security(()),
    params(("provider" = String, Path, max_length = 40, example = "example")),
    request_body(content = BeginOidcSignIn, example = json!({"redirectUri": "https://console.example.com/sign-in/callback"})),
    responses(
        (status = 200, description = "Where to send the person.", body = OidcRequestView),
        (status = 502, description = "The provider does not answer.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/auth/oidc/{provider}/start")]
async fn start_oidc_sign_in(
    public: Public,
    Path(provider): Path<String>,
    Json(begin): Json<BeginOidcSignIn>,
) -> Answer {
    answer::ok(&public.run(async move |core, _| accounts::begin(&core, &provider, begin).await).await?)
}

/// Sign in with a provider
///
/// With what the provider added to the redirect URI. A person is found by the account, else by an e-mail
/// that the provider has verified; somebody new needs an invitation to that address, which is accepted.
/// The session acts in the person's default tenant; refresh with `tenantId` to go on in another. Who has
/// a second factor gets a challenge, with 202. Open to everybody.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "finish_oidc_sign_in",
    security(()),
    params(("provider" = String, Path, max_length = 40, example = "example")),
    request_body(content = OidcAnswer, example = json!({"code": "SplxlOBeZQQYbYS6WxSbIA", "state": "mc_os_…", "iss": "https://id.example.com"})),
    responses(
        (status = 200, description = "Signed in.", body = TokensView),
        (status = 202, description = "The second factor is asked for.", body = ChallengeView),
        (status = 409, description = "The account was linked by somebody else at this moment.", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The provider does not answer.", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/v1/auth/oidc/{provider}/callback")]
async fn finish_oidc_sign_in(
    public: Public,
    request: HttpRequest,
    Path(provider): Path<String>,
    Json(given): Json<OidcAnswer>,
) -> Answer {
    let device = device(&request);
    let done = public
        .run(async move |core, info| accounts::sign_in(&core, &provider, given, device, &info).await)
        .await?;
    signed_in(done)
}

/// List my accounts
///
/// With which I sign in: never more than ten. Every signed-in person may; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "list_my_accounts",
    responses((status = 200, description = "My linked accounts.", body = AccountPage)),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[get("/v1/me/accounts")]
async fn list_my_accounts(caller: Authenticated) -> Answer {
    let page = caller.run(async move |ctx, _| accounts::list(&ctx).await).await?;
    answer::ok(&AccountPage::from(page))
}

/// Begin to link an account
///
/// Answers where to send me. The request can be answered once, within ten minutes, by me. Every signed-in
/// person with a verified address may, with their password where the account has one; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "start_account_link",
    params(("provider" = String, Path, max_length = 40, example = "example")),
    request_body(content = BeginLink, example = json!({"redirectUri": "https://console.example.com/sign-in/callback", "password": "correct horse battery"})),
    responses(
        (status = 200, description = "Where to send me.", body = OidcRequestView),
        (status = 502, description = "The provider does not answer.", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/accounts/{provider}/start")]
async fn start_account_link(
    caller: Authenticated,
    Path(provider): Path<String>,
    Json(begin): Json<BeginLink>,
) -> Answer {
    answer::ok(&caller.run(async move |ctx, _| accounts::begin_link(&ctx, &provider, begin).await).await?)
}

/// Link an account
///
/// With what the provider added to the redirect URI; a mail tells of it. Its e-mail may be another than
/// mine. Linking it again changes nothing. Only who began it may; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "link_my_account",
    params(("provider" = String, Path, max_length = 40, example = "example")),
    request_body(content = OidcAnswer, example = json!({"code": "SplxlOBeZQQYbYS6WxSbIA", "state": "mc_os_…", "iss": "https://id.example.com"})),
    responses(
        (status = 200, description = "The linked account.", body = AccountView),
        (status = 502, description = "The provider does not answer.", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/me/accounts/{provider}/callback")]
async fn link_my_account(
    caller: Authenticated,
    Path(provider): Path<String>,
    Json(given): Json<OidcAnswer>,
) -> Answer {
    answer::ok(&caller.run(async move |ctx, _| accounts::link(&ctx, &provider, given).await).await?)
}

/// Unlink an account
///
/// A mail tells of it. The last way in cannot be unlinked: choose a password or link another account
/// first. Every signed-in person may unlink their own; an API key may not.
#[utoipa::path(
    tag = "Account",
    operation_id = "unlink_my_account",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Unlinked.")),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[delete("/v1/me/accounts/{id}")]
async fn unlink_my_account(
    caller: Authenticated,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
) -> Answer {
    expected.check(UNREVISED)?;
    caller.run(async move |ctx, _| accounts::unlink(&ctx, id).await).await?;
    answer::no_content()
}
