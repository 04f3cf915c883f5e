//! The log of what inbound hooks were sent, and sending one again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use entity::tasks::hook_delivery::{Column, DeliveryVerdict, Entity, Model};
use entity::tasks::{hook_body, inbound_hook};
use sea_orm::{ColumnTrait as _, Condition};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::hooks::{self, Delivered, How};
use crate::crud::{self, Page, Paging};
use crate::ctx::Ctx;
use crate::error::{Error, Result};

/// What an inbound hook was sent, and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookDeliveryView {
    pub id: Uuid,
    pub hook_id: Uuid,
    /// The sender's own id.
    #[schema(required)]
    pub delivery_id: Option<String>,
    /// What the sender calls it.
    #[serde(rename = "type")]
    #[schema(required)]
    pub kind: Option<String>,
    pub verdict: DeliveryVerdict,
    /// Why nothing was started.
    #[schema(required)]
    pub code: Option<String>,
    #[schema(required)]
    pub message: Option<String>,
    /// Without what proves who somebody is.
    pub headers: Value,
    #[schema(required)]
    pub content_type: Option<String>,
    /// How long the body was. What is kept of it: `GET /v1/hook-deliveries/{id}`.
    pub body_bytes: i64,
    #[schema(required)]
    pub run_id: Option<Uuid>,
    /// How many waits of runs it satisfied.
    pub resumed: i32,
    /// The delivery that was sent again.
    #[schema(required)]
    pub replay_of: Option<Uuid>,
    /// `hook:<id>`, or who sent it again.
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

/// A delivery with its body.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WholeHookDeliveryView {
    #[serde(flatten)]
    pub delivery: HookDeliveryView,
    /// The body as text, or in base64 where it is none; of one that proved nothing, its first 4 KiB.
    pub body: String,
    pub body_encoding: BodyEncoding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BodyEncoding {
    Text,
    Base64,
}

crud::page!(HookDeliveryPage, HookDeliveryView);

impl From<Model> for HookDeliveryView {
    fn from(delivery: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            workspace_id: _,
            hook_id,
            delivery_id,
            kind,
            verdict,
            code,
            message,
            headers,
            content_type,
            body_bytes,
            run_id,
            resumed,
            replay_of,
            created_by,
            created_at,
        } = delivery;
        Self {
            id,
            hook_id,
            delivery_id,
            kind,
            verdict,
            code,
            message,
            headers,
            content_type,
            body_bytes,
            run_id,
            resumed,
            replay_of,
            created_by,
            created_at,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct HookDeliveryFilter {
    pub hook_id: Option<Uuid>,
    pub verdict: Option<DeliveryVerdict>,
    /// The sender's own id.
    #[param(max_length = 200)]
    pub delivery_id: Option<String>,
    pub run_id: Option<Uuid>,
}

/// One page of the tenant's deliveries.
pub async fn list(ctx: &Ctx, paging: &Paging, filter: HookDeliveryFilter) -> Result<Page<HookDeliveryView>> {
    let HookDeliveryFilter { hook_id, verdict, delivery_id, run_id } = filter;
    let all = Condition::all()
        .add_option(hook_id.map(|id| Column::HookId.eq(id)))
        .add_option(verdict.map(|verdict| Column::Verdict.eq(verdict)))
        .add_option(delivery_id.map(|id| Column::DeliveryId.eq(id)))
        .add_option(run_id.map(|id| Column::RunId.eq(id)));
    Ok(crud::rows::<Entity>(ctx, paging, all).await?.map(HookDeliveryView::from))
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<WholeHookDeliveryView> {
    let delivery = load(ctx, id).await?;
    let (body, body_encoding) = match String::from_utf8(body_of(ctx, id).await?) {
        Ok(text) => (text, BodyEncoding::Text),
        Err(bytes) => (STANDARD.encode(bytes.as_bytes()), BodyEncoding::Base64),
    };
    Ok(WholeHookDeliveryView { delivery: delivery.into(), body, body_encoding })
}

async fn load(ctx: &Ctx, id: Uuid) -> Result<Model> {
    ctx.db().get::<Entity>(id).await?.ok_or(Error::not_found("hook delivery"))
}

async fn body_of(ctx: &Ctx, id: Uuid) -> Result<Vec<u8>> {
    let kept = ctx.db().get::<hook_body::Entity>(id).await?;
    Ok(kept.map(|kept| kept.body).unwrap_or_default())
}

/// Sends a delivery again, to the hook's task definition as it is now: a new delivery, whatever its sender's id.
///
/// # Errors
/// 409 `not_replayable` for one that proved nothing or cannot be read; what refuses a run refuses it.
pub async fn replay(ctx: &Ctx, id: Uuid) -> Result<HookDeliveryView> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let delivery = load(ctx, id).await?;
    let proved = !matches!(
        delivery.verdict,
        DeliveryVerdict::Unsigned | DeliveryVerdict::Malformed | DeliveryVerdict::Challenge
    );
    if !proved {
        return Err(Error::conflict("not_replayable", "Only what was proved and read is sent again."));
    }
    let hook = ctx.db().get::<inbound_hook::Entity>(delivery.hook_id).await?;
    let hook = hook.filter(|hook| hook.deleted_at.is_none());
    let hook = hook.ok_or_else(|| Error::conflict("target_gone", "The hook was deleted."))?;
    let definition = hooks::state(&ctx.core, &hook).await?;
    let kept = body_of(ctx, id).await?;
    let sent = hooks::again(&delivery.headers, delivery.content_type.as_deref(), &kept);
    let body = sent.read()?;
    let how = How { request_id: ctx.request_id.clone(), replay: Some((ctx, id)) };
    match hooks::deliver(&ctx.core, &hook, &definition, &sent, &body, how).await? {
        Delivered::Done(delivery) => Ok((*delivery).into()),
        Delivered::Ignored => {
            Err(Error::conflict("filtered", "The trigger's filter does not take the delivery."))
        }
        Delivered::Before(_) => Err(Error::internal("a replay has no first")),
    }
}
