//! What looks like chance and is a function of a seed.

use service::clock::Clock;
use service::ids::Ids;

pub struct Dice(Ids);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Ids::seeded(Clock::system(), seed))
    }

    /// A seed that nobody chose.
    pub fn any_seed() -> u64 {
        Ids::random(Clock::system()).below(1 << 32)
    }

    /// Dice of its own for each part, so that what one does moves no other's.
    pub fn split(&self) -> Self {
        Self::new(self.0.below(u64::MAX))
    }

    /// A number in `0..bound`.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    pub fn between(&self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub fn percent(&self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        from.get(usize::try_from(self.below(from.len() as u64)).unwrap())
    }
}
