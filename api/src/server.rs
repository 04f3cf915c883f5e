//! The HTTP server: one set of routes and layers, bounded on every side, drained at shutdown.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::{Compress, Condition, from_fn};
use actix_web::{App, HttpServer, web};
use ipnet::IpNet;
use service::core::Core;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::gate::Gate;
use crate::middleware::rate_limit::{self, Rate};
use crate::middleware::{buffer, cors::cors, identify, limit, observe, shed};
use crate::places::Most;
use crate::{metrics, openapi, v1};

/// The limits and habits of a server. The default is open to tests: no rates, loopback rules.
#[derive(Clone, Debug)]
pub struct Options {
    pub workers: usize,
    /// Requests worked on at once; more are 503.
    pub max_in_flight: usize,
    pub max_connections_per_worker: usize,
    /// Event streams open at once.
    pub streams: Most,
    /// Requests that wait for a run or a tool to end, at once.
    pub waits: Most,
    pub rate_limit: Option<Rate>,
    /// Attempts to sign in, for each address.
    pub sign_in_limit: Option<Rate>,
    pub cors_origins: Vec<String>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    pub metrics: MetricsAccess,
    /// How long a client may take for the head of a request.
    pub head: Duration,
    /// How long a drain waits for requests in flight.
    pub drain: Duration,
}

/// Who may read `/metrics` at the main address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAccess {
    /// The address is loopback and no proxy is trusted: whoever reaches it.
    Anyone,
    /// Administrators of the platform.
    Platform,
    /// Nobody: it has an address of its own.
    Elsewhere,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(2, |cores| cores.get().min(8)),
            max_in_flight: 4096,
            max_connections_per_worker: 10_000,
            streams: Most { on_node: 1024, of_tenant: 256, of_caller: 32, code: "too_many_streams" },
            waits: Most { on_node: 2048, of_tenant: 512, of_caller: 64, code: "too_many_waits" },
            rate_limit: None,
            sign_in_limit: None,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            metrics: MetricsAccess::Anyone,
            head: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}

/// Serves until `draining` is cancelled and the requests in flight have ended. Call it on the
/// multi-thread runtime that all work shall run on.
///
/// # Errors
/// When the listener cannot be used.
pub fn run(
    core: Core,
    listener: TcpListener,
    options: Options,
    draining: CancellationToken,
) -> impl Future<Output = io::Result<()>> {
    let gate = Gate::new(core, options, Handle::current(), draining.clone());
    async move {
        let upkeep = tokio::spawn(upkeep(gate.clone()));
        let served = server(gate, listener, draining)?.await;
        upkeep.abort();
        served
    }
}

fn server(
    gate: Gate,
    listener: TcpListener,
    draining: CancellationToken,
) -> io::Result<actix_web::dev::Server> {
    let options = gate.options.clone();
    let data = web::Data::new(gate);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .configure(|config| v1::routes(&mut ServiceConfig::new(config)))
            .configure(openapi::configure_docs)
            .default_service(web::route().to(openapi::not_found))
            .wrap(from_fn(buffer))
            .wrap(from_fn(limit))
            .wrap(from_fn(identify))
            .wrap(from_fn(shed))
            .wrap(Condition::new(!data.options.cors_origins.is_empty(), cors(&data.options.cors_origins)))
            .wrap(Compress::default())
            .wrap(from_fn(observe))
    })
    .workers(options.workers)
    .max_connections(options.max_connections_per_worker)
    .keep_alive(Duration::from_secs(75))
    .client_request_timeout(options.head)
    .client_disconnect_timeout(Duration::from_secs(2))
    // Who hangs up waits for nothing any more.
    .h1_allow_half_closed(false)
    .shutdown_timeout(options.drain.as_secs())
    .disable_signals()
    .listen(listener)?
    .run();
    stop_when(&draining, server.handle());
    Ok(server)
}

/// Keeps the bounded things within their bounds.
async fn upkeep(gate: Gate) {
    let mut limits = tokio::time::interval(rate_limit::UPKEEP);
    let mut recorder = tokio::time::interval(metrics::UPKEEP);
    loop {
        tokio::select! {
            _ = limits.tick() => gate.limits.tidy(),
            _ = recorder.tick() => gate.report(),
        }
    }
}

/// Serves `/metrics` alone.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve_metrics(
    listener: TcpListener,
    draining: CancellationToken,
) -> io::Result<impl Future<Output = io::Result<()>>> {
    let recorder = metrics::recorder();
    let upkept = recorder.clone();
    let server = HttpServer::new(move || {
        let recorder = recorder.clone();
        let render = move || std::future::ready(metrics::answer(&recorder));
        App::new().route("/metrics", web::get().to(render))
    });
    let server = server.workers(1).disable_signals().listen(listener)?.run();
    stop_when(&draining, server.handle());
    Ok(async move {
        let mut upkeep = tokio::time::interval(metrics::UPKEEP);
        tokio::pin!(server);
        loop {
            tokio::select! {
                served = &mut server => return served,
                _ = upkeep.tick() => upkept.run_upkeep(),
            }
        }
    })
}

fn stop_when(draining: &CancellationToken, handle: ServerHandle) {
    let draining = draining.clone();
    tokio::spawn(async move {
        draining.cancelled().await;
        handle.stop(true).await;
    });
}
