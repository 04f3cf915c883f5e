//! The targets with what became of them, one after the other.

use async_stream::try_stream;
use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::task_target::{self, TargetStatus};
use futures_util::Stream;
use sea_orm::{ActiveEnum as _, FromQueryResult as _, QueryResult};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::crud;
use crate::ctx::Ctx;
use crate::error::{Error, Result};
use crate::tasks::batch_tasks::BatchTasks;

const PAGE: i64 = 200;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResultFormat {
    #[default]
    Jsonl,
    Csv,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ResultFilter {
    /// How the rows are written; `JSONL` where it is left out.
    #[serde(default)]
    #[param(inline, required = false)]
    pub format: ResultFormat,
    pub status: Option<TargetStatus>,
    /// Only targets behind this number: go on where an export broke off.
    #[param(minimum = 0)]
    pub after: Option<i32>,
}

/// A line of the export.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultRow {
    pub number: i32,
    pub target_key: String,
    pub status: TargetStatus,
    pub input: Value,
    /// Of its run, where it completed.
    #[schema(required)]
    pub output: Option<Value>,
    #[schema(required)]
    pub error: Option<Value>,
    pub cost: Nanos,
    #[schema(required)]
    pub run_id: Option<Uuid>,
    #[schema(required)]
    pub sent_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub completed_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub failed_at: Option<DateTime<Utc>>,
}

impl ResultRow {
    /// The header row of CSV.
    pub const COLUMNS: [&str; 11] = [
        "number",
        "targetKey",
        "status",
        "input",
        "output",
        "error",
        "cost",
        "runId",
        "sentAt",
        "completedAt",
        "failedAt",
    ];

    /// Its cells; what is JSON is written as such, and a text that a spreadsheet would compute is marked as
    /// text (OWASP, CSV Injection).
    pub fn cells(&self) -> [String; 11] {
        let json = |value: &Option<Value>| value.as_ref().map(Value::to_string).unwrap_or_default();
        let time = |time: Option<DateTime<Utc>>| time.map(|time| time.to_rfc3339()).unwrap_or_default();
        [
            self.number.to_string(),
            as_text(&self.target_key),
            self.status.to_value(),
            self.input.to_string(),
            self.output.as_ref().map_or_else(String::new, |output| match output {
                Value::String(text) => as_text(text),
                other => other.to_string(),
            }),
            json(&self.error),
            self.cost.to_decimal().to_string(),
            self.run_id.map(|id| id.to_string()).unwrap_or_default(),
            time(self.sent_at),
            time(self.completed_at),
            time(self.failed_at),
        ]
    }
}

fn as_text(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// # Errors
/// 404 when there is no such batch.
pub async fn results(
    ctx: Ctx,
    batch: Uuid,
    filter: ResultFilter,
) -> Result<impl Stream<Item = Result<ResultRow>> + Send> {
    crud::load::<BatchTasks>(&ctx, batch).await?;
    let status = filter.status.map(|status| status.to_value());
    let only = if status.is_some() { " AND t.status = $5" } else { "" };
    let sql = format!(
        "SELECT t.*, r.output AS run_output FROM task_target t \
         LEFT JOIN task_run r ON r.tenant_id = t.tenant_id AND r.id = t.run_id \
         WHERE t.tenant_id = $1 AND t.batch_id = $2 AND t.number > $3{only} ORDER BY t.number LIMIT $4"
    );
    Ok(try_stream! {
        let mut after = filter.after.unwrap_or(0);
        loop {
            let mut values = vec![batch.into(), after.into(), PAGE.into()];
            values.extend(status.clone().map(Into::into));
            let rows = ctx.db().query(&sql, values).await.map_err(Error::from)?;
            if rows.is_empty() {
                return;
            }
            for row in &rows {
                let row = read(row)?;
                after = row.number;
                yield row;
            }
        }
    })
}

fn read(row: &QueryResult) -> Result<ResultRow> {
    let output: Option<Value> = row.try_get("", "run_output").map_err(Error::from)?;
    let target = task_target::Model::from_query_result(row, "")?;
    Ok(ResultRow {
        number: target.number,
        target_key: target.target_key,
        status: target.status,
        input: target.input,
        output: output.filter(|_| target.status == TargetStatus::Completed),
        error: target.error,
        cost: target.cost_nanos,
        run_id: target.run_id,
        sent_at: target.sent_at,
        completed_at: target.completed_at,
        failed_at: target.failed_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_compute_is_text() {
        for (text, written) in [("=1+1", "'=1+1"), ("@x", "'@x"), ("a=1", "a=1"), ("", "")] {
            assert_eq!(as_text(text), written);
        }
    }
}
