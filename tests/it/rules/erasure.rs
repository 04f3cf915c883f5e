//! Every table that has something of a tenant says whether it goes with the tenant, and when.

use std::collections::{BTreeMap, BTreeSet};

use service::governance::tenant_erasures::tables::{ERASED, Erased, KEPT};

use super::schema::{connect, tables};
use crate::support::Backend;

const WHAT_TO_DO: &str = "add it to ERASED in service/src/governance/tenant_erasures/tables.rs, before \
    every table that it refers to (or, if it has to outlive its tenant, to KEPT with the reason)";

async fn every_table_of_a_tenant_is_erased_in_an_order_that_works(backend: Backend) {
    let (db, _folder) = connect(backend).await;
    let tables = tables(&db).await;
    let places: BTreeMap<&str, (usize, &Erased)> =
        ERASED.iter().enumerate().map(|(place, erased)| (erased.table, (place, erased))).collect();
    assert_eq!(places.len(), ERASED.len(), "a table stands in ERASED twice");
    let kept: BTreeSet<&str> = KEPT.iter().map(|(table, _)| *table).collect();
    for (name, table) in &tables {
        let refers = |to: &str| places.contains_key(to) || to == "tenant";
        let is_of_tenant = table.columns.contains("tenant_id")
            || table.references.iter().any(|(to, _)| to != name && refers(to));
        let is_decided = places.contains_key(name.as_str()) || kept.contains(name.as_str());
        assert!(!is_of_tenant || is_decided, "{name} has something of a tenant: {WHAT_TO_DO}");
    }
    for (name, (place, erased)) in &places {
        let table =
            tables.get(*name).unwrap_or_else(|| panic!("{name} is in ERASED, and there is no such table"));
        for (to, pairs) in &table.references {
            if to == name {
                let cut = pairs.iter().any(|(column, _)| erased.cut.contains(&column.as_str()));
                assert!(cut, "{name} refers to itself by {pairs:?}: name the column in its `cut`");
            } else if let Some((other, _)) = places.get(to.as_str()) {
                assert!(place < other, "{name} refers to {to}, which goes before it: {WHAT_TO_DO}");
            }
        }
        for column in erased.cut {
            assert!(table.columns.contains(*column), "{name} has no {column}");
        }
    }
    assert!(kept.iter().all(|name| tables.contains_key(*name)), "{kept:?}");
}

#[tokio::test]
async fn sqlite() {
    every_table_of_a_tenant_is_erased_in_an_order_that_works(Backend::Sqlite).await;
}

#[tokio::test]
async fn postgres() {
    every_table_of_a_tenant_is_erased_in_an_order_that_works(Backend::Postgres).await;
}
