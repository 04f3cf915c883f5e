//! By what a person is found in the audit log beside what they did themselves: rows about their memberships,
//! their places in teams and their invitations, and rows that name an address that is or was theirs.
//!
//! Invariant: an address that somebody else has now is not theirs any more. What it is found by is forgotten
//! with the rest.

use std::collections::BTreeSet;

use sea_orm::{QueryResult, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::db::{SystemDb, TenantTx};
use crate::error::{Error, Result};
use crate::identity::users;

/// Of each kind.
const MOST: usize = 10_000;
/// Which one statement looks for.
const AT_ONCE: usize = 200;

/// Tokens were sent to what was the person's address then; but for those to an address that might become so.
const ADDRESSES: &str = "SELECT email FROM app_user WHERE id = $1 \
     UNION SELECT email FROM verification_token WHERE user_id = $1 AND purpose <> 'CHANGE_EMAIL'";
/// Who joined by an invitation, or accepted it, is named by `userId`; who accepted a membership before that was
/// told, by having done so.
const TELLING: &str = "SELECT resource_id, old_data, new_data FROM audit_log \
     WHERE tenant_id = $1 AND number > $2 AND number <= $3 AND resource_id IS NOT NULL \
     AND resource IN ('membership', 'team-member', 'invitation') \
     AND (old_data LIKE $5 ESCAPE '!' OR new_data LIKE $5 ESCAPE '!' \
          OR (resource = 'membership' AND user_id = $4 AND old_data IS NULL AND new_data = '{\"status\":\"ACTIVE\"}'))";
/// All that was written of what has these ids: an invitation was made before anybody was known by it.
const TOLD: &str =
    "SELECT resource_id, old_data, new_data FROM audit_log WHERE tenant_id = $1 AND resource_id IN ";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Traces {
    /// Of memberships, places in teams and invitations.
    resources: BTreeSet<Uuid>,
    addresses: BTreeSet<String>,
}

impl Traces {
    /// Adds the addresses that are known of the account.
    pub async fn know(&mut self, people: &SystemDb, user: Uuid) -> Result<()> {
        for row in people.query(ADDRESSES, vec![user.into()]).await? {
            self.addresses.insert(row.try_get("", "email")?);
        }
        Ok(())
    }

    /// Adds what the rows of a window tell.
    pub async fn gather(&mut self, tx: &TenantTx, user: Uuid, (from, to): (i64, i64)) -> Result<()> {
        let values = vec![from.into(), to.into(), user.into(), about(user).into()];
        for row in tx.query(TELLING, values).await? {
            self.learn(&row)?;
        }
        Ok(())
    }

    /// Adds what else was written of what is known by now.
    pub async fn complete(&mut self, tx: &TenantTx) -> Result<()> {
        for ids in self.resources().chunks(AT_ONCE) {
            let values = ids.iter().map(|id| Value::from(*id)).collect();
            for row in tx.query(&format!("{TOLD}{}", places(1, ids.len())), values).await? {
                self.learn(&row)?;
            }
        }
        Ok(())
    }

    fn learn(&mut self, row: &QueryResult) -> Result<()> {
        self.resources.extend(row.try_get::<Option<Uuid>>("", "resource_id")?);
        for column in ["old_data", "new_data"] {
            let text: Option<String> = row.try_get("", column)?;
            let data = text.and_then(|text| serde_json::from_str::<Json>(&text).ok());
            let email = data.as_ref().and_then(|data| data.get("email")).and_then(Json::as_str);
            self.addresses.extend(email.map(str::to_owned));
        }
        match self.resources.len().max(self.addresses.len()) {
            0..=MOST => Ok(()),
            _ => Err(Error::internal("a person left more traces than one erasure follows")),
        }
    }

    /// Takes out what belongs to others now.
    pub async fn keep_own(&mut self, people: &SystemDb, user: Uuid) -> Result<()> {
        let mut own = BTreeSet::new();
        for email in std::mem::take(&mut self.addresses) {
            let now = users::by_email(people.connection(), &email).await?;
            if now.is_none_or(|now| now.id == user) {
                own.insert(email);
            }
        }
        self.addresses = own;
        Ok(())
    }

    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.addresses.iter().map(String::as_str)
    }

    fn resources(&self) -> Vec<Uuid> {
        self.resources.iter().copied().collect()
    }

    /// Conditions that together find every row about the person, each with its values; they count on from `after`.
    pub fn conditions(&self, user: Uuid, after: usize) -> Vec<(String, Vec<Value>)> {
        let mut conditions = Vec::new();
        let ids: Vec<Uuid> = self.resources.iter().copied().chain([user]).collect();
        for ids in ids.chunks(AT_ONCE) {
            let values = ids.iter().map(|id| Value::from(*id)).collect();
            conditions.push((format!("resource_id IN {}", places(after, ids.len())), values));
        }
        let patterns: Vec<String> = self.addresses().map(names).collect();
        for patterns in patterns.chunks(AT_ONCE) {
            let one = |at: usize| {
                let n = after + at + 1;
                format!("old_data LIKE ${n} ESCAPE '!' OR new_data LIKE ${n} ESCAPE '!'")
            };
            let any: Vec<String> = (0..patterns.len()).map(one).collect();
            let values = patterns.iter().map(|pattern| Value::from(pattern.as_str())).collect();
            conditions.push((format!("({})", any.join(" OR ")), values));
        }
        conditions
    }
}

/// `($5, $6)` behind `$4`.
fn places(after: usize, count: usize) -> String {
    let places: Vec<String> = (after + 1..=after + count).map(|n| format!("${n}")).collect();
    format!("({})", places.join(", "))
}

/// Pattern of JSON texts in which the e-mail stands as a value.
pub(super) fn names(email: &str) -> String {
    holds(&json!(email).to_string())
}

/// Pattern of JSON texts that say that this is about the person.
pub(super) fn about(user: Uuid) -> String {
    holds(&format!("\"userId\":\"{user}\""))
}

/// Pattern of texts with this in them.
fn holds(text: &str) -> String {
    format!("%{}%", text.replace('!', "!!").replace('%', "!%").replace('_', "!_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_count_on_and_are_bounded() {
        let resources = (0..450).map(|n| Uuid::from_u128(n + 1)).collect();
        let traces = Traces { resources, addresses: BTreeSet::from(["a_b@example.com".to_owned()]) };
        let conditions = traces.conditions(Uuid::nil(), 4);
        let sizes: Vec<_> = conditions.iter().map(|(_, values)| values.len()).collect();
        assert_eq!(sizes, [200, 200, 51, 1]);
        assert!(conditions[0].0.starts_with("resource_id IN ($5, $6, "), "{}", conditions[0].0);
        assert_eq!(conditions[3].0, "(old_data LIKE $5 ESCAPE '!' OR new_data LIKE $5 ESCAPE '!')");
        assert_eq!(conditions[3].1, [Value::from("%\"a!_b@example.com\"%")]);
    }
}
