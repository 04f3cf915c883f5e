//! What a worker may take: as much as it has slots free, of the lanes in which runs wait for what it offers.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{DbErr, QueryResult};
use uuid::Uuid;

use super::circles::{Lane, MOST_LANES};
use super::claim::{Claim, Share, Standing};
use crate::db::{Column, Kind, SystemTx};

/// Lanes of what one worker offers.
const MOST_OFFERED: usize = 1_000;
/// That a worker asked for runs is written when it was not for so long.
const ASKED: TimeDelta = TimeDelta::seconds(5);

impl Claim<'_> {
    /// How many runs the worker may take, its tenant's share with the lanes whose turn it is, and whether there are
    /// more lanes. The lock on its row makes its slots exact, whatever calls it makes at once.
    pub(super) async fn worker_share(
        &self,
        tx: &SystemTx,
        tenant: Uuid,
        most: u64,
    ) -> Result<(u64, (Vec<Share>, bool)), DbErr> {
        let nothing = (0, (Vec::new(), false));
        let sql = format!(
            "SELECT slots, capabilities, last_claim_at, paused_at, drained_at, delivery_after FROM worker \
             WHERE tenant_id = $1 AND id = $2{}",
            tx.dialect().for_update()
        );
        let key = vec![tenant.into(), self.owner.into()];
        let Some(worker) = tx.query(&sql, key).await?.into_iter().next() else { return Ok(nothing) };
        self.note_asked(tx, tenant, time(&worker, "last_claim_at")?).await?;
        if time(&worker, "paused_at")?.is_some() || time(&worker, "drained_at")?.is_some() {
            return Ok(nothing);
        }
        // It did not take the last ones.
        if time(&worker, "delivery_after")?.is_some_and(|after| after > self.now) {
            return Ok(nothing);
        }
        let Some(Standing { weight, pauses }) = self.standing(tx, tenant).await? else { return Ok(nothing) };
        let free = i64::from(worker.try_get::<i32>("", "slots")?) - self.held(tx).await?;
        let left = most.min(u64::try_from(free).unwrap_or(0));
        if left == 0 {
            return Ok(nothing);
        }
        let capabilities: serde_json::Value = worker.try_get("", "capabilities")?;
        let capabilities: Vec<String> = serde_json::from_value(capabilities).unwrap_or_default();
        let mut lanes = lanes(tx, tenant, &capabilities).await?;
        let place = self.turns.lane_place(tenant);
        lanes.sort_by_key(|lane| (lane.id <= place, lane.id));
        let most = usize::try_from(MOST_LANES).unwrap_or(usize::MAX);
        let more = lanes.len() > most;
        lanes.truncate(most);
        Ok((left, (vec![Share { tenant, weight, pauses, lanes }], more)))
    }

    async fn note_asked(
        &self,
        tx: &SystemTx,
        tenant: Uuid,
        before: Option<DateTime<Utc>>,
    ) -> Result<(), DbErr> {
        if before.is_some_and(|asked| self.now - asked < ASKED) {
            return Ok(());
        }
        // One that is sent its runs asks for none: that it takes them is the sign.
        let sql = "UPDATE worker SET last_claim_at = $3, last_seen_at = $3 WHERE tenant_id = $1 AND id = $2 \
             AND delivery_url IS NULL";
        tx.execute(sql, vec![tenant.into(), self.owner.into(), self.now.into()]).await.map(drop)
    }

    async fn held(&self, tx: &SystemTx) -> Result<i64, DbErr> {
        let sql = "SELECT COUNT(*) AS held FROM task_run \
             WHERE status = 'RUNNING' AND capability IS NOT NULL AND lease_owner = $1";
        let rows = tx.query(sql, vec![self.owner.into()]).await?;
        rows.first().map_or(Ok(0), |row| row.try_get("", "held"))
    }
}

fn time(worker: &QueryResult, name: &str) -> Result<Option<DateTime<Utc>>, DbErr> {
    worker.try_get("", name)
}

/// The lanes in which runs wait for one of these, one index seek each.
async fn lanes(tx: &SystemTx, tenant: Uuid, capabilities: &[String]) -> Result<Vec<Lane>, DbErr> {
    const COLUMNS: [Column<String>; 1] = [Column::new("capability", Kind::Text, |name| name.as_str().into())];
    let seek = |capability: &str, behind: &str| {
        format!(
            "(SELECT lane_id FROM task_run WHERE status = 'PENDING' AND capability IS NOT NULL AND held_at IS NULL AND tenant_id = $1 \
             AND capability = {capability}{behind} ORDER BY lane_id LIMIT 1)"
        )
    };
    let sql = format!(
        "WITH RECURSIVE t(capability, id) AS (SELECT v.capability, {} FROM {} \
         UNION ALL SELECT t.capability, {} FROM t WHERE t.id IS NOT NULL) \
         SELECT capability, id, (SELECT COUNT(*) FROM (SELECT 1 AS one FROM task_run r WHERE r.status = 'PENDING' \
          AND r.capability IS NOT NULL AND r.held_at IS NULL AND r.tenant_id = $1 AND r.capability = t.capability AND r.lane_id = t.id \
          AND r.concurrency_key > '' LIMIT 1) q) AS keyed \
         FROM t WHERE id IS NOT NULL LIMIT {MOST_OFFERED}",
        seek("v.capability", ""),
        tx.dialect().rows(2, &COLUMNS),
        seek("t.capability", " AND lane_id > t.id"),
    );
    let values = [vec![tenant.into()], tx.dialect().bind(&COLUMNS, capabilities)].concat();
    let lane = |row: &QueryResult| {
        let (id, keyed): (_, i64) = (row.try_get("", "id")?, row.try_get("", "keyed")?);
        Ok(Lane { id, is_keyed: keyed > 0, capability: Some(row.try_get("", "capability")?) })
    };
    tx.query(&sql, values).await?.iter().map(lane).collect()
}
