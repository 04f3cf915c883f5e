//! A hundred thousand random tampers of random chains, each by one who may compute every hash.

use chrono::{DateTime, TimeDelta, Utc};
use entity::governance::audit_log::{AuditOutcome, Model};
use uuid::Uuid;

use super::*;
use crate::clock::Clock;
use crate::ids::Ids;

const TAMPERS: u32 = 100_000;

struct Dice(Ids);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Ids::seeded(Clock::manual(DateTime::UNIX_EPOCH), seed))
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.0.below(bound as u64)).unwrap()
    }

    fn text(&self) -> String {
        ["", "a", "ä\"", "update_agent", "{\"name\":\"x\"}", "[1,null]"][self.below(6)].to_owned()
    }

    fn maybe(&self) -> Option<String> {
        (self.below(2) == 0).then(|| self.text())
    }

    fn row(&self, number: i64) -> Model {
        let mut salt = [0; chain::SALT_BYTES];
        self.0.fill(&mut salt);
        let (no_ip, no_data) = (self.below(8) == 0, self.below(8) == 0);
        Model {
            tenant_id: Uuid::from_u128(7),
            id: self.0.next(),
            number,
            actor: self.text(),
            user_id: (self.below(2) == 0).then(|| self.0.next()),
            action: self.text(),
            outcome: [AuditOutcome::Succeeded, AuditOutcome::Refused][self.below(2)],
            code: self.maybe(),
            resource: self.maybe(),
            resource_id: (self.below(2) == 0).then(|| self.0.next()),
            request_id: self.text(),
            ip_salt: (!no_ip).then(|| salt.to_vec()),
            ip_address: self.maybe().filter(|_| !no_ip),
            data_salt: (!no_data).then(|| salt.to_vec()),
            old_data: self.maybe().filter(|_| !no_data),
            new_data: self.maybe().filter(|_| !no_data),
            detail_hash: salt.repeat(4),
            hash: Vec::new(),
            created_at: DateTime::<Utc>::UNIX_EPOCH + TimeDelta::microseconds(number * 1_001),
            workspace_id: None,
        }
    }
}

fn start() -> Link {
    Link { number: 0, hash: chain::START.to_vec() }
}

/// Gives the rows from `first` on the hashes that they should have.
fn seal(rows: &mut [Model], first: usize) {
    for at in first..rows.len() {
        let previous = at.checked_sub(1).map_or(chain::START.to_vec(), |before| rows[before].hash.clone());
        let row = &mut rows[at];
        if let Some(salt) = &row.ip_salt {
            row.detail_hash[..32].copy_from_slice(&chain::ip_hash(salt, row.ip_address.as_deref()));
        }
        if let Some(salt) = &row.data_salt {
            let hash = chain::data_hash(salt, row.old_data.as_deref(), row.new_data.as_deref());
            row.detail_hash[32..].copy_from_slice(&hash);
        }
        row.hash = chain::row_hash(&previous, row).to_vec();
    }
}

fn verify(rows: &[Model], end: &Link, checkpoint: Option<&Link>) -> Result<Verifier, Break> {
    let mut verifier = Verifier::new(start(), checkpoint.cloned());
    rows.iter().try_for_each(|row| verifier.step(&row.clone().into()))?;
    verifier.end(end)?;
    Ok(verifier)
}

fn link(row: &Model) -> Link {
    Link { number: row.number, hash: row.hash.clone() }
}

/// Changes one field of the row into something else.
fn change(row: &mut Model, dice: &Dice) {
    let other = |text: &mut Option<String>| *text = Some(text.take().unwrap_or_default() + "x");
    match dice.below(18) {
        0 => row.tenant_id = Uuid::from_u128(8),
        1 => row.id = Uuid::from_u128(9),
        2 => row.number += 1,
        3 => row.actor.push('x'),
        4 => row.user_id = Some(Uuid::from_u128(10)),
        5 => row.action.push('x'),
        6 => {
            row.outcome = match row.outcome {
                AuditOutcome::Succeeded => AuditOutcome::Refused,
                AuditOutcome::Refused => AuditOutcome::Succeeded,
            }
        }
        7 => other(&mut row.code),
        8 => other(&mut row.resource),
        9 => row.resource_id = Some(Uuid::from_u128(11)),
        10 => row.request_id.push('x'),
        11 => other(&mut row.ip_address),
        12 => other(&mut row.old_data),
        13 => other(&mut row.new_data),
        14 => row.created_at += TimeDelta::microseconds(1),
        15 => row.ip_salt = Some(vec![0; chain::SALT_BYTES]),
        16 => row.data_salt = Some(vec![0; chain::SALT_BYTES]),
        _ => {
            let at = dice.below(32);
            if dice.below(2) == 0 { row.hash[at] ^= 1 } else { row.detail_hash[2 * at] ^= 1 }
        }
    }
}

#[test]
fn a_hundred_thousand_tampers_are_all_detected() {
    let dice = Dice::new(42);
    let mut found = [0_u32; 5];
    for round in 0..TAMPERS {
        let length = 2 + dice.below(5);
        let mut rows: Vec<Model> = (1..).take(length).map(|number| dice.row(number)).collect();
        seal(&mut rows, 0);
        let (end, at) = (link(&rows[length - 1]), dice.below(length));
        if round % 100 == 0 {
            assert_eq!(verify(&rows, &end, Some(&end)).unwrap().rows, length as u64);
        }
        let kind = dice.below(5);
        let (end, checkpoint) = match kind {
            0 => {
                change(&mut rows[at], &dice);
                (end, None)
            }
            1 => {
                rows.remove(at);
                (end, None)
            }
            2 => {
                let other = (at + 1 + dice.below(length - 1)) % length;
                rows.swap(at, other);
                // Whoever swaps rows may number them anew.
                if dice.below(2) == 0 {
                    rows.iter_mut().zip(1..).for_each(|(row, number)| row.number = number);
                }
                (end, None)
            }
            3 => {
                let number = rows[at].number;
                rows.insert(at, dice.row(number));
                (1..).zip(&mut rows).for_each(|(number, row)| row.number = number);
                if dice.below(2) == 0 { (link(&rows[length]), None) } else { (end, None) }
            }
            // Rewritten with right hashes, and both ends with them: only the checkpoint tells.
            _ => {
                if dice.below(2) == 0 {
                    rows.truncate(at);
                } else {
                    rows[at].actor.push('x');
                    seal(&mut rows, at);
                }
                (rows.last().map_or_else(start, link), Some(end))
            }
        };
        assert!(verify(&rows, &end, checkpoint.as_ref()).is_err(), "round {round}, kind {kind}");
        found[kind] += 1;
    }
    assert!(found.iter().all(|count| *count > TAMPERS / 10), "{found:?}");
}

#[test]
fn erasing_detail_keeps_the_chain_and_planting_some_breaks_it() {
    let dice = Dice::new(7);
    let mut rows: Vec<Model> = (1..=4).map(|number| dice.row(number)).collect();
    rows[1].ip_salt = Some(vec![5; chain::SALT_BYTES]);
    rows[1].data_salt = Some(vec![5; chain::SALT_BYTES]);
    rows[1].new_data = Some("{}".to_owned());
    seal(&mut rows, 0);
    let end = link(&rows[3]);
    let erased = verify(&rows, &end, None).unwrap().erased;
    rows[1] = Model { data_salt: None, old_data: None, new_data: None, ..rows[1].clone() };
    rows[1] = Model { ip_salt: None, ip_address: None, ..rows[1].clone() };
    assert_eq!(verify(&rows, &end, None).unwrap().erased, erased + 1);
    rows[1].new_data = Some("{}".to_owned());
    assert_eq!(verify(&rows, &end, None).unwrap_err(), Break { number: 2, fault: Fault::DetailChanged });
}

#[test]
fn the_formula_is_the_documented_one() {
    let dice = Dice::new(1);
    let row = Model {
        tenant_id: Uuid::from_u128(1),
        id: Uuid::from_u128(2),
        number: 1,
        actor: "system".to_owned(),
        user_id: None,
        action: "bootstrap".to_owned(),
        outcome: AuditOutcome::Succeeded,
        code: None,
        resource: Some("tenant".to_owned()),
        resource_id: None,
        request_id: "r".to_owned(),
        detail_hash: vec![0xab; 64],
        created_at: DateTime::from_timestamp_micros(1_500_000).unwrap(),
        ..dice.row(1)
    };
    let text = format!(
        "[1,\"{}\",1,\"{}\",\"1970-01-01T00:00:01.500+00:00\",\"system\",null,\"bootstrap\",\"SUCCEEDED\",\
         null,\"tenant\",null,\"r\",\"{}\"]",
        row.tenant_id,
        row.id,
        "ab".repeat(64)
    );
    use sha2::Digest as _;
    let expected = sha2::Sha256::new().chain_update(chain::START).chain_update(text).finalize();
    assert_eq!(chain::row_hash(&chain::START, &row)[..], expected[..]);
    let of = |text: &str| sha2::Sha256::new().chain_update([1, 2]).chain_update(text).finalize();
    assert_eq!(chain::ip_hash(&[1, 2], Some("::1"))[..], of("[\"::1\"]")[..]);
    assert_eq!(chain::data_hash(&[1, 2], None, Some("{}"))[..], of("[null,\"{}\"]")[..]);
}
