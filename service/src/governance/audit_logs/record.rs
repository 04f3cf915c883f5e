//! Appending to a tenant's chain. The end of the chain is locked as the last thing that a transaction
//! does before it commits: tenants never wait for each other, and who holds the lock waits for nothing.

use std::net::IpAddr;

use entity::governance::audit_log::{AuditOutcome, Model};
use sea_orm::{ActiveEnum as _, ConnectionTrait, DbErr, Statement, Value};
use uuid::Uuid;

use super::Change;
use super::chain::{self, SALT_BYTES};
use super::change::Belongs;
use crate::auth::principal::RequestInfo;
use crate::clock::Clock;
use crate::core::Core;
use crate::ctx::{Actor, Ctx};
use crate::db::{Dialect, Reason, TenantTx};
use crate::error::{Error, Result};
use crate::ids::Ids;

/// Proof that a transaction holds the audit row of what it does. Without one, a tenant-scoped
/// transaction does not commit.
#[must_use]
pub struct Recorded(());

impl Recorded {
    /// For what no call asked for and nobody needs to know of: when a key was last used.
    pub fn bookkeeping() -> Self {
        Self(())
    }
}

/// What an audit row says beside its place in the chain.
pub(crate) struct Entry {
    pub tenant: Uuid,
    pub actor: String,
    pub user: Option<Uuid>,
    pub action: String,
    /// Of a refusal.
    pub code: Option<&'static str>,
    pub request_id: String,
    pub ip: Option<IpAddr>,
    pub change: Change,
}

impl Entry {
    /// What a person did who has no context yet, because they are signing in.
    pub fn of_person(request: &RequestInfo, tenant: Uuid, user: Uuid, change: Change) -> Self {
        Self {
            tenant,
            actor: Actor::User { id: user }.to_string(),
            user: Some(user),
            action: request.operation.to_owned(),
            code: None,
            request_id: request.request_id.clone(),
            ip: request.ip,
            change,
        }
    }

    /// What the platform did by itself, or its operator at the command line.
    pub fn of_platform(actor: &'static str, action: &'static str, tenant: Uuid, change: Change) -> Self {
        Self {
            tenant,
            actor: actor.to_owned(),
            user: None,
            action: action.to_owned(),
            code: None,
            request_id: String::new(),
            ip: None,
            change,
        }
    }
}

impl Ctx {
    /// Commits `tx` with the audit row of what it changed.
    pub async fn commit(&self, tx: TenantTx, change: Change) -> Result<()> {
        let recorded = self.record(tx.system(Reason::Audit), change).await?;
        tx.commit(recorded).await
    }

    /// Writes the audit row of what a transaction changed; the last thing before its commit.
    pub async fn record(&self, transaction: &impl ConnectionTrait, change: Change) -> Result<Recorded> {
        let entry = Entry {
            tenant: self.tenant,
            actor: self.actor_label(),
            user: self.actor.user(),
            action: self.operation.to_owned(),
            code: None,
            request_id: self.request_id.clone(),
            ip: self.ip,
            change,
        };
        append(&self.core, transaction, entry).await
    }

    /// In which capacity the caller acts: an administrator of the platform has no role in a tenant that
    /// they name.
    pub(crate) fn actor_label(&self) -> String {
        let for_platform = self.rights.is_platform_admin && self.rights.role.is_none();
        match self.actor {
            Actor::User { id } | Actor::ApiKey { created_by: id, .. } if for_platform => {
                format!("platform-admin:{id}")
            }
            Actor::System if for_platform => "operator".to_owned(),
            actor => actor.to_string(),
        }
    }
}

/// Puts the next row behind the end of its tenant's chain.
pub(crate) async fn append(
    core: &Core,
    transaction: &impl ConnectionTrait,
    entry: Entry,
) -> Result<Recorded> {
    let scribe = Scribe { dialect: core.db.dialect(), clock: &core.clock, ids: &core.ids };
    scribe.append(transaction, entry).await
}

/// What writing a row takes; commands have no running node.
pub(crate) struct Scribe<'a> {
    pub dialect: Dialect,
    pub clock: &'a Clock,
    pub ids: &'a Ids,
}

impl Scribe<'_> {
    pub async fn append(&self, transaction: &impl ConnectionTrait, entry: Entry) -> Result<Recorded> {
        let (number, previous) = end_of_chain(self.dialect, transaction, entry.tenant).await?;
        let place = entry.change.place.clone();
        let row = row(self, entry, number + 1, &previous)?;
        let Model { tenant_id, number, hash, .. } = &row;
        let moved = "UPDATE audit_chain SET number = $2, hash = $3 WHERE tenant_id = $1";
        execute(transaction, moved, vec![(*tenant_id).into(), (*number).into(), hash.clone().into()]).await?;
        insert(transaction, row, &place).await?;
        Ok(Recorded(()))
    }
}

/// The number and hash of the last row, locked until the transaction ends.
async fn end_of_chain(
    dialect: Dialect,
    transaction: &impl ConnectionTrait,
    tenant: Uuid,
) -> Result<(i64, Vec<u8>)> {
    let lock = format!("SELECT number, hash FROM audit_chain WHERE tenant_id = $1{}", dialect.for_update());
    for _ in 0..2 {
        let found = transaction.query_one_raw(statement(transaction, &lock, vec![tenant.into()])).await?;
        if let Some(end) = found {
            return Ok((end.try_get("", "number")?, end.try_get("", "hash")?));
        }
        let start: Value = chain::START.to_vec().into();
        let begin = "INSERT INTO audit_chain (tenant_id, number, hash, anchor_number, anchor_hash) \
             VALUES ($1, 0, $2, 0, $2) ON CONFLICT DO NOTHING";
        execute(transaction, begin, vec![tenant.into(), start]).await?;
    }
    Err(Error::internal("an audit chain is gone after its beginning"))
}

fn row(scribe: &Scribe<'_>, entry: Entry, number: i64, previous: &[u8]) -> Result<Model> {
    let Entry { tenant, actor, user, action, code, request_id, ip, change } = entry;
    let Change { resource, id: resource_id, old, new, place: _ } = change;
    let (mut ip_salt, mut data_salt) = ([0; SALT_BYTES], [0; SALT_BYTES]);
    scribe.ids.fill(&mut ip_salt);
    scribe.ids.fill(&mut data_salt);
    let ip = ip.map(|ip| ip.to_string());
    let (old, new) = (old.map(|old| old.to_string()), new.map(|new| new.to_string()));
    let ip_hash = chain::ip_hash(&ip_salt, ip.as_deref());
    let data_hash = chain::data_hash(&data_salt, old.as_deref(), new.as_deref());
    let mut row = Model {
        tenant_id: tenant,
        id: scribe.ids.next(),
        number,
        actor,
        user_id: user,
        action,
        outcome: if code.is_none() { AuditOutcome::Succeeded } else { AuditOutcome::Refused },
        code: code.map(str::to_owned),
        resource,
        resource_id,
        request_id,
        ip_salt: Some(ip_salt.to_vec()),
        ip_address: ip,
        data_salt: Some(data_salt.to_vec()),
        old_data: old,
        new_data: new,
        detail_hash: [ip_hash, data_hash].concat(),
        hash: Vec::new(),
        created_at: scribe.clock.now(),
        workspace_id: None,
    };
    row.hash = chain::row_hash(previous, &row).to_vec();
    Ok(row)
}

/// `place` says to which workspace, in the same statement.
async fn insert(transaction: &impl ConnectionTrait, row: Model, place: &Belongs) -> Result<(), DbErr> {
    let sql = format!(
        "INSERT INTO audit_log (tenant_id, id, number, actor, user_id, action, outcome, code, resource, \
         resource_id, request_id, ip_salt, ip_address, data_salt, old_data, new_data, detail_hash, hash, created_at, \
         workspace_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
         {})",
        place.sql()
    );
    let mut values = vec![
        row.tenant_id.into(),
        row.id.into(),
        row.number.into(),
        row.actor.into(),
        row.user_id.into(),
        row.action.into(),
        row.outcome.to_value().into(),
        row.code.into(),
        row.resource.into(),
        row.resource_id.into(),
        row.request_id.into(),
        row.ip_salt.into(),
        row.ip_address.into(),
        row.data_salt.into(),
        row.old_data.into(),
        row.new_data.into(),
        row.detail_hash.into(),
        row.hash.into(),
        row.created_at.into(),
    ];
    values.extend(place.value());
    execute(transaction, &sql, values).await
}

async fn execute(transaction: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Result<(), DbErr> {
    transaction.execute_raw(statement(transaction, sql, values)).await.map(|_| ())
}

fn statement(transaction: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(transaction.get_database_backend(), sql, values)
}
