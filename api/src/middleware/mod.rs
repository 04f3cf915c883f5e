//! What happens to every request before its handler, outermost first:
//! observe → compress → CORS → shed → identify → limit → body.

pub mod body;
pub mod cors;
pub mod headers;
mod identify;
mod observe;
pub mod rate_limit;
mod shed;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::{HttpResponse, web};

pub use body::buffer;
pub use identify::{caller, identify, request_info};
pub use observe::observe;
pub use rate_limit::limit;
pub use shed::shed;

use crate::error::HttpError;
use crate::gate::Gate;

type Answer = Result<ServiceResponse<BoxBody>, actix_web::Error>;
type Shared = web::Data<Gate>;

/// Ends the request here. The error stays attached for `observe` (`into_response` would drop it).
fn refuse(request: ServiceRequest, error: HttpError) -> Answer {
    let (request, _) = request.into_parts();
    Ok(ServiceResponse::new(request, HttpResponse::from_error(error)))
}

fn boxed<B: MessageBody + 'static>(response: ServiceResponse<B>) -> ServiceResponse<BoxBody> {
    response.map_into_boxed_body()
}
