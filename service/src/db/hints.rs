//! Hints between the nodes of one PostgreSQL database (LISTEN and NOTIFY). One may be lost or come late; whoever gets
//! none looks by itself. An embedded database has one node, and none of this.

use sea_orm::sqlx::postgres::PgListener;

use super::{Db, Reason};
use crate::error::{Error, Result};

/// What comes over one channel, on a connection of its own.
pub struct Hints(PgListener);

impl Db {
    /// Listens; `None` where there is nobody to listen to.
    pub async fn hints(&self, channel: &str) -> Result<Option<Hints>> {
        let Some(pool) = &self.inner.listener else { return Ok(None) };
        let mut listener = PgListener::connect_with(pool).await.map_err(Error::internal)?;
        listener.listen(channel).await.map_err(Error::internal)?;
        Ok(Some(Hints(listener)))
    }

    /// Tells the other nodes; at most 8,000 bytes.
    pub async fn hint(&self, channel: &str, text: String) -> Result<()> {
        if self.inner.listener.is_some() {
            let sql = "SELECT pg_notify($1, $2)";
            self.system(Reason::Engine).query(sql, vec![channel.into(), text.into()]).await?;
        }
        Ok(())
    }
}

impl Hints {
    /// The next one; `None` after the connection was lost and is there again: some may have been missed.
    pub async fn next(&mut self) -> Result<Option<String>> {
        let hint = self.0.try_recv().await.map_err(Error::internal)?;
        Ok(hint.map(|hint| hint.payload().to_owned()))
    }
}
