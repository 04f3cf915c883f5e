//! Identifiers (UUIDv7, RFC 9562) and random bytes. Nothing else in the workspace makes either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngCore as _;
use uuid::Uuid;

use crate::clock::Clock;

/// Mints time-ordered ids and secret bytes; `seeded` gives tests a repeatable sequence.
#[derive(Clone)]
pub struct Ids {
    clock: Clock,
    /// The time of the newest id, in 4,096ths of a millisecond.
    last: Arc<AtomicU64>,
    seeded: Option<Arc<AtomicU64>>,
}

impl Ids {
    pub fn random(clock: Clock) -> Self {
        Self { clock, last: Arc::default(), seeded: None }
    }

    pub fn seeded(clock: Clock, seed: u64) -> Self {
        Self { clock, last: Arc::default(), seeded: Some(Arc::new(AtomicU64::new(seed))) }
    }

    /// A UUIDv7 whose time is the clock's, above all that were made here before: the first twelve bits of
    /// its random part are a fraction of the millisecond (RFC 9562, section 6.2, method 3).
    pub fn next(&self) -> Uuid {
        let micros = u64::try_from(self.clock.now().timestamp_micros()).unwrap_or(0);
        let now = ((micros / 1_000) << 12) | (((micros % 1_000) << 12) / 1_000);
        let newest = |last: u64| Some(now.max(last + 1));
        let last = self.last.fetch_update(Ordering::SeqCst, Ordering::SeqCst, newest).unwrap_or(now);
        let ticks = now.max(last + 1);
        let mut random = [0_u8; 10];
        self.fill(&mut random[2..]);
        // The highest four bits give way to the version.
        random[..2].copy_from_slice(&ticks.to_be_bytes()[6..]);
        uuid::Builder::from_unix_timestamp_millis(ticks >> 12, &random).into_uuid()
    }

    /// Bytes fit for secrets (operating system entropy), except under a seed.
    pub fn fill(&self, bytes: &mut [u8]) {
        match &self.seeded {
            None => {
                #[expect(clippy::disallowed_methods, reason = "the one place that reads randomness")]
                rand::rng().fill_bytes(bytes);
            }
            Some(counter) => {
                for chunk in bytes.chunks_mut(8) {
                    let value = splitmix(counter.fetch_add(1, Ordering::SeqCst));
                    chunk.copy_from_slice(&value.to_be_bytes()[..chunk.len()]);
                }
            }
        }
    }

    /// A number in `0..bound` (0 when `bound` is 0), for jitter.
    pub fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_be_bytes(bytes).checked_rem(bound).unwrap_or(0)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_instant_are_in_order() {
        let ids = Ids::random(Clock::system());
        let made: Vec<Uuid> = (0..10_000).map(|_| ids.next()).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
        assert!(made.iter().all(|id| id.get_version_num() == 7));
    }
}
