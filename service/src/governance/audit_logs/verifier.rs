//! Walks along a chain of rows in the order of their numbers, and says where it first breaks.

use entity::governance::audit_log::Model;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::chain;

/// A place in a chain: a row's number and its hash. Before the first row: 0 and [`chain::START`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub number: i64,
    pub hash: Vec<u8>,
}

/// What is wrong at the first row that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Fault {
    /// The row with this number is not there.
    Missing,
    /// Address, old or new data are not what was recorded.
    DetailChanged,
    /// The row, or one before it, is not what was recorded.
    HashWrong,
    /// The rows end here, and the chain did not.
    Truncated,
    /// The chain holds together, but is not the one that the checkpoint was taken of.
    CheckpointDiffers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Break {
    /// The number of the first row that does not fit.
    pub number: i64,
    pub fault: Fault,
}

/// How far a chain was found whole.
#[derive(Clone, Debug)]
pub struct Verifier {
    at: Link,
    /// A link that was kept outside, to be met on the way.
    checkpoint: Option<Link>,
    pub rows: u64,
    /// Rows whose detail was erased.
    pub erased: u64,
}

impl Verifier {
    /// Begins behind `start`, which is taken as true.
    pub fn new(start: Link, checkpoint: Option<Link>) -> Self {
        Self { at: start, checkpoint, rows: 0, erased: 0 }
    }

    pub fn at(&self) -> &Link {
        &self.at
    }

    /// The next row.
    ///
    /// # Errors
    /// The break, behind which nothing can be said.
    pub fn step(&mut self, row: &Model) -> Result<(), Break> {
        let number = self.at.number + 1;
        let broken = |fault| Err(Break { number, fault });
        if row.number != number {
            return broken(Fault::Missing);
        }
        let (ip, old, new) = (row.ip_address.as_deref(), row.old_data.as_deref(), row.new_data.as_deref());
        match &row.salt {
            Some(salt) if chain::detail_hash(salt, ip, old, new)[..] != row.detail_hash[..] => {
                return broken(Fault::DetailChanged);
            }
            None if ip.is_some() || old.is_some() || new.is_some() => return broken(Fault::DetailChanged),
            None => self.erased += 1,
            Some(_) => {}
        }
        if chain::row_hash(&self.at.hash, row)[..] != row.hash[..] {
            return broken(Fault::HashWrong);
        }
        if self.checkpoint.as_ref().is_some_and(|kept| kept.number == number && kept.hash != row.hash) {
            return broken(Fault::CheckpointDiffers);
        }
        self.at = Link { number, hash: row.hash.clone() };
        self.rows += 1;
        Ok(())
    }

    /// After the last row: `end` is where the chain is said to end.
    ///
    /// # Errors
    /// The break.
    pub fn end(&self, end: &Link) -> Result<(), Break> {
        let reaches = end.number.max(self.checkpoint.as_ref().map_or(0, |kept| kept.number));
        if reaches > self.at.number {
            return Err(Break { number: self.at.number + 1, fault: Fault::Truncated });
        }
        if *end != self.at {
            return Err(Break { number: self.at.number, fault: Fault::HashWrong });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
