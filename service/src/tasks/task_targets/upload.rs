//! Targets from a text, a page at a time: each row is either added, known already, or reported with its line.
//! A row that is wrong keeps no other out.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use entity::money::Nanos;
use entity::tasks::batch_task::{BatchStatus, Entity};
use entity::tasks::task_target::{Model, TargetStatus};
use sea_orm::{ActiveEnum as _, DbErr};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::NewTarget;
use crate::crud;
use crate::ctx::Ctx;
use crate::db::{Column, Kind, Reason, SystemTx};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::tasks::batch_tasks::{self, BatchTasks};
use crate::tasks::targets::{self, Target, Wanted};
use crate::tasks::task_runs::check_input;

const PAGE: usize = 500;
const MOST_ERRORS: usize = 100;
/// Targets of one batch.
const MOST: i32 = 1_000_000;
const LONGEST_KEY: usize = 200;
/// Of an input, as JSON.
const LARGEST_INPUT: usize = 256 << 10;
const KEY: &str = "targetKey";

/// Where targets come from.
pub enum Upload {
    Rows(Vec<NewTarget>),
    /// One JSON object a line, with `targetKey` and `input`.
    JsonLines(Bytes),
    /// A header row; `targetKey` (or the column of this name) and the members of the input.
    Csv(Bytes, Option<String>),
}

/// What became of the rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    pub added: u32,
    /// The batch has them already, with the same input.
    pub known: u32,
    pub rejected: u32,
    /// The first hundred of those that were rejected.
    pub errors: Vec<RowError>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowError {
    /// The line of the text, from 1; of a JSON body the place in `targets`, from 1.
    pub line: u64,
    /// `json`, `csv`, `target_key`, `duplicate`, `input_invalid` or `too_large`.
    pub code: String,
    pub message: String,
}

type Row = Result<(u64, NewTarget), RowError>;

fn wrong(line: u64, code: &str, message: impl Into<String>) -> RowError {
    RowError { line, code: code.to_owned(), message: message.into() }
}

/// Adds targets to a draft.
///
/// # Errors
/// 409 `invalid_transition` for a batch that has begun, `too_many_targets`; 422 for a text without a header row.
pub async fn add(ctx: &Ctx, id: Uuid, upload: Upload) -> Result<Added> {
    if let Some(added) = ctx.replay().await? {
        return Ok(added);
    }
    let row = crud::load::<BatchTasks>(ctx, id).await?;
    ctx.view.require(row.workspace_id)?;
    require_draft(row.status)?;
    let target = targets::resolve(ctx, Wanted::Definition(row.definition_id)).await?;
    let rows: Box<dyn Iterator<Item = Row> + Send + '_> = match &upload {
        Upload::Rows(rows) => Box::new((1..).zip(rows.iter().cloned()).map(Ok)),
        Upload::JsonLines(text) => Box::new(json_lines(text)),
        Upload::Csv(text, key) => Box::new(csv_rows(text, key.as_deref(), &target)?),
    };
    let mut rows = rows.peekable();
    let mut added = Added::default();
    let mut seen = HashSet::new();
    loop {
        let mut page = Vec::with_capacity(PAGE);
        for row in rows.by_ref().take(PAGE) {
            match row.and_then(|row| check(row, &target, &mut seen)) {
                Ok(row) => page.push(row),
                Err(error) => reject(&mut added, error),
            }
        }
        let is_last = rows.peek().is_none();
        let tx = ctx.core.db.system(Reason::Engine).begin().await?;
        let locked =
            batch_tasks::lock(&tx, batch_tasks::key(&row)).await?.ok_or(Error::not_found("batch task"))?;
        require_draft(locked.status)?;
        insert(ctx, &tx, &locked, page, &mut added).await?;
        if is_last {
            let Added { added: new, known, rejected, .. } = &added;
            let told = json!({ "name": locked.name, "added": new, "known": known, "rejected": rejected });
            ctx.finish(tx, Change::of::<Entity>(id).with(told), &added).await?;
            return Ok(added);
        }
        tx.commit().await?;
    }
}

fn require_draft(status: BatchStatus) -> Result<()> {
    if status == BatchStatus::Draft {
        return Ok(());
    }
    Err(Error::conflict("invalid_transition", "Targets are added to a draft only."))
}

fn reject(added: &mut Added, error: RowError) {
    added.rejected += 1;
    if added.errors.len() < MOST_ERRORS {
        added.errors.push(error);
    }
}

fn check((line, row): (u64, NewTarget), target: &Target, seen: &mut HashSet<String>) -> Row {
    if row.target_key.is_empty()
        || row.target_key.chars().count() > LONGEST_KEY
        || row.target_key.contains('\0')
    {
        let message = format!("A targetKey has 1 to {LONGEST_KEY} characters.");
        return Err(wrong(line, "target_key", message));
    }
    if row.input.to_string().len() > LARGEST_INPUT {
        return Err(wrong(line, "too_large", format!("An input has at most {LARGEST_INPUT} bytes.")));
    }
    if let Err(Error::Invalid { errors }) = check_input(target, &row.input) {
        return Err(wrong(line, "input_invalid", batch_tasks::described(&errors)));
    }
    if !seen.insert(row.target_key.clone()) {
        return Err(wrong(line, "duplicate", "Another row of the upload has this targetKey."));
    }
    Ok((line, row))
}

fn json_lines(text: &[u8]) -> impl Iterator<Item = Row> + '_ {
    let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
    let written = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    written.map(|(number, line)| {
        let read = serde_json::from_slice(line.trim_ascii());
        read.map(|row| (number, row)).map_err(|error| wrong(number, "json", sentence(&error)))
    })
}

fn sentence(error: &impl std::fmt::Display) -> String {
    error.to_string().chars().take(200).collect()
}

fn csv_rows<'a>(
    text: &'a [u8],
    key: Option<&str>,
    target: &'a Target,
) -> Result<impl Iterator<Item = Row> + 'a> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(text);
    let broken = |message: String| Error::invalid("", "csv", message);
    let header = reader.headers().map_err(|error| broken(sentence(&error)))?.clone();
    let key = key.unwrap_or(KEY);
    let place = header.iter().position(|name| name == key);
    let place = place.ok_or_else(|| broken(format!("The header row has no column {key}.")))?;
    Ok(reader.into_records().map(move |record| {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            wrong(line, "csv", sentence(&error))
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let mut input = Map::new();
        for (at, (name, cell)) in header.iter().zip(record.iter()).enumerate() {
            if at != place && !cell.is_empty() {
                input.insert(name.to_owned(), typed(target, name, cell));
            }
        }
        let target_key = record.get(place).unwrap_or_default().to_owned();
        Ok((line, NewTarget { target_key, input: Value::Object(input) }))
    }))
}

/// A cell as the type that the input schema wants there; a text, unless it says otherwise.
fn typed(target: &Target, name: &str, cell: &str) -> Value {
    let wanted = target.input_types.get(name).map_or("string", String::as_str);
    let parsed = match wanted {
        "integer" | "number" | "boolean" | "array" | "object" => serde_json::from_str(cell).ok(),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::String(cell.to_owned()))
}

const COLUMNS: [Column<Model>; 8] = [
    Column::new("tenant_id", Kind::Uuid, |target| target.tenant_id.into()),
    Column::new("id", Kind::Uuid, |target| target.id.into()),
    Column::optional("workspace_id", Kind::Uuid, |target| target.workspace_id.into()),
    Column::new("batch_id", Kind::Uuid, |target| target.batch_id.into()),
    Column::new("number", Kind::Int, |target| i64::from(target.number).into()),
    Column::new("target_key", Kind::Text, |target| target.target_key.clone().into()),
    Column::optional("input", Kind::Json, |target| target.input.clone().into()),
    Column::new("created_at", Kind::Time, |target| target.created_at.into()),
];

const KEYS: [Column<String>; 1] = [Column::new("wanted", Kind::Text, |key| key.clone().into())];

async fn insert(
    ctx: &Ctx,
    tx: &SystemTx,
    batch: &entity::tasks::batch_task::Model,
    page: Vec<(u64, NewTarget)>,
    added: &mut Added,
) -> Result<()> {
    let known = known(tx, batch, &page).await?;
    let now = ctx.core.clock.now();
    let mut number = batch.last_number;
    let mut new = Vec::with_capacity(page.len());
    for (line, NewTarget { target_key, input }) in page {
        match known.get(&target_key) {
            Some(same) if *same == crate::db::rows::storable(input.clone()) => added.known += 1,
            Some(_) => {
                let message = "The batch has another target with this targetKey.";
                reject(added, wrong(line, "duplicate", message));
            }
            None => {
                number += 1;
                added.added += 1;
                new.push(Model {
                    tenant_id: batch.tenant_id,
                    id: ctx.core.ids.next(),
                    workspace_id: batch.workspace_id,
                    batch_id: batch.id,
                    number,
                    target_key,
                    input,
                    status: TargetStatus::Pending,
                    run_id: None,
                    tries: 0,
                    error: None,
                    cost_nanos: Nanos::ZERO,
                    former_cost_nanos: Nanos::ZERO,
                    sent_at: None,
                    completed_at: None,
                    failed_at: None,
                    created_at: now,
                    updated_at: now,
                });
            }
        }
    }
    if number > MOST {
        return Err(Error::conflict("too_many_targets", format!("A batch has at most {MOST} targets.")));
    }
    if new.is_empty() {
        return Ok(());
    }
    let pending = TargetStatus::Pending.to_value();
    let sql = format!(
        "INSERT INTO task_target (tenant_id, id, workspace_id, batch_id, number, target_key, input, status, tries, \
         cost_nanos, former_cost_nanos, created_at, updated_at) SELECT tenant_id, id, workspace_id, batch_id, number, target_key, \
         COALESCE(input, {}), '{pending}', 0, 0, 0, created_at, created_at FROM {}",
        tx.dialect().json("null"),
        tx.dialect().rows(1, &COLUMNS),
    );
    tx.execute(&sql, tx.dialect().bind(&COLUMNS, &new)).await?;
    let sql = "UPDATE batch_task SET last_number = $3 WHERE tenant_id = $1 AND id = $2";
    tx.execute(sql, vec![batch.tenant_id.into(), batch.id.into(), number.into()]).await?;
    Ok(())
}

/// The inputs of those keys that the batch has.
async fn known(
    tx: &SystemTx,
    batch: &entity::tasks::batch_task::Model,
    page: &[(u64, NewTarget)],
) -> Result<HashMap<String, Value>> {
    if page.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<String> = page.iter().map(|(_, row)| row.target_key.clone()).collect();
    let sql = format!(
        "SELECT t.target_key, t.input FROM {} JOIN task_target t ON t.tenant_id = $1 AND t.batch_id = $2 \
         AND t.target_key = v.wanted",
        tx.dialect().rows(3, &KEYS)
    );
    let values = [vec![batch.tenant_id.into(), batch.id.into()], tx.dialect().bind(&KEYS, &keys)].concat();
    let rows = tx.query(&sql, values).await?;
    let read = |row: &sea_orm::QueryResult| Ok((row.try_get("", "target_key")?, row.try_get("", "input")?));
    Ok(rows.iter().map(read).collect::<Result<_, DbErr>>()?)
}
