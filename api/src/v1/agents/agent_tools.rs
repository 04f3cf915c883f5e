//! `/v1/agents/{id}/tools`: which tools an agent has, and how it may use them.

use actix_web::{delete, get, put};
use service::agents::agent_tools::{self, AgentToolView, AgentTools, PutAgentTool};
use service::auth::permissions::agents::{Read, Write};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, OptionalJson, Path};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_agent_tools).service(put_agent_tool).service(delete_agent_tool);
}

/// List an agent's tools
///
/// All of them, in the order in which they were bound, with the policy of their use. Every member may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "list_agent_tools",
    params(("id" = Uuid, Path, description = "The agent.")),
    responses((status = 200, description = "The agent's tools.", body = AgentTools)),
    extensions(("x-permission" = json!("agents:read"))),
)]
#[get("/v1/agents/{id}/tools")]
async fn list_agent_tools(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let tools = caller.run(async move |ctx| agent_tools::list(&ctx, id).await).await?;
    answer::ok(&tools)
}

/// Give an agent a tool
///
/// Binds the tool, or replaces the policy of its use: whether a call is made (ALLOW), asked about (ASK) or
/// refused (DENY), also by its arguments; arguments that the model does not decide; how many calls a run
/// may make. A change makes a new version of the agent. `If-Match` names the agent's revision. Managers and
/// higher roles may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "put_agent_tool",
    params(
        ("id" = Uuid, Path, description = "The agent."),
        ("toolId" = Uuid, Path, description = "The tool."),
    ),
    request_body(content = Option<PutAgentTool>, example = json!({"config": {
        "policy": "ASK",
        "conditions": [{"pointer": "/amount", "in": [1, 2, 5], "policy": "ALLOW"}],
        "presetArguments": {"currency": "EUR"},
        "maxCalls": 3,
    }})),
    responses((status = 200, description = "The binding.", body = AgentToolView,
        headers(("ETag" = String, description = "The agent's revision.")))),
    extensions(("x-permission" = json!("agents:write"))),
)]
#[put("/v1/agents/{id}/tools/{toolId}")]
async fn put_agent_tool(
    caller: Can<Write>,
    Path((id, tool)): Path<(Uuid, Uuid)>,
    IfMatch(expected): IfMatch,
    OptionalJson(body): OptionalJson<PutAgentTool>,
) -> Answer {
    let bound = caller.run(async move |ctx| agent_tools::put(&ctx, id, tool, expected, body).await).await?;
    answer::tagged(&bound.view, bound.agent_revision)
}

/// Take a tool from an agent
///
/// Makes a new version of the agent. `If-Match` names the agent's revision. Managers and higher roles may.
#[utoipa::path(
    tag = "Agents",
    operation_id = "delete_agent_tool",
    params(
        ("id" = Uuid, Path, description = "The agent."),
        ("toolId" = Uuid, Path, description = "The tool."),
    ),
    responses((status = 204, description = "The agent no longer has the tool.")),
    extensions(("x-permission" = json!("agents:write"))),
)]
#[delete("/v1/agents/{id}/tools/{toolId}")]
async fn delete_agent_tool(
    caller: Can<Write>,
    Path((id, tool)): Path<(Uuid, Uuid)>,
    IfMatch(expected): IfMatch,
) -> Answer {
    caller.run(async move |ctx| agent_tools::delete(&ctx, id, tool, expected).await).await?;
    answer::no_content()
}
