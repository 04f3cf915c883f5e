//! What was read lately, kept for a second and until this node's next write.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::Db;

const FRESH: Duration = Duration::from_secs(1);
const MOST: u64 = 10_000;

pub struct Recent<K, V>(Cache<K, (u64, Arc<V>)>);

impl<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static> Default for Recent<K, V> {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(FRESH).build())
    }
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static> Recent<K, V> {
    /// # Errors
    /// Those of `load`; a failure is not kept.
    pub async fn get<E>(
        &self,
        db: &Db,
        key: K,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<Arc<V>, E> {
        // Read before loading: a write meanwhile makes what was loaded stale.
        let writes = db.writes();
        if let Some((then, value)) = self.0.get(&key).await
            && then == writes
        {
            return Ok(value);
        }
        let value = Arc::new(load.await?);
        self.0.insert(key, (writes, value.clone())).await;
        Ok(value)
    }
}
