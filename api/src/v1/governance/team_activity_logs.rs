//! `/v1/team-activity-logs`: who did what, for everybody in the tenant.

use actix_web::{HttpRequest, HttpResponse, get};
use futures_util::StreamExt as _;
use service::auth::permissions::team_activity_logs::Read;
use service::crud::Paging;
use service::error::Error;
use service::governance::team_activity_logs::{
    self, TeamActivityLogFilter, TeamActivityLogPage, TeamActivityLogView,
};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer;
use crate::error::HttpError;
use crate::extract::{Can, Query};
use crate::sse;

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_team_activity_logs);
}

/// List the team's activity, or follow it
///
/// Each change as a sentence. With `Accept: text/event-stream` a stream of server-sent events: what comes
/// from now on, or what is behind `after` (or `Last-Event-ID`). The id of an event is its `number`; the
/// stream ends when the credential does. Sign-ins and refusals stand in the audit log only. Every member may.
#[utoipa::path(
    tag = "Team activity",
    operation_id = "list_team_activity_logs",
    params(
        Paging,
        TeamActivityLogFilter,
        ("Last-Event-ID" = Option<String>, Header, description = "The stream goes on behind this event."),
    ),
    responses((status = 200, description = "The activity.", content(
        (TeamActivityLogPage = "application/json"),
        (String = "text/event-stream"),
    ))),
    extensions(("x-permission" = json!("team-activity-logs:read"))),
)]
#[get("/v1/team-activity-logs")]
async fn list_team_activity_logs(
    request: HttpRequest,
    caller: Can<Read>,
    Query(paging): Query<Paging>,
    Query(mut filter): Query<TeamActivityLogFilter>,
) -> Result<HttpResponse, HttpError> {
    if !sse::is_wanted(&request) {
        let page =
            caller.run(async move |ctx| team_activity_logs::list(&ctx, &paging, &filter).await).await?;
        return answer::ok(&TeamActivityLogPage::from(page));
    }
    if let Some(last) = sse::last_event_id(&request)? {
        filter.after = Some(last);
    }
    sse::stream(&request, caller, async move |ctx| {
        let told = team_activity_logs::follow(ctx, filter).await?;
        Ok(told.map(|view| view.and_then(sent)))
    })
    .await
}

fn sent(view: TeamActivityLogView) -> Result<sse::Event, Error> {
    let data = serde_json::to_string(&view).map_err(Error::internal)?;
    Ok(sse::Event { id: Some(view.number.to_string()), event: "activity".to_owned(), data })
}
