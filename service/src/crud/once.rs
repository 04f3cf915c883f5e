//! `Idempotency-Key`: the same key and body replay the stored answer for seven days; another body is
//! refused. The record is written in the transaction of the effect, so the two cannot part.

use std::ops::Deref;
use std::time::Duration;

use entity::governance::idempotency_record::{Column, Entity, Model};
use sea_orm::{ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ctx::{Ctx, IdempotencyKey};
use crate::db::{Reason, SystemTx, TenantTx, Violation, on_violation};
use crate::error::{Error, Result};
use crate::governance::audit_logs::{Change, Recorded};
use crate::secrets::Place;

pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whether this call is the first with its key.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a match, and a box would be one more allocation a call"
)]
pub enum Once<V> {
    /// It was done before: the answer of then.
    Replay(V),
    First(OnceTx),
}

/// A transaction whose commit also stores the answer under the caller's key, if there is one.
pub struct OnceTx {
    tx: TenantTx,
    ctx: Ctx,
}

impl Deref for OnceTx {
    type Target = TenantTx;

    fn deref(&self) -> &TenantTx {
        &self.tx
    }
}

impl OnceTx {
    /// Commits the change with its audit row and the answer.
    pub async fn finish<V: Serialize + Sync>(self, change: Change, answer: &V) -> Result<()> {
        let ctx = self.ctx.clone();
        self.finish_within(&ctx, change, answer).await
    }

    /// The same where the change is another tenant's: `within` is the context that acts in it.
    pub async fn finish_within<V: Serialize + Sync>(
        self,
        within: &Ctx,
        change: Change,
        answer: &V,
    ) -> Result<()> {
        if let Some(key) = &self.ctx.idempotency {
            let record = record(&self.ctx, key, answer)?;
            self.tx.insert::<Entity>(record).await.map_err(on_violation(Violation::Unique, in_flight()))?;
        }
        let recorded = within.record(self.tx.system(Reason::Audit), change).await?;
        self.tx.commit(recorded).await
    }
}

impl Ctx {
    /// Opens the transaction of a POST, or finds the answer of an earlier one with the same key.
    pub async fn begin_once<V: DeserializeOwned>(&self) -> Result<Once<V>> {
        if let Some(answer) = self.replay().await? {
            return Ok(Once::Replay(answer));
        }
        Ok(Once::First(OnceTx { tx: self.db().begin().await?, ctx: self.clone() }))
    }

    /// The answer stored under the caller's key.
    pub async fn replay<V: DeserializeOwned>(&self) -> Result<Option<V>> {
        let Some((key, found)) = self.stored().await? else { return Ok(None) };
        if found.fingerprint != key.fingerprint {
            let message = "This key was used with another request: use a new key for a new request.";
            return Err(Error::invalid("Idempotency-Key", "idempotency_key_reused", message));
        }
        let sealed = found.answer.unwrap_or_default();
        let plain = self.core.keys.open(&place(self, found.id), &sealed)?;
        serde_json::from_slice(plain.expose_secret()).map(Some).map_err(Error::internal)
    }

    /// What a caller is told whose request was refused. When the same request was executed meanwhile, the
    /// refusal is its doing (a name that it took, a state that it changed), and its answer is there to be asked for.
    pub async fn refused(&self, error: Error) -> Error {
        let by_what_is = matches!(
            error,
            Error::Conflict { .. }
                | Error::NotFound { .. }
                | Error::Invalid { .. }
                | Error::Denied { .. }
                | Error::PaymentRequired { .. }
        );
        if !by_what_is {
            return error;
        }
        match self.stored().await {
            Ok(Some((key, found))) if found.fingerprint == key.fingerprint => in_flight(),
            Ok(_) => error,
            Err(unknown) => unknown,
        }
    }

    async fn stored(&self) -> Result<Option<(&IdempotencyKey, Model)>> {
        let Some(key) = &self.idempotency else { return Ok(None) };
        let found = self
            .db()
            .find::<Entity>()
            .filter(Column::Principal.eq(self.actor.to_string()))
            .filter(Column::Route.eq(key.route.as_str()))
            .filter(Column::Key.eq(key.key.as_str()))
            .filter(Column::ExpiresAt.gt(self.core.clock.now()))
            .one()
            .await?;
        Ok(found.map(|found| (key, found)))
    }
}

/// The row that keeps `answer`; sealed, because an answer may show a secret once.
pub(crate) fn record<V: Serialize>(ctx: &Ctx, key: &IdempotencyKey, answer: &V) -> Result<Model> {
    let id = ctx.core.ids.next();
    let plain = serde_json::to_vec(answer).map_err(Error::internal)?;
    Ok(Model {
        tenant_id: ctx.tenant,
        id,
        principal: ctx.actor.to_string(),
        route: key.route.clone(),
        key: key.key.clone(),
        fingerprint: key.fingerprint.to_vec(),
        answer: Some(ctx.core.keys.seal(&place(ctx, id), &plain)?),
        created_at: ctx.core.clock.now(),
        expires_at: ctx.core.clock.after(KEPT),
    })
}

fn place(ctx: &Ctx, row: uuid::Uuid) -> Place {
    Place { tenant: ctx.tenant, table: "idempotency_record", column: "answer", row }
}

impl Ctx {
    /// Commits a transaction of the system's with its audit row and the answer under the caller's key, if there is
    /// one.
    pub async fn finish<V: Serialize + Sync>(&self, tx: SystemTx, change: Change, answer: &V) -> Result<()> {
        self.keep_answer(&tx, answer).await?;
        let _recorded = self.record(tx.connection(), change).await?;
        tx.commit().await
    }

    /// Stores the answer under the caller's key, if there is one, in a transaction of the system's.
    #[expect(clippy::disallowed_methods, reason = "the record carries this context's tenant")]
    pub async fn keep_answer<V: Serialize + Sync>(&self, tx: &SystemTx, answer: &V) -> Result<()> {
        let Some(key) = &self.idempotency else { return Ok(()) };
        let row = record(self, key, answer)?.into_active_model().reset_all();
        Entity::insert(row)
            .exec_without_returning(tx.connection())
            .await
            .map_err(on_violation(Violation::Unique, in_flight()))?;
        Ok(())
    }

    /// Stores the answer under the caller's key, if there is one, where its effect is committed already or where
    /// there is none.
    pub async fn keep<V: Serialize + Sync>(&self, answer: &V) -> Result<()> {
        let Some(key) = &self.idempotency else { return Ok(()) };
        let record = record(self, key, answer)?;
        let tx = self.db().begin().await?;
        tx.insert::<Entity>(record).await.map_err(on_violation(Violation::Unique, in_flight()))?;
        tx.commit(Recorded::bookkeeping()).await
    }
}

/// Another request with the caller's key has not ended, or ended just now.
pub(crate) fn in_flight() -> Error {
    Error::conflict("idempotency_in_flight", "A request with this Idempotency-Key is being executed.")
}
