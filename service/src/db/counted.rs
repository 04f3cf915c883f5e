//! How many statements a piece of work sends to the database, for its log line. What others send for
//! it, as the group commit of runs does for many at once, is not its own and not counted.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

tokio::task_local! {
    static STATEMENTS: Statements;
}

#[derive(Clone, Default)]
pub struct Statements(Arc<AtomicU32>);

impl Statements {
    /// Those of the work at hand, to be carried into a task of its own.
    pub fn of_this_work() -> Self {
        STATEMENTS.try_with(Self::clone).unwrap_or_default()
    }

    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts what `work` sends.
    pub async fn during<F: Future>(self, work: F) -> F::Output {
        STATEMENTS.scope(self, work).await
    }

    pub(super) fn add_one() {
        // Work that nobody counts for has none.
        let _ = STATEMENTS.try_with(|statements| statements.0.fetch_add(1, Ordering::Relaxed));
    }
}
