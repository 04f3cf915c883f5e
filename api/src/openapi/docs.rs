//! Swagger UI from vendored assets, and the document as JSON and YAML.

use std::sync::{Arc, LazyLock};

use actix_web::http::header::{self, ContentEncoding};
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use service::error::Error;
use utoipa_swagger_ui::{Config, serve};

use crate::error::HttpError;

pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(to_docs))
        .route("/docs", web::get().to(to_docs))
        .route("/docs/{file:.*}", web::get().to(file))
        .route("/openapi.json", web::get().to(json))
        .route("/openapi.yaml", web::get().to(yaml));
}

async fn to_docs() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

async fn file(path: web::Path<String>) -> Result<HttpResponse, HttpError> {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        Arc::new(
            Config::from("/openapi.json")
                .deep_linking(true)
                .display_operation_id(true)
                .display_request_duration(true)
                .filter(true)
                .persist_authorization(true)
                .try_it_out_enabled(true),
        )
    });
    let found = serve(&path, Arc::clone(&CONFIG)).map_err(|error| Error::internal(error.to_string()))?;
    let found = found.ok_or_else(|| HttpError::new("route_not_found", "Swagger UI has no such file."))?;
    let mut response = HttpResponse::Ok();
    response.content_type(found.content_type).insert_header((header::CACHE_CONTROL, "no-cache"));
    if found.gzpipped {
        response.insert_header(ContentEncoding::Gzip);
    }
    Ok(response.body(found.bytes.into_owned()))
}

async fn json() -> Result<HttpResponse, HttpError> {
    static JSON: Written = LazyLock::new(|| super::document().to_json().ok().map(Bytes::from));
    written(&JSON, "application/json")
}

async fn yaml() -> Result<HttpResponse, HttpError> {
    static YAML: Written = LazyLock::new(|| super::yaml().ok().map(Bytes::from));
    written(&YAML, "application/yaml")
}

/// The document as a text, written once.
type Written = LazyLock<Option<Bytes>>;

fn written(text: &'static Written, kind: &'static str) -> Result<HttpResponse, HttpError> {
    let text = text.as_ref().ok_or_else(|| Error::internal("the document cannot be written"))?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-cache")).content_type(kind);
    Ok(response.body(text.clone()))
}
