//! `/v1/tools`: what agents can call.

use actix_web::{delete, get, patch, post};
use service::agents::tools::{self, CreateTool, ToolFilter, ToolPage, ToolView, UpdateTool};
use service::auth::permissions::tools::{Read, Write};
use service::crud::Paging;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_tools)
        .service(create_tool)
        .service(get_tool)
        .service(update_tool)
        .service(delete_tool);
}

/// List tools
///
/// What agents can call. Every member may.
#[utoipa::path(
    tag = "Tools",
    operation_id = "list_tools",
    params(Paging, ToolFilter),
    responses((status = 200, description = "One page.", body = ToolPage)),
    extensions(("x-permission" = json!("tools:read"))),
)]
#[get("/v1/tools")]
async fn list_tools(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<ToolFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| tools::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&ToolPage::from(page))
}

/// Create a tool
///
/// An API tool is an HTTP request made from a template; a FUNCTION tool is a built-in (`builtin/echo`,
/// `builtin/now`, `builtin/template`, `builtin/json_select`, `builtin/sleep`) or a worker's function. The
/// template and the schema are compiled now. Managers and higher roles may.
#[utoipa::path(
    tag = "Tools",
    operation_id = "create_tool",
    request_body(content = CreateTool, example = json!({
        "name": "city_weather",
        "description": "The weather of a city now.",
        "type": "API",
        "config": {
            "method": "GET",
            "url": "https://api.example.com/v1/weather",
            "query": {"city": "{{ city }}"},
        },
        "schema": {
            "type": "object",
            "required": ["city"],
            "properties": {"city": {"type": "string", "description": "Its name in English."}},
        },
        "rateLimit": {"perMinute": 60, "burst": 5},
    })),
    responses(
        (status = 201, description = "The new tool.", body = ToolView, headers(
            ("Location" = String, description = "Where it is."),
            ("ETag" = String, description = "The revision."),
        )),
    ),
    extensions(("x-permission" = json!("tools:write"))),
)]
#[post("/v1/tools")]
async fn create_tool(caller: Can<Write>, Json(body): Json<CreateTool>) -> Answer {
    let created = caller.run(async move |ctx| tools::create(&ctx, body).await).await?;
    answer::created_tagged(format!("/v1/tools/{}", created.id), &created, created.revision)
}

/// Get a tool
///
/// The tool as it is now. Every member may.
#[utoipa::path(
    tag = "Tools",
    operation_id = "get_tool",
    params(("id" = Uuid, Path, description = "The tool.")),
    responses((status = 200, description = "The tool.", body = ToolView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("tools:read"))),
)]
#[get("/v1/tools/{id}")]
async fn get_tool(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let found = caller.run(async move |ctx| tools::get(&ctx, id).await).await?;
    answer::tagged(&found, found.revision)
}

/// Change a tool
///
/// A merge patch, `config` and `schema` included. Agents that have the tool use it as changed. Managers and higher roles may.
#[utoipa::path(
    tag = "Tools",
    operation_id = "update_tool",
    params(("id" = Uuid, Path, description = "The tool.")),
    request_body(content = UpdateTool, example = json!({"description": "The weather of a city now, in degrees Celsius.", "timeoutSeconds": 10})),
    responses((status = 200, description = "The tool as it is now.", body = ToolView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("tools:write"))),
)]
#[patch("/v1/tools/{id}")]
async fn update_tool(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(body): Json<UpdateTool>,
) -> Answer {
    let updated = caller.run(async move |ctx| tools::update(&ctx, id, expected, body).await).await?;
    answer::tagged(&updated, updated.revision)
}

/// Delete a tool
///
/// Its name is free at once. One that an agent has or a task definition names is 409 `in_use`. Managers and higher roles may.
#[utoipa::path(
    tag = "Tools",
    operation_id = "delete_tool",
    params(("id" = Uuid, Path, description = "The tool.")),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-permission" = json!("tools:write"))),
)]
#[delete("/v1/tools/{id}")]
async fn delete_tool(caller: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    caller.run(async move |ctx| tools::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}
