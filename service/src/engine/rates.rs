//! Rate limits of tools and of model providers, exact over all nodes: how far each is used up stands in one row, and
//! a token is taken by one conditional statement ([`Spacing`]).
//!
//! What finds no token is given a **place**: the time at which there may be one for it. A place is no token, because
//! who holds one may never come or come late; who comes at its place asks like everybody. It only keeps those that
//! wait from coming all at once.

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::spacing::Spacing;
use crate::crud::Patch;
use crate::db::{Db, Reason, SystemTx};
use crate::error::{Error, Result};

const MOST: u32 = 60_000;

/// How often something is called at most, over all nodes and workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// Calls a minute, evenly spaced.
    #[schema(minimum = 1, maximum = 60_000)]
    pub per_minute: u32,
    /// Calls that may come at once after a rest. When absent: as many as a second allows, at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 60_000, nullable = false)]
    pub burst: Option<u32>,
}

impl RateLimit {
    /// As it is stored; an unreadable one limits nothing.
    pub fn stored(value: Option<&serde_json::Value>) -> Option<Self> {
        serde_json::from_value(value?.clone()).ok()
    }

    /// # Errors
    /// [`Error::Invalid`] below `pointer`.
    pub fn check(self, pointer: &str) -> Result<()> {
        let fields = [("perMinute", Some(self.per_minute)), ("burst", self.burst)];
        for (field, number) in fields {
            if number.is_some_and(|number| !(1..=MOST).contains(&number)) {
                let message = format!("must be between 1 and {MOST}");
                return Err(Error::invalid(format!("{pointer}/{field}"), "range", message));
            }
        }
        Ok(())
    }

    fn spacing(self) -> Spacing {
        Spacing::new(self.per_minute, self.burst)
    }
}

/// The limit that a body gives, as it is stored.
///
/// # Errors
/// [`Error::Invalid`] at `/rateLimit`.
pub fn checked(limit: Option<RateLimit>) -> Result<Option<serde_json::Value>> {
    let Some(limit) = limit else { return Ok(None) };
    limit.check("/rateLimit")?;
    serde_json::to_value(limit).map(Some).map_err(Error::internal)
}

/// The stored limit after a patch.
pub fn patched(
    patch: &Patch<RateLimit>,
    stored: Option<&serde_json::Value>,
) -> Result<Option<serde_json::Value>> {
    match patch {
        Patch::Keep => Ok(stored.cloned()),
        Patch::Clear => Ok(None),
        Patch::Set(limit) => checked(Some(*limit)),
    }
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Takes a token; when there is none, gives the place of who asked.
pub async fn take(
    db: &Db,
    tenant: Uuid,
    id: Uuid,
    limit: RateLimit,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let tx = db.system(Reason::Engine).begin().await?;
    let (now, spacing) = (now.timestamp_micros(), limit.spacing());
    let step = spacing.step();
    let sql = format!(
        "INSERT INTO rate_bucket (tenant_id, id, used_until, promised_until) VALUES ($1, $2, $6, 0) \
         ON CONFLICT (tenant_id, id) DO UPDATE SET used_until = {} + $4 \
         WHERE rate_bucket.used_until <= $5 RETURNING used_until",
        tx.dialect().greatest("rate_bucket.used_until", "$3"),
    );
    let rested = spacing.rested(now);
    let values = vec![
        tenant.into(),
        id.into(),
        rested.into(),
        step.into(),
        (now - step).into(),
        (rested + step).into(),
    ];
    let place = match tx.query(&sql, values).await?.is_empty() {
        false => None,
        true => {
            let sql = format!(
                "UPDATE rate_bucket SET promised_until = {} + $3 WHERE tenant_id = $1 AND id = $2 RETURNING promised_until",
                tx.dialect().greatest("promised_until", "used_until"),
            );
            let values = vec![tenant.into(), id.into(), step.into()];
            let row = tx.query(&sql, values).await?;
            let place: i64 = row.first().map_or(Ok(now), |row| row.try_get("", "promised_until"))?;
            Some(time(place))
        }
    };
    tx.commit().await?;
    if place.is_some() {
        metrics::counter!("engine_blocked_total", "limit" => "rate").increment(1);
    }
    Ok(place)
}

/// When the next token is there, if none is now.
pub async fn next(
    db: &Db,
    tenant: Uuid,
    id: Uuid,
    limit: RateLimit,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    let sql = "SELECT used_until FROM rate_bucket WHERE tenant_id = $1 AND id = $2";
    let rows = db.system(Reason::Engine).query(sql, vec![tenant.into(), id.into()]).await?;
    let Some(used) = rows.first().map(used_until).transpose()? else { return Ok(None) };
    let spacing = limit.spacing();
    Ok((spacing.turns(used, now.timestamp_micros()) == 0).then(|| time(spacing.next(used))))
}

fn used_until(row: &QueryResult) -> Result<i64, DbErr> {
    row.try_get("", "used_until")
}

/// What a claim may take of a bucket, which it holds until it commits.
pub struct Tokens {
    tenant: Uuid,
    id: Uuid,
    limit: RateLimit,
    used_until: i64,
    now: i64,
}

impl Tokens {
    /// `None` when another claim looks at it now: waiting for it could lock two nodes against each other.
    pub async fn lock(
        tx: &SystemTx,
        tenant: Uuid,
        id: Uuid,
        limit: RateLimit,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, DbErr> {
        let key = vec![tenant.into(), id.into()];
        let sql = format!(
            "SELECT used_until FROM rate_bucket WHERE tenant_id = $1 AND id = $2{}",
            tx.dialect().skip_locked()
        );
        let found = tx.query(&sql, key.clone()).await?;
        let used_until = match found.first() {
            Some(row) => used_until(row)?,
            // Two claims that insert two rows in two orders would wait for each other.
            None if !tx.try_lock(&format!("rate-bucket/{tenant}/{id}")).await? => return Ok(None),
            None => {
                let new = "INSERT INTO rate_bucket (tenant_id, id, used_until, promised_until) \
                     VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING";
                if tx.execute(new, key).await?.rows_affected() == 0 {
                    return Ok(None);
                }
                0
            }
        };
        Ok(Some(Self { tenant, id, limit, used_until, now: now.timestamp_micros() }))
    }

    pub fn count(&self) -> u64 {
        self.limit.spacing().turns(self.used_until, self.now)
    }

    pub async fn spend(self, tx: &SystemTx, count: u64) -> Result<(), DbErr> {
        let used = self.limit.spacing().used(self.used_until, self.now, count);
        let sql = "UPDATE rate_bucket SET used_until = $3 WHERE tenant_id = $1 AND id = $2";
        tx.execute(sql, vec![self.tenant.into(), self.id.into(), used.into()]).await.map(drop)
    }
}
