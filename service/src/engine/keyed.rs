//! Runs whose keys decide whether they are created have a transaction of their own: it waits for who decides
//! about the same key, and the group commit waits for nobody.

use entity::governance::idempotency_record;
use entity::tasks::task_run::RunStatus;

use super::commit::{insert_all, why_not};
use super::transitions::{self, Admitted, NewRun};
use super::{Created, Engine};
use crate::crud::in_flight;
use crate::db::{Reason, Violation, violation};
use crate::error::{Error, Result};

impl Engine {
    /// # Errors
    /// 409 `concurrency_limit` when the key's strategy is REJECT and it is full; else those of the group commit.
    pub(super) async fn create_by_keys(
        &self,
        new: NewRun,
        record: Option<idempotency_record::Model>,
    ) -> Result<Created> {
        let inner = &self.0;
        let db = inner.db.system(Reason::Engine);
        let tx = db.begin().await?;
        let (run, cancelled) = match transitions::admit(&tx, new.clone()).await? {
            Admitted::New { run, cancelled } => (run, cancelled),
            Admitted::Duplicate(run) => return Ok(Created::Duplicate(run)),
            Admitted::Refused { limit } => return Err(refused(limit)),
            Admitted::Missing => {
                drop(tx);
                return why_not(&db, &new).await;
            }
        };
        insert_all(&tx, record.into_iter()).await.map_err(|cause| match violation(&cause) {
            Some(Violation::Unique) => in_flight(),
            _ => cause.into(),
        })?;
        tx.commit().await?;
        for other in &cancelled {
            if other.status == RunStatus::Running {
                self.cancel_here(other.id);
            }
            self.announce(other.id, other.status);
        }
        self.announce(run.id, run.status);
        Ok(Created::New(run))
    }
}

/// A run that its key's strategy refuses.
pub fn refused(limit: u32) -> Error {
    metrics::counter!("runs_refused_total", "limit" => "concurrency_key").increment(1);
    let runs = if limit == 1 { "run is" } else { "runs are" };
    Error::conflict("concurrency_limit", format!("{limit} {runs} live with the same concurrency key."))
}
