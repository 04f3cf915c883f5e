//! How much a key was used, a day at a time.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use entity::identity::api_key_usage::{Column, Entity};
use sea_orm::ColumnTrait as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::api_keys::ApiKeys;
use crate::auth::key_usage::{Counts, KEPT_DAYS, day_of};
use crate::crud;
use crate::ctx::Ctx;
use crate::error::{Error, Result};

const DEFAULT_DAYS: i64 = 30;

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageParams {
    /// How many days, with today as the last one.
    #[param(minimum = 1, maximum = 90, default = 30)]
    pub days: Option<i64>,
}

/// The requests of one day (UTC).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyUsageDay {
    #[schema(example = "2026-11-25")]
    pub day: NaiveDate,
    /// Answered with success.
    pub succeeded: i64,
    /// Answered with 4xx: what was asked was wrong, or was not allowed.
    pub refused: i64,
    /// Answered with 5xx.
    pub failed: i64,
    pub total: i64,
}

/// Usage is counted aside and written every few seconds: what other nodes counted meanwhile is missing.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyUsageView {
    /// The days on which the key was used, the latest first.
    pub data: Vec<ApiKeyUsageDay>,
    /// The sum of these days.
    pub total: i64,
}

/// # Errors
/// 404; 422 at `days`.
pub async fn get(ctx: &Ctx, id: Uuid, params: &UsageParams) -> Result<ApiKeyUsageView> {
    let days = params.days.unwrap_or(DEFAULT_DAYS);
    if !(1..=KEPT_DAYS).contains(&days) {
        return Err(Error::invalid("days", "range", format!("days must be from 1 to {KEPT_DAYS}.")));
    }
    crud::load::<ApiKeys>(ctx, id).await?;
    let first = day_of(ctx.core.clock.now()) - TimeDelta::days(days - 1);
    let mut counted = BTreeMap::<DateTime<Utc>, Counts>::new();
    let db = ctx.db();
    let stored = db.find::<Entity>().filter(Column::KeyId.eq(id)).filter(Column::Day.gte(first));
    for row in stored.all().await? {
        let counts = Counts { succeeded: row.succeeded, refused: row.refused, failed: row.failed };
        counted.entry(row.day).or_default().add(counts);
    }
    let waiting = ctx.core.key_usage.waiting(ctx.tenant, id).into_iter();
    for (day, counts) in waiting.filter(|(day, _)| *day >= first) {
        counted.entry(day).or_default().add(counts);
    }
    let day = |(day, counts): (DateTime<Utc>, Counts)| {
        let Counts { succeeded, refused, failed } = counts;
        let total = succeeded + refused + failed;
        ApiKeyUsageDay { day: day.date_naive(), succeeded, refused, failed, total }
    };
    let data: Vec<_> = counted.into_iter().rev().map(day).collect();
    Ok(ApiKeyUsageView { total: data.iter().map(|day| day.total).sum(), data })
}
