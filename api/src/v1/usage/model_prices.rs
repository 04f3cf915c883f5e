//! `/v1/model-prices`: the tenant's own prices; `/v1/built-in-model-prices`: the list that comes with the
//! binary.

use actix_web::{delete, get, patch, post};
use service::auth::permissions::model_prices::{Read, Write};
use service::crud::Paging;
use service::usage::model_prices::{
    self, BuiltInPrices, CreateModelPrice, ModelPriceFilter, ModelPricePage, ModelPriceView, UpdateModelPrice,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, IfMatch, Json, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_model_prices)
        .service(create_model_price)
        .service(list_built_in_prices)
        .service(update_model_price)
        .service(delete_model_price)
        .service(get_model_price);
}

/// List model prices
///
/// The tenant's own prices. Where it has none for a model, the built-in list holds. Every member may.
#[utoipa::path(
    tag = "Model prices",
    operation_id = "list_model_prices",
    params(Paging, ModelPriceFilter),
    responses((status = 200, description = "One page.", body = ModelPricePage)),
    extensions(("x-permission" = json!("model-prices:read"))),
)]
#[get("/v1/model-prices")]
async fn list_model_prices(
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(filter): Query<ModelPriceFilter>,
) -> Answer {
    let page = caller.run(async move |ctx| model_prices::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&ModelPricePage::from(page))
}

/// Create a model price
///
/// A price of the tenant's own, from a moment on: of several for a model the newest that is in force holds.
/// Amounts are USD for a million tokens, as decimal strings. Runs keep the cost they were billed. Administrators and owners may.
#[utoipa::path(
    tag = "Model prices",
    operation_id = "create_model_price",
    request_body(content = CreateModelPrice, example = json!({
        "model": "gpt-4o-mini",
        "perMillionTokens": {"input": "0.15", "cacheRead": "0.075", "output": "0.60"},
        "note": "Our contract of January",
    })),
    responses(
        (status = 201, description = "The new model price.", body = ModelPriceView, headers(
            ("Location" = String, description = "Where it is."),
            ("ETag" = String, description = "The revision."),
        )),
    ),
    extensions(("x-permission" = json!("model-prices:write"))),
)]
#[post("/v1/model-prices")]
async fn create_model_price(caller: Can<Write>, Json(body): Json<CreateModelPrice>) -> Answer {
    let created = caller.run(async move |ctx| model_prices::create(&ctx, body).await).await?;
    answer::created_tagged(format!("/v1/model-prices/{}", created.id), &created, created.revision)
}

/// Get a model price
///
/// The model price as it is now. Every member may.
#[utoipa::path(
    tag = "Model prices",
    operation_id = "get_model_price",
    params(("id" = Uuid, Path, description = "The model price.")),
    responses((status = 200, description = "The model price.", body = ModelPriceView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("model-prices:read"))),
)]
#[get("/v1/model-prices/{id}")]
async fn get_model_price(caller: Can<Read>, Path(id): Path<Uuid>) -> Answer {
    let found = caller.run(async move |ctx| model_prices::get(&ctx, id).await).await?;
    answer::tagged(&found, found.revision)
}

/// Change a model price
///
/// A merge patch; `perMillionTokens` is replaced as a whole. Administrators and owners may.
#[utoipa::path(
    tag = "Model prices",
    operation_id = "update_model_price",
    params(("id" = Uuid, Path, description = "The model price.")),
    request_body(content = UpdateModelPrice, example = json!({"note": "Ends in June"})),
    responses((status = 200, description = "The model price as it is now.", body = ModelPriceView, headers(("ETag" = String, description = "The revision.")))),
    extensions(("x-permission" = json!("model-prices:write"))),
)]
#[patch("/v1/model-prices/{id}")]
async fn update_model_price(
    caller: Can<Write>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(body): Json<UpdateModelPrice>,
) -> Answer {
    let updated = caller.run(async move |ctx| model_prices::update(&ctx, id, expected, body).await).await?;
    answer::tagged(&updated, updated.revision)
}

/// Delete a model price
///
/// Earlier prices of the model, or the built-in one, hold again. Administrators and owners may.
#[utoipa::path(
    tag = "Model prices",
    operation_id = "delete_model_price",
    params(("id" = Uuid, Path, description = "The model price.")),
    responses((status = 204, description = "It is gone.")),
    extensions(("x-permission" = json!("model-prices:write"))),
)]
#[delete("/v1/model-prices/{id}")]
async fn delete_model_price(caller: Can<Write>, Path(id): Path<Uuid>, IfMatch(expected): IfMatch) -> Answer {
    caller.run(async move |ctx| model_prices::delete(&ctx, id, expected).await).await?;
    answer::no_content()
}

/// List the built-in prices
///
/// List prices of well-known models with where and when they were published, and those of the mock
/// models. A model that stands neither here nor among the tenant's own is flagged in its runs as
/// `unpriced`. Every member may.
#[utoipa::path(
    tag = "Model prices",
    operation_id = "list_built_in_prices",
    responses((status = 200, description = "The whole list.", body = BuiltInPrices)),
    extensions(("x-permission" = json!("model-prices:read"))),
)]
#[get("/v1/built-in-model-prices")]
async fn list_built_in_prices(caller: Can<Read>) -> Answer {
    let prices = caller.run(async move |_| Ok(model_prices::built_in())).await?;
    answer::ok(&prices)
}
