//! Whose turn is next: places in the circles of tenants, of a tenant's lanes and of a lane's keys. They are a
//! node's own, and forgetting one only begins its circle anew.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Tenants, and lanes, whose place is remembered.
const MOST_PLACES: usize = 10_000;

#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Places>>);

#[derive(Default)]
struct Places {
    tenant: Uuid,
    lanes: HashMap<Uuid, Uuid>,
    keys: HashMap<(Uuid, Uuid), String>,
}

impl Turns {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tenant_place(&self) -> Uuid {
        self.places().tenant
    }

    pub fn tenant(&self, tenant: Uuid) {
        self.places().tenant = tenant;
    }

    pub fn lane_place(&self, tenant: Uuid) -> Uuid {
        self.places().lanes.get(&tenant).copied().unwrap_or_default()
    }

    pub fn lane(&self, tenant: Uuid, lane: Uuid) {
        remember(&mut self.places().lanes, tenant, lane);
    }

    pub fn key_place(&self, tenant: Uuid, lane: Uuid) -> Option<String> {
        self.places().keys.get(&(tenant, lane)).cloned()
    }

    pub fn key(&self, tenant: Uuid, lane: Uuid, key: &str) {
        remember(&mut self.places().keys, (tenant, lane), key.to_owned());
    }
}

fn remember<K: Eq + Hash, V>(places: &mut HashMap<K, V>, of: K, place: V) {
    if places.len() >= MOST_PLACES {
        places.clear();
    }
    places.insert(of, place);
}
