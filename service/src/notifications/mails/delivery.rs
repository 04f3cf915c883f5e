//! The loop that delivers queued mails: any number of nodes, each mail claimed by one at a time, with
//! back-off between attempts and an end to them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entity::notifications::mail::Model;
use futures_util::stream::{self, StreamExt as _};
use sea_orm::FromQueryResult as _;
use tokio_util::sync::CancellationToken;

use super::place;
use super::smtp::{CONNECTIONS, Outgoing, Refusal, Smtp};
use crate::core::Core;
use crate::db::Reason;
use crate::error::{Error, Result};

const POLL: Duration = Duration::from_secs(1);
const BATCH: usize = 20;
/// How long a claimed mail is its node's; longer than an attempt may take.
const CLAIMED: TimeDelta = TimeDelta::minutes(5);
const MOST_ATTEMPTS: i32 = 12;
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(15);
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(2);
const FORGET_EVERY: TimeDelta = TimeDelta::minutes(1);
const KEPT_DAYS: i64 = 30;
const DROPPED_KEPT: TimeDelta = TimeDelta::days(1);

const SENT: &str = "UPDATE mail SET status = 'SENT', reason = NULL, sealed = NULL, sent_at = $3,
    updated_at = $3, revision = revision + 1 WHERE id = $1 AND revision = $2 AND status = 'QUEUED'";
const GIVEN_UP: &str = "UPDATE mail SET status = 'FAILED', reason = $4, sealed = NULL,
    updated_at = $3, revision = revision + 1 WHERE id = $1 AND revision = $2 AND status = 'QUEUED'";
const PUT_OFF: &str = "UPDATE mail SET reason = $4, next_attempt_at = $5,
    updated_at = $3, revision = revision + 1 WHERE id = $1 AND revision = $2 AND status = 'QUEUED'";
const FORGET: &str = "DELETE FROM mail WHERE id IN (SELECT id FROM mail WHERE created_at < $1
    OR (status = 'DROPPED' AND created_at < $2) LIMIT 1000)";
const FORGET_CHALLENGES: &str = "DELETE FROM sign_in_challenge WHERE hash IN
    (SELECT hash FROM sign_in_challenge WHERE expires_at < $1 LIMIT 1000)";
const FORGET_REQUESTS: &str = "DELETE FROM oidc_request WHERE state_hash IN
    (SELECT state_hash FROM oidc_request WHERE expires_at < $1 LIMIT 1000)";
const FORGET_TOKENS: &str = "DELETE FROM verification_token WHERE hash IN
    (SELECT hash FROM verification_token WHERE expires_at < $1 LIMIT 1000)";

/// Delivers until `stop`. Without an SMTP server it only forgets what is old.
pub async fn deliver(core: Core, stop: CancellationToken) {
    let mut tick = tokio::time::interval(POLL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut forgotten_at = DateTime::UNIX_EPOCH;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if core.quarantine.is_on() {
            continue;
        }
        if let Some(smtp) = &core.smtp
            && let Err(cause) = round(&core, smtp).await
        {
            tracing::warn!(%cause, "could not deliver mails");
        }
        let now = core.clock.now();
        if now - forgotten_at >= FORGET_EVERY {
            forgotten_at = now;
            if let Err(cause) = forget(&core, now).await {
                tracing::warn!(%cause, "could not forget old mails");
            }
        }
    }
}

async fn round(core: &Core, smtp: &Smtp) -> Result<()> {
    loop {
        let claimed = claim(core).await?;
        let is_last = claimed.len() < BATCH;
        let sent = stream::iter(claimed).map(|mail| attempt(core, smtp, mail));
        let mut sent = sent.buffer_unordered(usize::try_from(CONNECTIONS).unwrap_or(1));
        while let Some(done) = sent.next().await {
            done?;
        }
        if is_last {
            return Ok(());
        }
    }
}

async fn claim(core: &Core) -> Result<Vec<Model>> {
    let now = core.clock.now();
    let tx = core.db.system(Reason::People).begin().await?;
    let sql = format!(
        "WITH due AS MATERIALIZED (SELECT id FROM mail WHERE status = 'QUEUED' AND next_attempt_at <= $1 \
         ORDER BY next_attempt_at LIMIT {BATCH}{}) \
         UPDATE mail SET attempts = attempts + 1, next_attempt_at = $2, updated_at = $1, \
         revision = revision + 1 WHERE status = 'QUEUED' AND id IN (SELECT id FROM due) RETURNING *",
        tx.dialect().skip_locked()
    );
    let rows = tx.query(&sql, vec![now.into(), (now + CLAIMED).into()]).await?;
    let claimed = rows.iter().map(|row| Model::from_query_result(row, "")).collect::<Result<_, _>>()?;
    tx.commit().await?;
    Ok(claimed)
}

async fn attempt(core: &Core, smtp: &Smtp, mail: Model) -> Result<()> {
    let now = core.clock.now();
    let outcome = if mail.expires_at <= now {
        Err(Refusal { reason: "EXPIRED".to_owned(), is_final: true })
    } else {
        let sealed = mail.sealed.as_deref().ok_or_else(|| Error::internal("a queued mail without a text"))?;
        let text = core.keys.open_text(&place(mail.id), sealed)?;
        let (recipient, subject) = (&mail.recipient, &mail.subject);
        smtp.send(&core.clock, &Outgoing { id: mail.id, recipient, subject, text: &text }).await
    };
    settle(core, &mail, outcome).await
}

async fn settle(core: &Core, mail: &Model, outcome: Result<(), Refusal>) -> Result<()> {
    let now = core.clock.now();
    let tx = core.db.system(Reason::People).begin().await?;
    let mut values = vec![mail.id.into(), mail.revision.into(), now.into()];
    match outcome {
        Ok(()) => {
            tx.execute(SENT, values).await?;
            tracing::info!(mail.id = %mail.id, kind = ?mail.kind, attempts = mail.attempts, "a mail was sent");
        }
        Err(Refusal { reason, is_final }) if is_final || mail.attempts >= MOST_ATTEMPTS => {
            tracing::warn!(mail.id = %mail.id, kind = ?mail.kind, reason, "a mail was given up");
            values.push(reason.into());
            tx.execute(GIVEN_UP, values).await?;
        }
        Err(Refusal { reason, .. }) => {
            tracing::info!(mail.id = %mail.id, kind = ?mail.kind, reason, "a mail is tried again later");
            let jitter = TimeDelta::milliseconds(i64::try_from(core.ids.below(5_000)).unwrap_or_default());
            values.extend([reason.into(), (now + pause(mail.attempts) + jitter).into()]);
            tx.execute(PUT_OFF, values).await?;
        }
    }
    tx.commit().await
}

/// Doubles with each attempt.
fn pause(attempts: i32) -> TimeDelta {
    let doubled = u32::try_from(attempts - 1).unwrap_or(0).min(16);
    (FIRST_PAUSE * 2_i32.pow(doubled)).min(LONGEST_PAUSE)
}

async fn forget(core: &Core, now: DateTime<Utc>) -> Result<()> {
    let tx = core.db.system(Reason::People).begin().await?;
    let old = now - TimeDelta::days(KEPT_DAYS);
    tx.execute(FORGET, vec![old.into(), (now - DROPPED_KEPT).into()]).await?;
    for sql in [FORGET_TOKENS, FORGET_CHALLENGES, FORGET_REQUESTS] {
        tx.execute(sql, vec![(now - DROPPED_KEPT).into()]).await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        let seconds: Vec<i64> = (1..=MOST_ATTEMPTS).map(|attempts| pause(attempts).num_seconds()).collect();
        assert_eq!(seconds[..4], [15, 30, 60, 120]);
        assert_eq!(seconds.last(), Some(&LONGEST_PAUSE.num_seconds()));
        assert!(seconds.iter().sum::<i64>() < 24 * 3600);
    }
}
