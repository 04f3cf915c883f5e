//! `/v1/api-keys/{id}/usage`: how much a key is used.

use actix_web::get;
use service::auth::permissions::api_keys::Read;
use service::identity::api_key_usage::{self, ApiKeyUsageView, UsageParams};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_api_key_usage);
}

/// Get an API key's usage
///
/// Its requests by day (UTC) and by how they ended, of at most the last ninety days; days without any are
/// left out. It is counted aside: what was just done may take some seconds to be seen. Managers and above
/// may.
#[utoipa::path(
    tag = "API keys",
    operation_id = "get_api_key_usage",
    params(("id" = Uuid, Path), UsageParams),
    responses((status = 200, description = "The key's usage.", body = ApiKeyUsageView)),
    extensions(("x-permission" = json!("api-keys:read"))),
)]
#[get("/v1/api-keys/{id}/usage")]
async fn get_api_key_usage(
    can: Can<Read>,
    Path(id): Path<Uuid>,
    Query(params): Query<UsageParams>,
) -> Answer {
    let usage = can.run(async move |ctx| api_key_usage::get(&ctx, id, &params).await).await?;
    answer::ok(&usage)
}
