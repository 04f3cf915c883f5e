//! What every request passes through: the core, the runtime its work runs on, and the node's limits.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, web};
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use service::core::Core;
use service::db::Statements;
use service::error::Error;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::error::HttpError;
use crate::health::Health;
use crate::metrics::{IN_FLIGHT, STREAMS, WAITS};
use crate::middleware::rate_limit::RateLimits;
use crate::places::Places;
use crate::server::Options;

/// What a request does. Boxed, because it is large and what is around it is the same for all.
pub type Work<T> = BoxFuture<'static, Result<T, Error>>;

/// How long a request's work may take, beside waits it asked for.
const DEADLINE: Duration = Duration::from_secs(60);

tokio::task_local! {
    /// The place in flight of the request at hand.
    pub static IN_FLIGHT_PLACE: Arc<OwnedSemaphorePermit>;
}

/// Shared by all workers of a server; cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Parts>);

pub struct Parts {
    pub core: Core,
    pub options: Options,
    pub limits: RateLimits,
    pub in_flight: Arc<Semaphore>,
    pub health: Health,
    pub streams: Places,
    pub waits: Places,
    pub draining: CancellationToken,
    pub metrics: PrometheusHandle,
    runtime: Handle,
}

impl std::ops::Deref for Gate {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Gate {
    /// Work will run on `runtime`, which is not the workers' own: a database socket lives where it
    /// was opened.
    pub fn new(core: Core, options: Options, runtime: Handle, draining: CancellationToken) -> Self {
        Self(Arc::new(Parts {
            limits: RateLimits::new(&options, &core.config.plans),
            in_flight: Arc::new(Semaphore::new(options.max_in_flight)),
            health: Health::default(),
            streams: Places::new(options.streams),
            waits: Places::new(options.waits),
            metrics: crate::metrics::recorder(),
            core,
            options,
            draining,
            runtime,
        }))
    }

    /// The gate of the server that received `request`.
    ///
    /// # Errors
    /// Internal, when the request belongs to no server.
    pub fn of(request: &HttpRequest) -> Result<Self, HttpError> {
        let gate = request.app_data::<web::Data<Self>>().map(|data| data.get_ref().clone());
        gate.ok_or_else(|| Error::internal("the application has no gate").into())
    }

    /// Runs `work` to its end on the main runtime, also when the caller hangs up or the deadline
    /// (after `wait`) has passed; a panic in it is an internal error. The request's place in flight is
    /// taken until then, so that sending and hanging up does not escape the bound.
    pub async fn run<T: Send + 'static>(&self, wait: Duration, work: Work<T>) -> Result<T, HttpError> {
        let place = IN_FLIGHT_PLACE.try_with(Arc::clone).ok();
        let task = self.spawn(async move {
            let _place = place;
            work.await
        });
        match tokio::time::timeout(wait + DEADLINE, task).await {
            Ok(Ok(done)) => Ok(done?),
            Ok(Err(lost)) => Err(Error::internal(format!("the work was lost: {lost}")).into()),
            Err(_) => Err(HttpError::new(
                "deadline_exceeded",
                "The request took too long. Look whether it had an effect, or repeat it with its Idempotency-Key.",
            )),
        }
    }

    /// Folds what the recorder gathered and reports what is counted elsewhere.
    pub fn report(&self) {
        let busy = self.options.max_in_flight.saturating_sub(self.in_flight.available_permits());
        let gauge = |name, count| metrics::gauge!(name).set(u32::try_from(count).unwrap_or(u32::MAX));
        gauge(IN_FLIGHT, busy);
        gauge(STREAMS, self.streams.taken());
        gauge(WAITS, self.waits.taken());
        self.metrics.run_upkeep();
    }

    /// Starts `work` on the main runtime within the request's span; its statements are the request's.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        let work = Statements::of_this_work().during(work);
        self.runtime.spawn(work.instrument(tracing::Span::current()))
    }
}
