//! `/v1/whoami`: what the server makes of the caller's credential.

use actix_web::get;
use service::identity::whoami::{self, WhoamiView};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::Authenticated;

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_whoami);
}

/// Who am I?
///
/// Says what the server makes of the credential: the person, the tenant, the role, an API key's scopes
/// and the permissions that remain. Every authenticated caller may ask.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "get_whoami",
    responses((status = 200, description = "The caller.", body = WhoamiView)),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[get("/v1/whoami")]
async fn get_whoami(caller: Authenticated) -> Answer {
    answer::ok(&caller.run(async move |ctx, _| whoami::get(&ctx).await).await?)
}
