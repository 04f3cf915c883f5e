//! `/v1/approval-links`: decisions by link, as JSON and as a page that needs no script.

use actix_web::http::header;
use actix_web::{HttpRequest, get, post};
use service::auth::permissions::approvals::Decide;
use service::error::Error;
use service::tasks::approval_links::{self, ApprovalLinkView};
use service::tasks::approvals::{ApprovalView, DecideApproval, Verdict};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::approval_page as page;
use crate::error::HttpError;
use crate::extract::{Body, Can, Json, Path, Public};

pub fn routes(config: &mut ServiceConfig) {
    config.service(create_approval_link).service(get_approval_link).service(decide_by_link);
}

/// Create a link to decide an approval
///
/// For a mail or a chat: whoever has the link sees the question and decides it in your name, without signing in, as
/// long as you may yourself. It ends with the approval: the first decision uses it up. It is not stored. For a
/// signed-in person who may decide.
#[utoipa::path(
    tag = "Approvals",
    operation_id = "create_approval_link",
    params(("id" = Uuid, Path, description = "The approval.")),
    responses((status = 200, description = "The link.", body = ApprovalLinkView)),
    extensions(("x-permission" = json!("approvals:decide"))),
)]
#[post("/v1/approvals/{id}/links")]
async fn create_approval_link(caller: Can<Decide>, Path(id): Path<Uuid>) -> Answer {
    let link = caller.run(async move |ctx| approval_links::create(&ctx, id).await).await?;
    answer::ok(&link)
}

/// Read the question behind a link
///
/// Decides nothing: mail scanners follow links. A browser gets a page with a form. A link that is not ours, whose
/// person may not decide any more, or whose approval is gone is 404. Open to everybody who has the link.
#[utoipa::path(
    tag = "Approvals",
    operation_id = "get_approval_link",
    security(()),
    params(("token" = String, Path, description = "The last part of the link.")),
    responses((status = 200, description = "The question.", content(
        (ApprovalView = "application/json"),
        (String = "text/html"),
    ))),
)]
#[get("/v1/approval-links/{token}")]
async fn get_approval_link(request: HttpRequest, public: Public, Path(token): Path<String>) -> Answer {
    let wants_page = page::is_wanted(&request);
    let read = async move |core, info| approval_links::read(&core, &info, &token).await;
    match public.run(read).await {
        Ok(approval) if wants_page => Ok(page::question(&approval)),
        Ok(approval) => answer::ok(&approval),
        Err(error) if wants_page => Ok(page::refused(&error)),
        Err(error) => Err(error),
    }
}

/// Decide by link
///
/// As `POST /v1/approvals/{id}/decide`, in the name of the link's person. The first decision counts; a later one is 409.
/// JSON, or the page's form. Open to everybody who has the link.
#[utoipa::path(
    tag = "Approvals",
    operation_id = "decide_by_link",
    security(()),
    params(("token" = String, Path, description = "The last part of the link.")),
    request_body = DecideApproval,
    responses(
        (status = 200, description = "The decided approval.", content(
            (ApprovalView = "application/json"),
            (String = "text/html"),
        )),
        (
            status = 409, description = "It is decided, expired or cancelled.",
            body = crate::error::Problem, content_type = "application/problem+json",
        ),
    ),
)]
#[post("/v1/approval-links/{token}")]
async fn decide_by_link(
    request: HttpRequest,
    public: Public,
    Path(token): Path<String>,
    Decision(body): Decision,
) -> Answer {
    let wants_page = page::is_wanted(&request);
    let decide = async move |core, info| approval_links::decide(&core, &info, &token, body).await;
    match public.run(decide).await {
        Ok(approval) if wants_page => Ok(page::decided(&approval)),
        Ok(approval) => answer::ok(&approval),
        Err(error) if wants_page => Ok(page::refused(&error)),
        Err(error) => Err(error),
    }
}

/// A decision as JSON, or as the page's form sends it.
struct Decision(DecideApproval);

impl actix_web::FromRequest for Decision {
    type Error = HttpError;
    type Future = std::future::Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut actix_web::dev::Payload) -> Self::Future {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            return std::future::ready(form(&Body::of(request).0).map(Self).map_err(HttpError::from));
        }
        let read = Json::<DecideApproval>::from_request(request, payload).into_inner();
        std::future::ready(read.map(|Json(body)| Self(body)))
    }
}

fn form(body: &[u8]) -> Result<DecideApproval, Error> {
    let mut decision = None;
    let mut comment = None;
    for (name, value) in url::form_urlencoded::parse(body) {
        match &*name {
            "decision" => decision = Some(value.into_owned()),
            "comment" => comment = Some(value.into_owned()).filter(|text| !text.trim().is_empty()),
            _ => return Err(Error::invalid(format!("/{name}"), "unknown_field", "is no field of the form")),
        }
    }
    let decision = match decision.as_deref() {
        Some("APPROVE") => Verdict::Approve,
        Some("REJECT") => Verdict::Reject,
        _ => return Err(Error::invalid("/decision", "required", "is APPROVE or REJECT")),
    };
    if comment.as_ref().is_some_and(|text| text.chars().count() > 2_000 || text.contains('\0')) {
        return Err(Error::invalid("/comment", "length", "has at most 2000 characters"));
    }
    Ok(DecideApproval { decision, arguments: None, output: None, comment })
}
