//! The request's body, read to its end by `middleware::body` within its bounds.

use actix_web::HttpMessage as _;
use actix_web::HttpRequest;
use bytes::Bytes;

#[derive(Clone, Default)]
pub struct Body(pub Bytes);

impl Body {
    /// Empty when the request has none.
    pub fn of(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }
}
