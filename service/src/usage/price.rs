//! The price of a model at a moment: the tenant's own, else the built-in one, else unknown.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::usage::model_price::{Column, Entity, Model};
use moka::future::Cache;
use sea_orm::{ColumnTrait as _, Order};
use uuid::Uuid;

use super::price_list;
use crate::core::Core;
use crate::error::Result;
use crate::runtime::models::Usage;

const FRESH: Duration = Duration::from_secs(1);
const MOST_CACHED: u64 = 10_000;
/// Overrides of one model that are looked at, the newest first.
const MOST_OVERRIDES: u64 = 100;
const PER: i128 = 1_000_000;

/// Nano-USD for a million tokens of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    pub input: Nanos,
    pub cache_read: Nanos,
    pub cache_write: Nanos,
    pub output: Nanos,
    pub reasoning: Nanos,
}

impl Price {
    /// What `usage` costs: the exact sum over the kinds, divided once and rounded half up to a whole
    /// nano-USD. Saturates.
    pub fn cost(&self, usage: &Usage) -> Nanos {
        let Usage { input, cache_read, cache_write, output, reasoning, estimated: _ } = *usage;
        let kinds = [
            (input, self.input),
            (cache_read, self.cache_read),
            (cache_write, self.cache_write),
            (output, self.output),
            (reasoning, self.reasoning),
        ];
        let sum: i128 =
            kinds.into_iter().map(|(tokens, price)| i128::from(tokens) * i128::from(price.0)).sum();
        let rounded = (sum + PER / 2).div_euclid(PER);
        Nanos(i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX }))
    }
}

impl Price {
    /// The most that a prompt and an answer of these lengths can cost, whatever kinds they turn into.
    pub fn worst(&self, prompt: i64, answer: i64) -> Nanos {
        let prompts =
            [Usage { input: prompt, ..Usage::default() }, Usage { cache_write: prompt, ..Usage::default() }];
        let answers =
            [Usage { output: answer, ..Usage::default() }, Usage { reasoning: answer, ..Usage::default() }];
        let most = |usages: [Usage; 2]| usages.iter().map(|usage| self.cost(usage)).max().unwrap_or_default();
        most(prompts) + most(answers)
    }
}

impl From<&Model> for Price {
    fn from(row: &Model) -> Self {
        Self {
            input: row.input_nanos,
            cache_read: row.cache_read_nanos,
            cache_write: row.cache_write_nanos,
            output: row.output_nanos,
            reasoning: row.reasoning_nanos,
        }
    }
}

type Overrides = Arc<Vec<(DateTime<Utc>, Price)>>;

/// The tenants' own prices, at most a second old.
#[derive(Clone)]
pub struct PriceCache(Cache<(Uuid, String), Overrides>);

impl Default for PriceCache {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST_CACHED).time_to_live(FRESH).build())
    }
}

/// The price of `model` for the tenant at `at`; `None` when nobody knows it, and then the run is
/// flagged `unpriced`.
pub async fn price(core: &Core, tenant: Uuid, model: &str, at: DateTime<Utc>) -> Result<Option<Price>> {
    let key = (tenant, model.to_owned());
    let overrides = match core.prices.0.get(&key).await {
        Some(found) => found,
        None => {
            let found = overrides(core, tenant, model).await?;
            core.prices.0.insert(key, Arc::clone(&found)).await;
            found
        }
    };
    let own = overrides.iter().find(|(from, _)| *from <= at).map(|(_, price)| *price);
    Ok(own.or_else(|| price_list::find(model)))
}

/// The newest first.
async fn overrides(core: &Core, tenant: Uuid, model: &str) -> Result<Overrides> {
    let rows = core
        .db
        .tenant(tenant)
        .find::<Entity>()
        .filter(Column::Model.eq(model))
        .order_by(Column::EffectiveFrom, Order::Desc)
        .limit(MOST_OVERRIDES)
        .all()
        .await?;
    Ok(Arc::new(rows.iter().map(|row| (row.effective_from, Price::from(row))).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(input: i64, output: i64) -> Price {
        let zero = Nanos::ZERO;
        Price {
            input: Nanos(input),
            output: Nanos(output),
            cache_read: zero,
            cache_write: zero,
            reasoning: zero,
        }
    }

    #[test]
    fn costs_are_exact_and_rounded_once() {
        let usage = |input, output| Usage { input, output, ..Usage::default() };
        // gpt-4o-mini: 0.15 and 0.60 USD a million.
        let mini = price(150_000_000, 600_000_000);
        assert_eq!(mini.cost(&usage(1_000, 500)), Nanos(450_000));
        assert_eq!(price(499_999, 0).cost(&usage(1, 0)), Nanos(0));
        assert_eq!(price(500_000, 0).cost(&usage(1, 0)), Nanos(1));
        assert_eq!(price(250_000, 250_000).cost(&usage(1, 1)), Nanos(1));
        assert_eq!(price(i64::MAX, i64::MAX).cost(&usage(i64::MAX, i64::MAX)), Nanos(i64::MAX));
    }

    #[test]
    fn each_kind_has_its_price() {
        let price = Price {
            input: Nanos(1_000_000),
            cache_read: Nanos(10_000_000),
            cache_write: Nanos(100_000_000),
            output: Nanos(1_000_000_000),
            reasoning: Nanos(10_000_000_000),
        };
        let usage =
            Usage { input: 1, cache_read: 2, cache_write: 3, output: 4, reasoning: 5, estimated: false };
        assert_eq!(price.cost(&usage), Nanos(54_321));
    }
}
