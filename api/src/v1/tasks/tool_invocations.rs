//! `/v1/tools/{id}/invoke`: try a tool.

use actix_web::post;
use service::auth::permissions::tools::Invoke;
use service::tasks::tool_invocations::{self, InvokeTool, LONGEST, ToolInvocationView};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Json, Path};

pub fn routes(config: &mut ServiceConfig) {
    config.service(invoke_tool);
}

/// Invoke a tool
///
/// Calls the tool once, as a run of its own, and waits for it as long as the tool may take, at most a
/// minute. A call that fails is still 200: `status` and `error` say how it went. Operators and higher
/// roles may.
#[utoipa::path(
    tag = "Tools",
    operation_id = "invoke_tool",
    params(("id" = Uuid, Path, description = "The tool.")),
    request_body = InvokeTool,
    responses((status = 200, description = "How the call went.", body = ToolInvocationView)),
    extensions(("x-permission" = json!("tools:invoke"))),
)]
#[post("/v1/tools/{id}/invoke")]
async fn invoke_tool(caller: Can<Invoke>, Path(id): Path<Uuid>, Json(body): Json<InvokeTool>) -> Answer {
    let work = async move |ctx| tool_invocations::invoke(&ctx, id, body).await;
    let invocation = caller.run_waiting(LONGEST, work).await?;
    answer::ok(&invocation)
}
