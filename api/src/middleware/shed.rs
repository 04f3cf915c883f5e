//! Load shedding: beyond a number of requests in flight a new one is refused at once, while it costs
//! next to nothing, instead of making all of them late.

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::ServiceRequest;
use actix_web::middleware::Next;
use service::error::Error;

use super::{Answer, Shared, boxed, refuse, routed_path};
use crate::error::HttpError;
use crate::gate::IN_FLIGHT_PLACE;

pub async fn shed(gate: Shared, request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Answer {
    if matches!(routed_path(request.request()), "/livez" | "/readyz") {
        return next.call(request).await.map(boxed);
    }
    let Ok(place) = Arc::clone(&gate.in_flight).try_acquire_owned() else {
        return refuse(request, overloaded());
    };
    IN_FLIGHT_PLACE.scope(Arc::new(place), next.call(request)).await.map(boxed)
}

fn overloaded() -> HttpError {
    Error::Unavailable { code: "overloaded", retry_after: Duration::from_secs(1) }.into()
}
