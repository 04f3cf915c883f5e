//! Workers that are sent their runs: the engine claims for them, and posts what they would have been given.
//!
//! Invariants: each claim is sent once, by the node that made it; what a worker does not take is given back, and
//! consumes no attempt. Nothing is sent but through the egress door, and nothing unsigned.

mod push;
mod signature;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::ctx::Ctx;
use crate::egress::Url;
use crate::error::{Error, Result};

pub use push::{deliver, round};

/// Where to send runs.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "url": "https://worker.example.com/runs" }))]
pub struct RegisterDelivery {
    /// HTTPS, or HTTP to a host that the operator named; no private host but those.
    #[validate(length(min = 1, max = 2_000))]
    #[schema(min_length = 1, max_length = 2_000)]
    pub url: String,
    /// Makes another secret, where the worker has one already; the one before counts no more.
    #[serde(default)]
    pub new_secret: bool,
}

/// How a worker is sent its runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerDeliveryView {
    pub url: String,
    /// Deliveries in a row that it did not take.
    pub failures: i32,
    /// It is sent nothing before this time.
    #[schema(required)]
    pub retry_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub last_error: Option<String>,
}

impl RegisterDelivery {
    /// # Errors
    /// 422 at `/delivery/url`.
    pub(super) fn check(&self, ctx: &Ctx) -> Result<()> {
        let refused = |message: String| Error::invalid("/delivery/url", "invalid_url", message);
        let url = Url::parse(&self.url).map_err(|_| refused("It is not a URL.".to_owned()))?;
        ctx.core.egress.check_url(&url).map_err(|error| refused(error.to_string()))?;
        if url.scheme() != "https" && !ctx.core.egress.is_listed(&url) {
            return Err(refused("It has to be https.".to_owned()));
        }
        Ok(())
    }
}

/// What is stored of the secret, and what is shown of it: one that was made now.
pub(super) fn secret(
    ctx: &Ctx,
    worker: Uuid,
    delivery: Option<&RegisterDelivery>,
    before: Option<Vec<u8>>,
) -> Result<(Option<Vec<u8>>, Option<String>)> {
    match (delivery, before) {
        (None, _) => Ok((None, None)),
        (Some(delivery), Some(sealed)) if !delivery.new_secret => Ok((Some(sealed), None)),
        (Some(_), _) => {
            let (sealed, shown) = signature::make(&ctx.core, ctx.tenant, worker)?;
            Ok((Some(sealed), Some(shown)))
        }
    }
}
