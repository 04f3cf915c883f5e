//! What time causes: keys that end soon, approvals that were asked for, mails that go out together, and
//! notifications that are old. Any number of nodes look, and each thing is taken by one statement, so it is
//! told once. Each look is bounded.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::identity::api_key;
use entity::identity::membership::{self, MembershipStatus, Role};
use entity::notifications::notification::{Model, NotificationType};
use entity::tasks::approval;
use sea_orm::{ColumnTrait as _, FromQueryResult as _, Iterable as _, Order};
use serde_json::Value;
use uuid::Uuid;

use crate::auth::permissions::{Needs, Permission as _, approvals};
use crate::auth::sight::{self, View};
use crate::core::Core;
use crate::db::{Reason, SystemTx};
use crate::error::Result;
use crate::identity::users;
use crate::notifications::mails::{self, Letter, Line};
use crate::notifications::notify::notice::words;
use crate::notifications::notify::{MOST_RECIPIENTS, Notice, notify};
use crate::tasks::approval_links;

/// Keys, or approvals, of one transaction: each may be told to fifty people.
const BATCH: usize = 5;
/// Transactions of one look.
const ROUNDS: usize = 20;
/// Notifications that are mailed in one transaction.
const MAILED: usize = 200;
/// Lines of one mail.
const LINES: usize = 20;
/// Members who are looked at for one approval.
const LOOKED_AT: u64 = 200;
const KEPT: TimeDelta = TimeDelta::days(90);
const FORGOTTEN: usize = 1_000;

/// Whether there is anything to do; cheaper than to open a transaction for nothing.
const ANY: [&str; 4] = [
    "SELECT 1 AS due FROM api_key WHERE warn_at <= $1 LIMIT 1",
    "SELECT 1 AS due FROM approval WHERE told_at IS NULL AND status = 'PENDING' AND created_at <= $1 LIMIT 1",
    "SELECT 1 AS due FROM notification WHERE email_due_at <= $1 LIMIT 1",
    "SELECT 1 AS due FROM notification WHERE created_at < $1 LIMIT 1",
];

/// Tells what is due.
pub async fn sweep(core: &Core) -> Result<()> {
    let now = core.clock.now();
    let looks = [now, now, now, now - KEPT];
    let system = core.db.system(Reason::Engine);
    for (number, (any, time)) in ANY.into_iter().zip(looks).enumerate() {
        for _ in 0..ROUNDS {
            if system.query(any, vec![time.into()]).await?.is_empty() {
                break;
            }
            let tx = system.begin().await?;
            match number {
                0 => warn_of_expiry(core, &tx, now).await?,
                1 => tell_of_approvals(core, &tx, now).await?,
                2 => mail(core, &tx, now).await?,
                _ => forget(&tx, time).await?,
            }
            tx.commit().await?;
        }
    }
    Ok(())
}

async fn warn_of_expiry(core: &Core, tx: &SystemTx, now: DateTime<Utc>) -> Result<()> {
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT tenant_id, id FROM api_key WHERE warn_at <= $1 LIMIT {BATCH}{}) \
         UPDATE api_key SET warn_at = NULL WHERE warn_at <= $1 \
         AND (tenant_id, id) IN (SELECT tenant_id, id FROM picked) RETURNING *",
        tx.dialect().skip_locked()
    );
    for row in tx.query(&sql, vec![now.into()]).await? {
        let key = api_key::Model::from_query_result(&row, "")?;
        let Some(expires) = key.expires_at.filter(|at| key.revoked_at.is_none() && *at > now) else {
            continue;
        };
        let notice = Notice::key_expiring(key.tenant_id, key.id, &key.name, expires);
        notify(core, tx.connection(), &[key.created_by], &notice).await?;
    }
    Ok(())
}

async fn tell_of_approvals(core: &Core, tx: &SystemTx, now: DateTime<Utc>) -> Result<()> {
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT tenant_id, id FROM approval \
         WHERE told_at IS NULL AND status = 'PENDING' ORDER BY created_at LIMIT {BATCH}{}) \
         UPDATE approval SET told_at = $1 WHERE told_at IS NULL \
         AND (tenant_id, id) IN (SELECT tenant_id, id FROM picked) RETURNING *",
        tx.dialect().skip_locked()
    );
    for row in tx.query(&sql, vec![now.into()]).await? {
        let asked = approval::Model::from_query_result(&row, "")?;
        let deciders = deciders(core, asked.tenant_id, asked.workspace_id).await?;
        let tool = asked.proposal.get("tool").and_then(Value::as_str);
        let notice = Notice::approval_requested(asked.tenant_id, asked.id, tool, asked.expires_at);
        notify(core, tx.connection(), &deciders, &notice).await?;
    }
    Ok(())
}

/// Who may decide, in that workspace too: the longest members first, so that a big team has somebody who is told.
async fn deciders(core: &Core, tenant: Uuid, workspace: Option<Uuid>) -> Result<Vec<Uuid>> {
    let Needs::Role(needed) = approvals::Decide::ROW.needs else { return Ok(Vec::new()) };
    let db = core.db.tenant(tenant);
    let members = db.find::<membership::Entity>();
    let members = members.filter(membership::Column::Status.eq(MembershipStatus::Active));
    let may = Role::iter().filter(|role| *role >= needed);
    let members = members.filter(membership::Column::Role.is_in(may));
    let members = members.order_by(membership::Column::Id, Order::Asc).limit(LOOKED_AT).all().await?;
    let system = core.db.system(Reason::People);
    let mut deciders = Vec::new();
    for member in members {
        if workspace.is_some() {
            let sight = sight::load(&system, tenant, member.user_id, member.role, None).await?;
            let view = View::new(sight, Some(approvals::Decide::ROW));
            if !view.sees(workspace) || view.require(workspace).is_err() {
                continue;
            }
        }
        deciders.push(member.user_id);
        if deciders.len() == MOST_RECIPIENTS {
            break;
        }
    }
    Ok(deciders)
}

/// One mail a person, of all that is due to them.
async fn mail(core: &Core, tx: &SystemTx, now: DateTime<Utc>) -> Result<()> {
    let sql = format!(
        "WITH picked AS MATERIALIZED (SELECT user_id, id FROM notification WHERE email_due_at <= $1 \
         ORDER BY email_due_at LIMIT {MAILED}{}) \
         UPDATE notification SET email_due_at = NULL WHERE email_due_at <= $1 \
         AND (user_id, id) IN (SELECT user_id, id FROM picked) RETURNING *",
        tx.dialect().skip_locked()
    );
    let mut by_person = BTreeMap::<Uuid, Vec<Model>>::new();
    for row in tx.query(&sql, vec![now.into()]).await? {
        let row = Model::from_query_result(&row, "")?;
        by_person.entry(row.user_id).or_default().push(row);
    }
    let people = users::by_ids(tx.connection(), by_person.keys().copied().collect()).await?;
    for (id, mut rows) in by_person {
        let Some(person) = people.get(&id).filter(|person| person.is_active) else { continue };
        rows.retain(|row| row.read_at.is_none());
        if rows.is_empty() {
            continue;
        }
        rows.sort_by_key(|row| row.number);
        let lines: Result<Vec<Line>> = rows.iter().take(LINES).map(|row| line(core, row)).collect();
        let mut lines = lines?;
        if rows.len() > LINES {
            lines.push(Line { text: format!("… and {} more.", rows.len() - LINES), link: None });
        }
        let letter = Letter::Digest { lines: &lines };
        mails::queue(core, tx.connection(), &person.email, &letter).await?;
    }
    Ok(())
}

/// What is asked for can be decided from the mail.
fn line(core: &Core, row: &Model) -> Result<Line> {
    let (title, text) = words(row.kind, &row.data);
    let asked =
        row.tenant_id.zip(row.resource_id).filter(|_| row.kind == NotificationType::ApprovalRequested);
    let link = asked.map(|(tenant, approval)| approval_links::url(core, tenant, approval, row.user_id));
    Ok(Line { text: format!("{title}. {text}"), link: link.transpose()? })
}

async fn forget(tx: &SystemTx, before: DateTime<Utc>) -> Result<()> {
    let sql = format!(
        "DELETE FROM notification WHERE (user_id, id) IN \
         (SELECT user_id, id FROM notification WHERE created_at < $1 LIMIT {FORGOTTEN})"
    );
    tx.execute(&sql, vec![before.into()]).await?;
    Ok(())
}
