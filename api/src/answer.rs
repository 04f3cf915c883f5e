//! The few shapes of a successful answer.

use actix_web::HttpResponse;
use actix_web::http::header::{self, EntityTag};
use serde::Serialize;

use crate::error::HttpError;

pub type Answer = Result<HttpResponse, HttpError>;

/// 200 with a view that has no revision.
pub fn ok(view: &impl Serialize) -> Answer {
    Ok(HttpResponse::Ok().json(view))
}

/// 200 with a view and the `ETag` of its revision.
pub fn tagged(view: &impl Serialize, revision: i64) -> Answer {
    Ok(HttpResponse::Ok().insert_header(header::ETag(tag(revision))).json(view))
}

/// 201 with where the new resource is.
pub fn created(location: String, view: &impl Serialize) -> Answer {
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(view))
}

/// 201 with where the new resource is and the `ETag` of its revision.
pub fn created_tagged(location: String, view: &impl Serialize, revision: i64) -> Answer {
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, location)).insert_header(header::ETag(tag(revision)));
    Ok(response.json(view))
}

/// 202: accepted, and where to look for the outcome.
pub fn accepted(location: String, view: &impl Serialize) -> Answer {
    Ok(HttpResponse::Accepted().insert_header((header::LOCATION, location)).json(view))
}

/// 202 where nothing more is told.
pub fn noted() -> Answer {
    Ok(HttpResponse::Accepted().finish())
}

/// 204.
pub fn no_content() -> Answer {
    Ok(HttpResponse::NoContent().finish())
}

fn tag(revision: i64) -> EntityTag {
    EntityTag::new_strong(revision.to_string())
}
