//! Verification of the stored chain, in batches, so that memory does not grow with its length.

use std::collections::VecDeque;

use entity::governance::{audit_chain, audit_log};
use sea_orm::{ColumnTrait as _, Order};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::chain::{self, hex};
use super::checkpoint::{self, LONGEST};
use super::verifier::{Break, Link, Verifier, Weighed};
use crate::ctx::Ctx;
use crate::db::TenantDb;
use crate::error::{Error, Result};

const BATCH: u64 = 1_000;
/// Batches that are read at once.
const READ_AHEAD: usize = 3;
/// Rows of one call: some seconds.
const MOST: u64 = 1_000_000;

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct VerifyAuditLogs {
    /// Begins behind the row with this number, whose hash is taken as true; without it at the oldest row.
    #[param(minimum = 0)]
    pub after: Option<i64>,
    /// How many rows are verified.
    #[param(minimum = 1, maximum = 1_000_000, default = 1_000_000)]
    pub limit: Option<u64>,
    /// A checkpoint that was kept outside: the chain must contain it.
    #[param(max_length = 2048)]
    pub checkpoint: Option<String>,
}

/// How far the chain was found whole.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditVerification {
    /// Whether everything that was looked at fits.
    pub intact: bool,
    /// Where it first breaks; null where it does not.
    #[schema(required)]
    pub first_break: Option<Break>,
    /// The number of the row behind which verification began.
    pub after: i64,
    /// The number of the last row that fits: give it as `after` to go on.
    pub verified: i64,
    /// How many rows fit.
    pub rows: u64,
    /// How many of them have lost their address or data.
    pub erased: u64,
    /// Whether the end of the chain was reached; else go on behind `verified`.
    pub complete: bool,
    /// Rows up to this number were removed by retention.
    pub anchor: i64,
    /// Null where no checkpoint was given.
    #[schema(required)]
    pub checkpoint: Option<CheckpointVerdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CheckpointVerdict {
    /// The chain contains it.
    Contained,
    /// The chain contradicts it.
    Contradicted,
    /// Its row is not among those that were looked at.
    NotReached,
}

/// # Errors
/// 422 at `after` or `checkpoint`.
pub async fn verify(ctx: &Ctx, verify: VerifyAuditLogs) -> Result<AuditVerification> {
    let VerifyAuditLogs { after, limit, checkpoint } = verify;
    let limit = limit.unwrap_or(MOST);
    let kept = checkpoint.map(|text| checkpoint::open(ctx, &text)).transpose()?;
    let ends = ends(&ctx.db()).await?;
    let start = start(ctx, &ends, after).await?;
    let mut verifier = Verifier::new(start.clone(), kept.clone().filter(|kept| kept.number > start.number));
    let last = ends.end.number.min(start.number.saturating_add(i64::try_from(limit).unwrap_or(i64::MAX)));
    let complete = last == ends.end.number;
    let mut broken = walk(ctx, &mut verifier, last).await?;
    if broken.is_none() && complete {
        broken = verifier.end(&ends.end).err();
    }
    let reached = verifier.at().number;
    let verdict = kept.map(|kept| match () {
        () if kept == start => CheckpointVerdict::Contained,
        () if kept.number == start.number => CheckpointVerdict::Contradicted,
        () if kept.number < start.number => CheckpointVerdict::NotReached,
        () if kept.number <= reached => CheckpointVerdict::Contained,
        () if broken.is_some() => CheckpointVerdict::Contradicted,
        () => CheckpointVerdict::NotReached,
    });
    Ok(AuditVerification {
        intact: broken.is_none() && verdict != Some(CheckpointVerdict::Contradicted),
        first_break: broken,
        after: start.number,
        verified: reached,
        rows: verifier.rows,
        erased: verifier.erased,
        complete: complete && broken.is_none(),
        anchor: ends.anchor.number,
        checkpoint: verdict,
    })
}

/// Both ends of the tenant's chain.
pub(super) struct Ends {
    pub anchor: Link,
    pub end: Link,
}

pub(super) async fn ends(db: &TenantDb) -> Result<Ends> {
    let before_all = || Link { number: 0, hash: chain::START.to_vec() };
    Ok(match db.get::<audit_chain::Entity>(db.tenant()).await? {
        None => Ends { anchor: before_all(), end: before_all() },
        Some(audit_chain::Model { tenant_id: _, number, hash, anchor_number, anchor_hash }) => {
            Ends { anchor: Link { number: anchor_number, hash: anchor_hash }, end: Link { number, hash } }
        }
    })
}

async fn start(ctx: &Ctx, ends: &Ends, after: Option<i64>) -> Result<Link> {
    let Some(after) = after.filter(|after| *after != ends.anchor.number) else {
        return Ok(ends.anchor.clone());
    };
    let db = ctx.db();
    let row = db.find::<audit_log::Entity>().filter(audit_log::Column::Number.eq(after)).one().await?;
    let missing = || Error::invalid("after", "not_found", "There is no audit row with this number.");
    let row = row.ok_or_else(missing)?;
    Ok(Link { number: row.number, hash: row.hash })
}

/// The whole of a stored chain: how many rows fit, and where it breaks.
pub async fn verify_stored(db: &TenantDb) -> Result<(u64, Option<Break>)> {
    let ends = ends(db).await?;
    let mut verifier = Verifier::new(ends.anchor.clone(), None);
    loop {
        let rows = batch(db, verifier.at().number, i64::MAX, BATCH).await?;
        if rows.is_empty() {
            return Ok((verifier.rows, verifier.end(&ends.end).err()));
        }
        if let Err(broken) = rows.into_iter().try_for_each(|row| verifier.step(&row.into())) {
            return Ok((verifier.rows, Some(broken)));
        }
    }
}

/// Links one batch while the next ones are read and weighed, each by its numbers, on connections and cores of
/// their own: what is done one row after the other is one hash.
async fn walk(ctx: &Ctx, verifier: &mut Verifier, last: i64) -> Result<Option<Break>> {
    let mut ranges = ranges(verifier.at().number, last);
    let read = |(after, to): (i64, i64)| {
        let ctx = ctx.clone();
        tokio::spawn(async move {
            let rows = batch(&ctx.db(), after, to, BATCH).await?;
            Ok::<Vec<Weighed>, Error>(rows.into_iter().map(Weighed::from).collect())
        })
    };
    let mut reads: VecDeque<_> = ranges.by_ref().take(READ_AHEAD).map(read).collect();
    while let Some(next) = reads.pop_front() {
        let rows = next.await.map_err(Error::internal)??;
        reads.extend(ranges.next().map(read));
        // Rows that are missing are noticed at the next one, or at the end.
        if let Err(broken) = rows.iter().try_for_each(|row| verifier.step(row)) {
            return Ok(Some(broken));
        }
    }
    Ok(None)
}

/// The numbers behind `after` up to `last` in steps of a batch: behind the first, up to the second.
fn ranges(after: i64, last: i64) -> impl Iterator<Item = (i64, i64)> {
    let step = i64::try_from(BATCH).unwrap_or(i64::MAX);
    std::iter::successors(Some(after), move |from| from.checked_add(step))
        .take_while(move |from| *from < last)
        .map(move |from| (from, from.saturating_add(step).min(last)))
}

/// The rows behind `after`, up to `last`, in the order of their numbers.
pub(super) async fn batch(db: &TenantDb, after: i64, last: i64, most: u64) -> Result<Vec<audit_log::Model>> {
    let rows = db
        .find::<audit_log::Entity>()
        .filter(audit_log::Column::Number.gt(after))
        .filter(audit_log::Column::Number.lte(last));
    rows.order_by(audit_log::Column::Number, Order::Asc).limit(most).all().await
}

/// The end of the chain as it is now, in a form that proves later what it was.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditCheckpoint {
    /// A JWS (EdDSA), to be kept outside: its key is in `/.well-known/jwks.json`.
    pub checkpoint: String,
    /// The number of the last row.
    pub number: i64,
    /// Its hash, in hex.
    pub hash: String,
}

pub async fn take_checkpoint(ctx: &Ctx) -> Result<AuditCheckpoint> {
    let end = ends(&ctx.db()).await?.end;
    let checkpoint = checkpoint::seal(ctx, &end)?;
    debug_assert!(checkpoint.len() <= LONGEST);
    Ok(AuditCheckpoint { checkpoint, number: end.number, hash: hex(&end.hash) })
}
