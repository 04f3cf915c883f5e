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

/// A row as far as it can be looked at alone, in any order and on any core: all but its link.
pub struct Weighed {
    number: i64,
    detail_fits: bool,
    is_erased: bool,
    canonical: Vec<u8>,
    hash: Vec<u8>,
}

impl From<Model> for Weighed {
    fn from(row: Model) -> Self {
        Self {
            number: row.number,
            detail_fits: detail_fits(&row),
            is_erased: row.ip_salt.is_none() || row.data_salt.is_none(),
            canonical: chain::canonical(&row),
            hash: row.hash,
        }
    }
}

fn detail_fits(row: &Model) -> bool {
    let (ip, old, new) = (row.ip_address.as_deref(), row.old_data.as_deref(), row.new_data.as_deref());
    let Some((of_ip, of_data)) = row.detail_hash.split_at_checked(32) else { return false };
    let ip_fits = match &row.ip_salt {
        Some(salt) => chain::ip_hash(salt, ip)[..] == *of_ip,
        None => ip.is_none(),
    };
    let data_fits = match &row.data_salt {
        Some(salt) => chain::data_hash(salt, old, new)[..] == *of_data,
        None => old.is_none() && new.is_none(),
    };
    ip_fits && data_fits
}

/// How far a chain was found whole.
#[derive(Clone, Debug)]
pub struct Verifier {
    at: Link,
    /// A link that was kept outside, to be met on the way.
    checkpoint: Option<Link>,
    pub rows: u64,
    /// Rows whose address or data was erased.
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
    pub fn step(&mut self, row: &Weighed) -> Result<(), Break> {
        let number = self.at.number + 1;
        let broken = |fault| Err(Break { number, fault });
        if row.number != number {
            return broken(Fault::Missing);
        }
        if !row.detail_fits {
            return broken(Fault::DetailChanged);
        }
        self.erased += u64::from(row.is_erased);
        if chain::linked(&self.at.hash, &row.canonical)[..] != row.hash[..] {
            return broken(Fault::HashWrong);
        }
        if self.checkpoint.as_ref().is_some_and(|kept| kept.number == number && kept.hash != row.hash) {
            return broken(Fault::CheckpointDiffers);
        }
        self.at.number = number;
        self.at.hash.clone_from(&row.hash);
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
