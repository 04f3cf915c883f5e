//! `/v1/notification-preferences`: how the caller wishes to be told.

use actix_web::{get, patch};
use service::notifications::notification_preferences::{
    self, NotificationPreferenceView, UpdateNotificationPreference,
};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::{self, Answer};
use crate::extract::{Authenticated, IfMatch, Json};

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_notification_preferences).service(update_notification_preferences);
}

/// Get one's notification preferences
///
/// Which types reach the caller in the application and by mail, and when. Everybody who is signed in may.
#[utoipa::path(
    tag = "Notifications",
    operation_id = "get_notification_preferences",
    responses((status = 200, description = "The preferences.", body = NotificationPreferenceView, headers(("ETag" = String, description = "Their revision.")))),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[get("/v1/notification-preferences")]
async fn get_notification_preferences(caller: Authenticated) -> Answer {
    let view = caller.run(async move |ctx, _| notification_preferences::get(&ctx).await).await?;
    answer::tagged(&view, view.revision)
}

/// Change one's notification preferences
///
/// They hold in every tenant. Notices of the safety of the account (a new device, a changed password or
/// address, a key made in one's name) cannot be turned off or put off. Everybody who is signed in may.
#[utoipa::path(
    tag = "Notifications",
    operation_id = "update_notification_preferences",
    request_body(content = UpdateNotificationPreference, example = json!({"types": [{"type": "APPROVAL_REQUESTED", "email": false}], "digest": "DAILY", "quietHours": {"from": "22:00", "until": "07:00"}, "timeZone": "Europe/Berlin"})),
    responses((status = 200, description = "The changed preferences.", body = NotificationPreferenceView, headers(("ETag" = String, description = "Their revision.")))),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[patch("/v1/notification-preferences")]
async fn update_notification_preferences(
    caller: Authenticated,
    IfMatch(expected): IfMatch,
    Json(update): Json<UpdateNotificationPreference>,
) -> Answer {
    let view = caller
        .run(async move |ctx, _| notification_preferences::update(&ctx, expected, update).await)
        .await?;
    answer::tagged(&view, view.revision)
}
