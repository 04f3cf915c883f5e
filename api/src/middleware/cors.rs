//! Which web origins may read answers: those the operator named, and no other.

use actix_cors::Cors;
use actix_web::http::{Method, header};

const EXPOSED: [&str; 8] = [
    "etag",
    "location",
    "x-request-id",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "www-authenticate",
    "deprecation",
];

pub fn cors(origins: &[String]) -> Cors {
    let allowed = ["idempotency-key", "x-api-key", "x-request-id", "last-event-id"];
    let cors = Cors::default()
        .allowed_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allowed_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH, header::ACCEPT])
        .allowed_headers(allowed)
        .expose_headers(EXPOSED)
        .max_age(3600);
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}
