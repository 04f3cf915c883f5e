//! `/livez`, `/readyz`, `/metrics`: for those who operate the server.

use actix_web::{HttpRequest, HttpResponse, get};
use serde::Serialize;
use service::auth::permissions::platform;
use service::error::Error;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::error::Problem;
use crate::extract::Public;
use crate::middleware::caller;
use crate::server::MetricsAccess;

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_livez).service(get_readyz).service(get_metrics);
}

#[derive(Serialize, ToSchema)]
struct Live {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether this server can take requests, and if not, why.
#[derive(Serialize, ToSchema)]
struct Ready {
    ready: bool,
    checks: Vec<ReadyCheck>,
}

#[derive(Serialize, ToSchema)]
struct ReadyCheck {
    #[schema(example = "database")]
    name: &'static str,
    ok: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cause: Option<&'static str>,
}

/// Is the process alive?
///
/// Answers without looking at anything else: restart the process when this fails. Open to everybody.
#[utoipa::path(
    tag = "Operations",
    operation_id = "get_livez",
    security(()),
    responses((status = 200, description = "Alive.", body = Live)),
)]
#[get("/livez")]
async fn get_livez(_public: Public) -> Answer {
    answer::ok(&Live { status: "ok" })
}

/// Can this server take requests?
///
/// Checks the database, its schema, the engine, whether this is a restored copy that nobody has confirmed, and
/// whether the server is shutting down; send requests elsewhere
/// while this fails. Open to everybody; the causes name no host and no credential.
#[utoipa::path(
    tag = "Operations",
    operation_id = "get_readyz",
    security(()),
    responses(
        (status = 200, description = "Ready.", body = Ready),
        (status = 503, description = "Not ready; the failed checks say why.", body = Ready),
    ),
)]
#[get("/readyz")]
async fn get_readyz(public: Public) -> Answer {
    let draining = public.gate().draining.is_cancelled();
    let engine = public.gate().core.engine.is_healthy();
    let quarantined = public.gate().core.quarantine.is_on();
    let gate = public.gate().clone();
    let database = public.run(async move |core, _| Ok(gate.health.of(&core.db).await)).await?;
    let check = |name, ok: bool, cause| ReadyCheck { name, ok, cause: (!ok).then_some(cause) };
    let checks = vec![
        check("database", database.answers, "the database does not answer within 2 s"),
        check("schema", database.is_migrated, "the schema is not up to date, or cannot be read"),
        check("engine", engine, "the engine of this node does not reach the database"),
        check(
            "quarantine",
            !quarantined,
            "this is a restored copy: it does no work until `mission-control restore --confirm`",
        ),
        check("serving", !draining, "the server is shutting down"),
    ];
    let ready = checks.iter().all(|check| check.ok);
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    Ok(response.json(Ready { ready, checks }))
}

/// The metrics of this server.
///
/// Prometheus text format. On a loopback address without trusted proxies open to everybody who can reach
/// it; else for administrators of the platform, unless it has an address of its own.
#[utoipa::path(
    tag = "Operations",
    operation_id = "get_metrics",
    security(()),
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = "text/plain"),
        (
            status = 401, description = "The server is not on a loopback address and wants a credential.",
            body = Problem, content_type = "application/problem+json",
        ),
        (
            status = 403, description = "The caller is no administrator of the platform.",
            body = Problem, content_type = "application/problem+json",
        ),
        (
            status = 404, description = "The metrics have an address of their own.",
            body = Problem, content_type = "application/problem+json",
        ),
    ),
)]
#[get("/metrics")]
async fn get_metrics(request: HttpRequest, public: Public) -> Answer {
    match public.gate().options.metrics {
        MetricsAccess::Anyone => {}
        MetricsAccess::Platform => caller(&request)?.rights.require::<platform::Tenants>()?,
        MetricsAccess::Elsewhere => return Err(Error::not_found("resource").into()),
    }
    Ok(crate::metrics::answer(&public.gate().metrics))
}
