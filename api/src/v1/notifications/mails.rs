//! `/v1/mails`: the outbox, for administrators of the platform.

use actix_web::get;
use service::auth::permissions::platform::Mails;
use service::crud::Paging;
use service::notifications::mails::{self, MailFilter, MailPage, MailTextView};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::extract::{Can, Path, Query};

pub fn routes(config: &mut ServiceConfig) {
    config.service(list_mails).service(get_mail);
}

/// List mails
///
/// What this installation sent, tries to send, or keeps because no SMTP server is configured; 30 days
/// back. Administrators of the platform may.
#[utoipa::path(
    tag = "Mails",
    operation_id = "list_mails",
    params(Paging, MailFilter),
    responses((status = 200, description = "A page of mails.", body = MailPage)),
    extensions(("x-permission" = json!("platform:mails"))),
)]
#[get("/v1/mails")]
async fn list_mails(
    can: Can<Mails>,
    Query(paging): Query<Paging>,
    Query(filter): Query<MailFilter>,
) -> Answer {
    let page = can.run(async move |ctx| mails::list(&ctx, &paging, &filter).await).await?;
    answer::ok(&MailPage::from(page))
}

/// Get a mail
///
/// With its text where the mail is `KEPT`: without an SMTP server, links for new passwords and
/// invitations are read here. Administrators of the platform may.
#[utoipa::path(
    tag = "Mails",
    operation_id = "get_mail",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The mail.", body = MailTextView)),
    extensions(("x-permission" = json!("platform:mails"))),
)]
#[get("/v1/mails/{id}")]
async fn get_mail(can: Can<Mails>, Path(id): Path<Uuid>) -> Answer {
    answer::ok(&can.run(async move |ctx| mails::get(&ctx, id).await).await?)
}
