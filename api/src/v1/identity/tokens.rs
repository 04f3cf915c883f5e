//! `/v1/tokens`: short-lived credentials for front-ends.

use actix_web::post;
use service::auth::permissions::task_runs::Read;
use service::identity::tokens::{self, CreateToken, TokenView};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::{Can, Json};

pub fn routes(config: &mut ServiceConfig) {
    config.service(create_token);
}

/// Create a client token
///
/// A token that a program gives to its front-end, so that a browser can follow one run: read it and its steps,
/// stream its events and, with `task-runs:cancel`, cancel it, with `task-runs:answer`, answer its questions. It works for one to fifteen minutes, holds no
/// more than you do at the time of each call, and ends within a second with the key, session or membership
/// that made it. It makes no tokens. It is not bound to the networks of a key. Every caller who may read
/// task runs may.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "create_token",
    request_body(content = CreateToken, example = json!({"runId": "0199a000-0000-7000-8000-000000000001", "scopes": ["task-runs:read"], "expiresInSeconds": 300})),
    responses((status = 200, description = "The token.", body = TokenView)),
    extensions(("x-permission" = json!("task-runs:read"))),
)]
#[post("/v1/tokens")]
async fn create_token(can: Can<Read>, Json(create): Json<CreateToken>) -> Answer {
    let token = can.run(async move |ctx| tokens::create(&ctx, create).await).await?;
    answer::ok(&token)
}
