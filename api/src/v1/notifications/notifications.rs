//! `/v1/notifications`: what the caller was told.

use actix_web::{HttpRequest, HttpResponse, get, post};
use futures_util::StreamExt as _;
use service::crud::Paging;
use service::error::Error;
use service::notifications::notifications::{
    self, MarkedRead, NotificationFilter, NotificationPage, NotificationView, ReadAll, UnreadCount,
};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::error::HttpError;
use crate::extract::{Authenticated, OptionalJson, Path, Query};
use crate::sse;

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(list_notifications)
        .service(get_unread_count)
        .service(mark_notification_read)
        .service(mark_all_notifications_read);
}

/// List notifications, or follow them
///
/// What the caller was told of their own account and of the tenant they are in, newest first. With
/// `Accept: text/event-stream` a stream of server-sent events: what comes from now on, or what is behind
/// `after` (or `Last-Event-ID`). The id of an event is its `number`; the stream ends when the credential
/// does. They are kept for ninety days. Everybody who is signed in may.
#[utoipa::path(
    tag = "Notifications",
    operation_id = "list_notifications",
    params(
        Paging,
        NotificationFilter,
        ("Last-Event-ID" = Option<String>, Header, description = "The stream goes on behind this event."),
    ),
    responses((status = 200, description = "The notifications.", content(
        (NotificationPage = "application/json"),
        (String = "text/event-stream"),
    ))),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[get("/v1/notifications")]
async fn list_notifications(
    request: HttpRequest,
    caller: Authenticated,
    Query(paging): Query<Paging>,
    Query(mut filter): Query<NotificationFilter>,
) -> Result<HttpResponse, HttpError> {
    if !sse::is_wanted(&request) {
        let page = caller.run(async move |ctx, _| notifications::list(&ctx, &paging, &filter).await).await?;
        return answer::ok(&NotificationPage::from(page));
    }
    if let Some(last) = sse::last_event_id(&request)? {
        filter.after = Some(last);
    }
    sse::stream_own(&request, caller, async move |ctx| {
        let told = notifications::follow(ctx, filter).await?;
        Ok(told.map(|view| view.and_then(sent)))
    })
    .await
}

fn sent(view: NotificationView) -> Result<sse::Event, Error> {
    let data = serde_json::to_string(&view).map_err(Error::internal)?;
    Ok(sse::Event { id: Some(view.number.to_string()), event: "notification".to_owned(), data })
}

/// Count unread notifications
///
/// How many of one's notifications are not read, counted up to 1,000. Everybody who is signed in may.
#[utoipa::path(
    tag = "Notifications",
    operation_id = "get_unread_count",
    responses((status = 200, description = "The count.", body = UnreadCount)),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[get("/v1/notifications/unread-count")]
async fn get_unread_count(caller: Authenticated) -> Answer {
    let count = caller.run(async move |ctx, _| notifications::unread_count(&ctx).await).await?;
    answer::ok(&count)
}

/// Mark a notification as read
///
/// Doing so again changes nothing. Everybody who is signed in may, of their own.
#[utoipa::path(
    tag = "Notifications",
    operation_id = "mark_notification_read",
    params(("id" = Uuid, Path, description = "The notification.")),
    responses((status = 200, description = "The notification.", body = NotificationView)),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/notifications/{id}/read")]
async fn mark_notification_read(caller: Authenticated, Path(id): Path<Uuid>) -> Answer {
    let view = caller.run(async move |ctx, _| notifications::mark_read(&ctx, id).await).await?;
    answer::ok(&view)
}

/// Mark all notifications as read
///
/// All of one's own that can be seen from the tenant one is in, or those up to a number. Everybody who is
/// signed in may.
#[utoipa::path(
    tag = "Notifications",
    operation_id = "mark_all_notifications_read",
    request_body(content = ReadAll, example = json!({})),
    responses((status = 200, description = "How many were marked.", body = MarkedRead)),
    extensions(("x-permission" = json!("authenticated"))),
)]
#[post("/v1/notifications/read-all")]
async fn mark_all_notifications_read(
    caller: Authenticated,
    OptionalJson(all): OptionalJson<ReadAll>,
) -> Answer {
    let marked = caller.run(async move |ctx, _| notifications::mark_all_read(&ctx, all).await).await?;
    answer::ok(&marked)
}
