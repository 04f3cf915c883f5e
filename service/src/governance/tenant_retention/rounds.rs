//! Rounds over all tenants, a few at a time, driven by the engine's sweep on every node. A batch that was
//! committed stays done, so a round that was broken off goes on where it was by looking again.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use entity::identity::tenant;
use sea_orm::{ColumnTrait as _, Order};
use uuid::Uuid;

use super::{RetentionClass, policy, removal};
use crate::auth::key_usage;
use crate::core::Core;
use crate::db::Reason;
use crate::error::Result;

/// Tenants of one sweep, and batches of one class of one of them.
const TENANTS: u64 = 20;
const BATCHES: usize = 10;
/// From the end of a round to the next; sooner where a round left something.
const PAUSE: TimeDelta = TimeDelta::hours(1);
const SHORT_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// Where this node's round is.
#[derive(Default)]
pub struct Rounds(Mutex<Round>);

#[derive(Clone, Copy, Default)]
struct Round {
    not_before: DateTime<Utc>,
    after: Uuid,
    left_something: bool,
}

impl Rounds {
    fn now(&self) -> Round {
        self.0.lock().map(|round| *round).unwrap_or_default()
    }

    fn set(&self, round: Round) {
        if let Ok(mut now) = self.0.lock() {
            *now = round;
        }
    }
}

/// The next tenants of the round, if it is time. One tenant's failure is logged and holds back no other.
pub async fn sweep(core: &Core) -> Result<()> {
    let (now, mut round) = (core.clock.now(), core.retention.now());
    if now < round.not_before {
        return Ok(());
    }
    let system = core.db.system(Reason::Engine);
    let tenants = system.find::<tenant::Entity>().filter(tenant::Column::Id.gt(round.after));
    let tenants = tenants.order_by(tenant::Column::Id, Order::Asc).limit(TENANTS).all().await?;
    for tenant in &tenants {
        if let Err(error) = key_usage::forget(core, tenant.id).await {
            tracing::error!(%error, tenant = %tenant.id, "the usage of keys could not be forgotten");
        }
        match apply(core, tenant).await {
            Ok(is_done) => round.left_something |= !is_done,
            Err(error) => tracing::error!(%error, tenant = %tenant.id, "retention could not be applied"),
        }
        round.after = tenant.id;
        core.retention.set(round);
    }
    if (tenants.len() as u64) < TENANTS {
        let pause = if round.left_something { SHORT_PAUSE } else { PAUSE };
        core.retention.set(Round { not_before: now + pause, ..Round::default() });
    }
    Ok(())
}

/// Removes what is due of one tenant, in bounded batches; whether all of it is gone.
pub async fn apply(core: &Core, tenant: &tenant::Model) -> Result<bool> {
    let (db, now) = (core.db.tenant(tenant.id), core.clock.now());
    let policy = policy(&db, now).await?;
    let limits = core.config.plans.of(tenant.plan);
    let mut is_done = true;
    for class in RetentionClass::ALL {
        let before = now - TimeDelta::days(i64::from(class.days(tenant, &policy, limits)));
        let mut more = true;
        for _ in 0..BATCHES {
            more = removal::remove(core, &db, class, before).await?;
            if !more {
                break;
            }
        }
        is_done &= !more;
    }
    Ok(is_done)
}
