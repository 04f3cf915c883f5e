//! `/v1/tenant/emergency-stop`: everything of the caller's tenant stops at once.

use actix_web::{get, post};
use service::auth::permissions::tenant;
use service::identity::tenant_emergency_stop::{self, EmergencyStopView, StopTenant};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::{Can, Json};

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_emergency_stop).service(start_emergency_stop).service(release_emergency_stop);
}

/// Get the emergency stop
///
/// Whether one holds, who ordered it, and how many runs still execute. Every member may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "get_emergency_stop",
    responses((status = 200, description = "How it stands.", body = EmergencyStopView)),
    extensions(("x-permission" = json!("tenant:read"))),
)]
#[get("/v1/tenant/emergency-stop")]
async fn get_emergency_stop(can: Can<tenant::Read>) -> Answer {
    answer::ok(&can.run(async move |ctx| tenant_emergency_stop::get(&ctx).await).await?)
}

/// Stop every agent
///
/// Pauses all agents in one step. From then on nothing of the tenant starts, whether it is of an agent or of a tool
/// alone; new runs are accepted and wait. Runs that execute end their current step within a second or as soon as it
/// is done, are put back into the queue and go on after the release; with `running: CANCEL` they are cancelled. Admins
/// and owners are told. While it holds, no agent can be resumed (409 `emergency_stopped`), and calling again pauses
/// the agents that were made since. Managers and higher may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "start_emergency_stop",
    request_body(content = StopTenant, example = json!({"reason": "An agent writes to the wrong customers."})),
    responses((status = 200, description = "The stop holds.", body = EmergencyStopView)),
    extensions(("x-permission" = json!("tenant:stop"))),
)]
#[post("/v1/tenant/emergency-stop")]
async fn start_emergency_stop(can: Can<tenant::Stop>, Json(stop): Json<StopTenant>) -> Answer {
    answer::ok(&can.run(async move |ctx| tenant_emergency_stop::stop(&ctx, stop).await).await?)
}

/// Release the emergency stop
///
/// Resumes exactly the agents that it paused: one that was paused before, or quarantined meanwhile, stays so. What waits
/// goes on. Where none holds it is 409 `invalid_transition`. Managers and higher may.
#[utoipa::path(
    tag = "Tenants",
    operation_id = "release_emergency_stop",
    responses((status = 200, description = "No stop holds.", body = EmergencyStopView)),
    extensions(("x-permission" = json!("tenant:stop"))),
)]
#[post("/v1/tenant/emergency-stop/release")]
async fn release_emergency_stop(can: Can<tenant::Stop>) -> Answer {
    answer::ok(&can.run(async move |ctx| tenant_emergency_stop::release(&ctx).await).await?)
}
