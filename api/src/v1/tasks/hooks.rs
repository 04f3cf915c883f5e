//! `/v1/hooks/{token}`: what senders post to. Open to the world; the token, and then the signature, are the proof.

use actix_web::{HttpRequest, HttpResponse, post};
use serde::Serialize;
use service::tasks::hooks::{self, Receipt, Sent};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::Answer;
use crate::error::Problem;
use crate::extract::{Body, Path, Public};

pub fn routes(config: &mut ServiceConfig) {
    config.service(receive_hook);
}

/// What the sender of a delivery is told.
#[derive(Serialize, ToSchema)]
struct Received {
    /// Of the delivery here: `GET /v1/hook-deliveries/{id}`.
    id: Uuid,
}

/// What a sender wants to hear back in a handshake.
#[derive(Serialize, ToSchema)]
struct Challenge {
    challenge: String,
}

/// Deliver to a hook
///
/// For the sender of an inbound hook. The signature over the raw body has to be right and, where the scheme has a
/// time, at most five minutes old. The delivery is answered 202 once its run is durable; one with an id that was
/// delivered before starts nothing and is 202 too, and 409 `concurrency_limit` says that the definition's key refuses
/// the run. JSON, forms and text up to 1 MiB are taken. A token that nobody
/// has, and a hook that takes nothing now, are the same 404. Slack's `url_verification` is answered with its
/// challenge. Open to everybody who knows the URL; 600 a minute and hook.
#[utoipa::path(
    tag = "Inbound hooks",
    operation_id = "receive_hook",
    security(()),
    params(("token" = String, Path, description = "The last part of the hook's URL.")),
    request_body(description = "Whatever the sender sends.", content(
        (serde_json::Value = "application/json", example = json!({ "action": "opened", "number": 7 })),
        (String = "application/x-www-form-urlencoded", example = "action=opened&number=7"),
        (String = "text/plain", example = "opened"),
    )),
    responses(
        (status = 202, description = "The delivery is durable.", body = Received),
        (status = 200, description = "The answer to a handshake.", body = Challenge),
        (
            status = 401, description = "The signature is missing, wrong or too old.",
            body = Problem, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "As many runs of the definition's concurrency key are live as may be.",
            body = Problem, content_type = "application/problem+json",
        ),
    ),
)]
#[post("/v1/hooks/{token}")]
async fn receive_hook(request: HttpRequest, public: Public, Path(token): Path<String>) -> Answer {
    let headers = request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    let sent = Sent::new(headers, Body::of(&request).0);
    let receipt =
        public.run(async move |core, info| hooks::receive(&core, &info, &token, sent).await).await?;
    Ok(match receipt {
        Receipt::Taken(id) => HttpResponse::Accepted().json(Received { id }),
        Receipt::Challenge(challenge) => HttpResponse::Ok().json(Challenge { challenge }),
    })
}
