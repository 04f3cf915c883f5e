//! The schema's history. It knows no entity, so that an old migration never changes.
//!
//! Every tenant table leads its primary key and every reference with `tenant_id`: a reference to
//! another tenant's row cannot be stored. A rule test reads the migrated schema and checks it.

mod ddl;
mod m20261123_000001_identity;
mod m20261123_000002_agents;
mod m20261123_000003_tasks;
mod m20261123_000004_usage_governance;
mod m20261124_000010_audit;
mod m20261124_000011_retention;
mod m20261124_000012_privacy;
mod m20261124_000020_people;
mod m20261124_000021_profile;
mod m20261124_000022_team_invites;
mod m20261125_000001_run_indexes;
mod m20261125_000010_run_usage;
mod m20261125_000020_workspaces;
mod m20261125_000021_belonging;
mod m20261125_000030_api_keys;
mod m20261125_000031_notifications;
mod m20261125_000040_second_factors;
mod m20261125_000041_accounts;
mod m20261125_000042_tenant_domains;
mod m20261125_000050_keys;
mod m20261125_000051_quarantine;
mod m20261125_000052_user_state;
mod m20261127_000020_schedules;
mod m20261127_000030_run_trees;
mod m20261127_000040_run_keys;
mod m20261127_000041_suspects;
mod m20261127_000042_bulk_actions;
mod m20261127_000050_run_waits;
mod m20261127_000051_events;
mod m20261127_000052_inbound_hooks;
mod m20261127_000053_hook_bodies;
mod m20261127_000060_tenant_lifecycle;
mod m20261127_000061_domain_proof;
mod m20261127_000070_workers;
mod m20261127_000080_batches;
mod m20261128_000090_definition_pauses;
mod m20261128_000091_rate_buckets;
mod m20261128_000100_event_positions;
mod m20261128_000101_worker_deliveries;
mod m20261128_000110_audit_places;
mod m20261128_000111_privacy_traces;

use sea_orm_migration::MigrationTrait;
pub use sea_orm_migration::{MigratorTrait, MigratorTraitSelf};

pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_identity::Migration),
            Box::new(m20261123_000002_agents::Migration),
            Box::new(m20261123_000003_tasks::Migration),
            Box::new(m20261123_000004_usage_governance::Migration),
            Box::new(m20261124_000010_audit::Migration),
            Box::new(m20261124_000011_retention::Migration),
            Box::new(m20261124_000012_privacy::Migration),
            Box::new(m20261124_000020_people::Migration),
            Box::new(m20261124_000021_profile::Migration),
            Box::new(m20261124_000022_team_invites::Migration),
            Box::new(m20261125_000001_run_indexes::Migration),
            Box::new(m20261125_000010_run_usage::Migration),
            Box::new(m20261125_000020_workspaces::Migration),
            Box::new(m20261125_000021_belonging::Migration),
            Box::new(m20261125_000030_api_keys::Migration),
            Box::new(m20261125_000031_notifications::Migration),
            Box::new(m20261125_000040_second_factors::Migration),
            Box::new(m20261125_000041_accounts::Migration),
            Box::new(m20261125_000042_tenant_domains::Migration),
            Box::new(m20261125_000050_keys::Migration),
            Box::new(m20261125_000051_quarantine::Migration),
            Box::new(m20261125_000052_user_state::Migration),
            Box::new(m20261127_000060_tenant_lifecycle::Migration),
            Box::new(m20261127_000061_domain_proof::Migration),
            Box::new(m20261127_000040_run_keys::Migration),
            Box::new(m20261127_000041_suspects::Migration),
            Box::new(m20261127_000042_bulk_actions::Migration),
            Box::new(m20261127_000020_schedules::Migration),
            Box::new(m20261127_000050_run_waits::Migration),
            Box::new(m20261127_000051_events::Migration),
            Box::new(m20261127_000052_inbound_hooks::Migration),
            Box::new(m20261127_000053_hook_bodies::Migration),
            Box::new(m20261127_000030_run_trees::Migration),
            Box::new(m20261127_000070_workers::Migration),
            Box::new(m20261127_000080_batches::Migration),
            Box::new(m20261128_000090_definition_pauses::Migration),
            Box::new(m20261128_000091_rate_buckets::Migration),
            Box::new(m20261128_000100_event_positions::Migration),
            Box::new(m20261128_000101_worker_deliveries::Migration),
            Box::new(m20261128_000110_audit_places::Migration),
            Box::new(m20261128_000111_privacy_traces::Migration),
        ]
    }
}
