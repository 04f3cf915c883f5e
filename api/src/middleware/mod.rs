//! What happens to every request before its handler, outermost first:
//! observe → compress → CORS → shed → identify → limit → body.

pub mod body;
pub mod cors;
pub mod headers;
mod identify;
mod observe;
pub mod rate_limit;
mod refusals;
mod shed;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::{HttpRequest, HttpResponse, web};

pub use body::buffer;
pub use identify::{caller, credential, identify, request_info};
pub use observe::observe;
pub use rate_limit::limit;
pub use shed::shed;

use crate::error::HttpError;
use crate::gate::Gate;

type Answer = Result<ServiceResponse<BoxBody>, actix_web::Error>;
type Shared = web::Data<Gate>;

/// The path as the router reads it: `/v1/%61uth/login` is `/v1/auth/login`. A rule that looked at the
/// raw path could be walked around.
fn routed_path(request: &HttpRequest) -> &str {
    request.match_info().as_str()
}

/// Ends the request here. The error stays attached for `observe` (`into_response` would drop it).
fn refuse(request: ServiceRequest, error: HttpError) -> Answer {
    let (request, _) = request.into_parts();
    Ok(ServiceResponse::new(request, HttpResponse::from_error(error)))
}

fn boxed<B: MessageBody + 'static>(response: ServiceResponse<B>) -> ServiceResponse<BoxBody> {
    response.map_into_boxed_body()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn an_encoded_path_is_the_path_that_is_routed() {
        let path = |uri: &str| routed_path(&TestRequest::post().uri(uri).to_http_request()).to_owned();
        assert_eq!(path("/v1/%61uth/login?a=%62"), "/v1/auth/login");
        assert_eq!(path("/%6Civez"), "/livez");
        assert_eq!(path("/v1/a%2Fb"), "/v1/a%2Fb");
    }
}
