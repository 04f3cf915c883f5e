//! Credentials that were refused, counted for each address: looking one up costs a query, and anybody
//! can make some up. The counts are bounded and forgotten together every ten seconds.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};

use super::rate_limit::{MOST_BUCKETS, block};

/// Refused credentials of one address until no more are looked up.
const MOST: u32 = 200;
/// Addresses beyond the bound share this one's count.
const SHARED: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[derive(Default)]
pub struct Refusals(Mutex<HashMap<IpAddr, u32>>);

impl Refusals {
    /// Whether the address has had all its refusals.
    pub fn are_spent(&self, ip: Option<IpAddr>) -> bool {
        self.count(ip, 0) >= MOST
    }

    pub fn note(&self, ip: Option<IpAddr>) {
        self.count(ip, 1);
    }

    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn count(&self, ip: Option<IpAddr>, more: u32) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = ip.map_or(SHARED, block);
        let is_full = counts.len() >= MOST_BUCKETS && !counts.contains_key(&own);
        let ip = if is_full { SHARED } else { own };
        if more == 0 {
            return counts.get(&ip).copied().unwrap_or_default();
        }
        let count = counts.entry(ip).or_default();
        *count = count.saturating_add(more);
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_for_each_address_and_forgotten() {
        let refusals = Refusals::default();
        let (one, two) = (Some(IpAddr::from([1, 1, 1, 1])), Some(IpAddr::from([2, 2, 2, 2])));
        (1..MOST).for_each(|_| refusals.note(one));
        assert!(!refusals.are_spent(one));
        refusals.note(one);
        assert!(refusals.are_spent(one) && !refusals.are_spent(two));
        refusals.forget();
        assert!(!refusals.are_spent(one));
    }
}
