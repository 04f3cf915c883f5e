//! The last slots of a node are for tenants that hold few of them: however long the runs of one tenant take, the first
//! runs of another start at once.

use std::collections::HashMap;

use uuid::Uuid;

/// One slot in so many is kept.
const SHARE: usize = 16;

/// What tenants hold of a node's slots, and how many are kept for those that hold few.
#[derive(Clone, Debug, Default)]
pub struct Reserve {
    kept: u64,
    held: HashMap<Uuid, u64>,
}

impl Reserve {
    /// That of a node with so many slots.
    pub fn of(slots: usize, held: HashMap<Uuid, u64>) -> Self {
        Self { kept: Self::kept(slots), held }
    }

    /// How many slots are kept.
    pub fn kept(slots: usize) -> u64 {
        u64::try_from(slots / SHARE).unwrap_or(0)
    }

    /// How many of the `free` slots the tenant may take.
    pub fn room(&self, free: u64, tenant: Uuid) -> u64 {
        let held = self.held.get(&tenant).copied().unwrap_or(0);
        free.saturating_sub(self.kept).max(self.kept.saturating_sub(held)).min(free)
    }

    pub fn take(&mut self, tenant: Uuid, slots: u64) {
        *self.held.entry(tenant).or_default() += slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_leaves_what_is_kept_and_others_take_it() {
        let (large, small, new) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let mut reserve = Reserve::of(256, HashMap::new());
        assert_eq!(reserve.room(256, large), 240);
        reserve.take(large, 240);
        assert_eq!((reserve.room(16, large), reserve.room(16, small)), (0, 16));
        reserve.take(small, 14);
        assert_eq!((reserve.room(2, small), reserve.room(2, new)), (2, 2));
        reserve.take(small, 2);
        assert_eq!(reserve.room(0, new), 0);
        assert_eq!(Reserve::of(9, HashMap::new()).room(9, large), 9, "a small node keeps none");
    }
}
