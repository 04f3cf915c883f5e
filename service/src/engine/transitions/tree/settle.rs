//! Children that ended → their parents: cost, counts, and WAITING(CHILDREN) → PENDING once what a parent
//! waits for has come. Parents that ended themselves hand the cost on to theirs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::tasks::run_event;
use entity::tasks::task_run::{RunReason, RunStatus};
use sea_orm::DbErr;
use serde_json::json;
use uuid::Uuid;

use super::{LEVELS, PLACE, Place, Ripple};
use crate::db::Kind::{Bool, Int, Time, Uuid as Id};
use crate::db::{Column, Dialect, SystemTx};
use crate::engine::transitions::{
    NEXT_START, SECONDS_PER_PRIORITY, append_events, event, order_key, shifted_deadline, waited,
};

/// A parent that this transaction holds.
struct Parent {
    of: Option<Uuid>,
    status: RunStatus,
    reason: RunReason,
}

/// What its children came to.
#[derive(Clone, Copy, Default)]
struct Sum {
    cost: Nanos,
    unpriced: bool,
    all: i64,
    /// Of those that are settled.
    ended: i64,
    failed: i64,
    unsettled: i64,
}

struct Row {
    parent: Place,
    sum: Sum,
    now: DateTime<Utc>,
}

const COLUMNS: [Column<Row>; 9] = [
    Column::new("tenant_id", Id, |row| row.parent.0.into()),
    Column::new("id", Id, |row| row.parent.1.into()),
    Column::new("at", Time, |row| row.now.into()),
    Column::new("front", Int, |row| order_key(row.now, 0).into()),
    Column::new("tree_cost", Int, |row| row.sum.cost.0.into()),
    Column::new("no_price", Bool, |row| row.sum.unpriced.into()),
    Column::new("all_of_them", Int, |row| row.sum.all.into()),
    Column::new("ended", Int, |row| row.sum.ended.into()),
    Column::new("failed", Int, |row| row.sum.failed.into()),
];

/// Settles with these parents what their children came to since the last time.
pub async fn settle(tx: &SystemTx, parents: Vec<Place>, now: DateTime<Utc>) -> Result<Ripple, DbErr> {
    let mut ripple = Ripple::default();
    let mut parents: BTreeSet<Place> = parents.into_iter().collect();
    for _ in 0..LEVELS {
        if parents.is_empty() {
            break;
        }
        let asked = parents.len();
        let held = hold(tx, parents.into_iter().collect()).await?;
        ripple.again |= held.len() < asked;
        if held.is_empty() {
            break;
        }
        let places: Vec<Place> = held.keys().copied().collect();
        // What ends between the two counts for neither: a parent that wakes has the cost of all that woke it.
        let shares = take_shares(tx, &places).await?;
        let mut sums = count(tx, &places).await?;
        ripple.again |= sums.values().any(|sum| sum.unsettled > 0);
        for (parent, cost, unpriced) in shares {
            let sum = sums.entry(parent).or_default();
            sum.cost += cost;
            sum.unpriced |= unpriced;
        }
        ripple.changed.extend(update(tx, &held, &sums, now).await?);
        let hands_on = |(place, parent): (&Place, &Parent)| {
            let costs = sums.get(place).is_some_and(|sum| sum.cost != Nanos::ZERO || sum.unpriced);
            (costs && parent.status.is_terminal()).then_some((place.0, parent.of?))
        };
        parents = held.iter().filter_map(hands_on).collect();
    }
    Ok(ripple)
}

/// The parents that nobody else holds.
async fn hold(tx: &SystemTx, parents: Vec<Place>) -> Result<BTreeMap<Place, Parent>, DbErr> {
    let sql = format!(
        "SELECT r.tenant_id, r.id, r.parent_run_id, r.status, r.reason FROM {rows} \
         JOIN task_run r ON r.tenant_id = v.tenant_id AND r.id = v.id{lock}",
        rows = tx.dialect().rows(1, &PLACE),
        lock = tx.dialect().skip_locked_of("r"),
    );
    let mut held = BTreeMap::new();
    for row in tx.query(&sql, tx.dialect().bind(&PLACE, &parents)).await? {
        let place = (row.try_get("", "tenant_id")?, row.try_get("", "id")?);
        let parent = Parent {
            of: row.try_get("", "parent_run_id")?,
            status: row.try_get("", "status")?,
            reason: row.try_get("", "reason")?,
        };
        held.insert(place, parent);
    }
    Ok(held)
}

async fn count(tx: &SystemTx, parents: &[Place]) -> Result<BTreeMap<Place, Sum>, DbErr> {
    let sql = format!(
        "SELECT c.tenant_id, c.parent_run_id, COUNT(*) AS of_all, \
         COUNT(CASE WHEN {settled} THEN 1 END) AS of_ended, \
         COUNT(CASE WHEN {settled} AND c.status IN ('FAILED', 'CANCELLED') THEN 1 END) AS of_failed, \
         COUNT(CASE WHEN c.completed_at IS NOT NULL AND NOT c.settled THEN 1 END) AS of_unsettled \
         FROM {rows} JOIN task_run c ON c.tenant_id = v.tenant_id AND c.parent_run_id = v.id \
         GROUP BY c.tenant_id, c.parent_run_id",
        settled = "c.completed_at IS NOT NULL AND c.settled",
        rows = tx.dialect().rows(1, &PLACE),
    );
    let mut sums = BTreeMap::new();
    for row in tx.query(&sql, tx.dialect().bind(&PLACE, parents)).await? {
        let sum = Sum {
            all: row.try_get("", "of_all")?,
            ended: row.try_get("", "of_ended")?,
            failed: row.try_get("", "of_failed")?,
            unsettled: row.try_get("", "of_unsettled")?,
            ..Sum::default()
        };
        sums.insert((row.try_get("", "tenant_id")?, row.try_get("", "parent_run_id")?), sum);
    }
    Ok(sums)
}

/// Marks what the ended children cost since the last time as settled; who takes it has to add it.
async fn take_shares(tx: &SystemTx, parents: &[Place]) -> Result<Vec<(Place, Nanos, bool)>, DbErr> {
    let dialect = tx.dialect();
    let due = format!(
        "SELECT c.tenant_id, c.id, c.parent_run_id, c.unpriced, \
         c.cost_nanos + c.child_cost_nanos - c.settled_nanos AS share \
         FROM {rows} JOIN task_run c ON c.tenant_id = v.tenant_id AND c.parent_run_id = v.id \
         WHERE c.parent_run_id IS NOT NULL AND c.completed_at IS NOT NULL AND NOT c.settled{lock}",
        rows = dialect.rows(1, &PLACE),
        lock = dialect.skip_locked_of("c"),
    );
    let mut shares = Vec::new();
    let mut children: Vec<Place> = Vec::new();
    for row in tx.query(&due, dialect.bind(&PLACE, parents)).await? {
        let tenant = row.try_get("", "tenant_id")?;
        children.push((tenant, row.try_get("", "id")?));
        let share = Nanos(row.try_get("", "share")?);
        shares.push(((tenant, row.try_get("", "parent_run_id")?), share, row.try_get("", "unpriced")?));
    }
    if !children.is_empty() {
        let sql = format!(
            "UPDATE task_run AS r SET settled = {yes}, settled_nanos = r.cost_nanos + r.child_cost_nanos \
             FROM {rows} WHERE r.tenant_id = v.tenant_id AND r.id = v.id",
            yes = dialect.literal(true),
            rows = dialect.rows(1, &PLACE),
        );
        tx.execute(&sql, dialect.bind(&PLACE, &children)).await?;
    }
    Ok(shares)
}

fn statement(dialect: Dialect) -> String {
    let wakes = "p.status = 'WAITING' AND p.reason = 'CHILDREN' \
         AND (v.ended >= v.all_of_them OR v.ended >= p.wake_ended OR v.failed >= p.wake_failed)";
    let woken =
        |column: &str, value: &str| format!("{column} = CASE WHEN {wakes} THEN {value} ELSE p.{column} END");
    format!(
        "UPDATE task_run AS p SET \
         child_cost_nanos = p.child_cost_nanos + v.tree_cost, \
         unpriced = CASE WHEN v.no_price THEN v.no_price ELSE p.unpriced END, \
         settled = CASE WHEN v.tree_cost <> 0 OR v.no_price THEN {no} ELSE p.settled END, \
         children_ended = v.ended, \
         {status}, {reason}, {wait_until}, {waiting_since}, {wake_ended}, {wake_failed}, {waiting_ms}, \
         {deadline_at}, {available_at}, {queued_at}, {order}, {expiry}, {seq}, {updated_at} \
         FROM {rows} WHERE p.tenant_id = v.tenant_id AND p.id = v.id {returning}",
        no = dialect.literal(false),
        status = woken("status", "'PENDING'"),
        reason = woken("reason", "'QUEUED'"),
        wait_until = woken("wait_until", "NULL"),
        waiting_since = woken("waiting_since", "NULL"),
        wake_ended = woken("wake_ended", "NULL"),
        wake_failed = woken("wake_failed", "NULL"),
        waiting_ms = woken("waiting_ms", &format!("p.waiting_ms + {}", waited(dialect, "v.at"))),
        deadline_at = woken("deadline_at", &shifted_deadline(dialect, "v.at")),
        available_at = woken("available_at", "v.at"),
        queued_at = woken("queued_at", "v.at"),
        order = woken("order_key", &format!("v.front - p.priority * {}", SECONDS_PER_PRIORITY * 1_000_000)),
        expiry = woken("queue_expires_at", &dialect.after_seconds("v.at", NEXT_START)),
        seq = woken("event_seq", "p.event_seq + 1"),
        updated_at = woken("updated_at", "v.at"),
        rows = dialect.rows(1, &COLUMNS),
        returning = dialect.returning_of("p"),
    )
}

/// Adds the sums to the parents; the answer holds those that wake.
async fn update(
    tx: &SystemTx,
    held: &BTreeMap<Place, Parent>,
    sums: &BTreeMap<Place, Sum>,
    now: DateTime<Utc>,
) -> Result<Vec<(Uuid, RunStatus)>, DbErr> {
    let rows: Vec<Row> = held
        .keys()
        .map(|place| Row { parent: *place, sum: sums.get(place).copied().unwrap_or_default(), now })
        .collect();
    let mut events: Vec<run_event::Model> = Vec::new();
    let places: BTreeMap<Uuid, Place> = held.keys().map(|place| (place.1, *place)).collect();
    for row in tx.query(&statement(tx.dialect()), tx.dialect().bind(&COLUMNS, &rows)).await? {
        let id: Uuid = row.try_get("", "id")?;
        let Some((place, parent)) = places.get(&id).and_then(|place| Some((place, held.get(place)?))) else {
            continue;
        };
        let waited = parent.status == RunStatus::Waiting && parent.reason == RunReason::Children;
        if !waited || row.try_get::<RunStatus>("", "status")? != RunStatus::Pending {
            continue;
        }
        let sum = sums.get(place).copied().unwrap_or_default();
        let data = json!({ "children": { "ended": sum.ended, "failed": sum.failed, "all": sum.all } });
        events.push(event(place.0, id, row.try_get("", "event_seq")?, "run.resumed", data, now));
    }
    append_events(tx, &events).await?;
    Ok(events.into_iter().map(|event| (event.run_id, RunStatus::Pending)).collect())
}
