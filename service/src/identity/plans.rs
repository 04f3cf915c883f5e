//! What each plan allows: the one table, which an operator may override by a file.
//!
//! The values here keep one tenant from harming its neighbours. They sell nothing: an operator who sells
//! plans narrows them.

pub use entity::identity::tenant::Plan;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a tenant of a plan may have, and its part of what all share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanLimits {
    /// Memberships, whatever their status.
    pub members: u32,
    pub agents: u32,
    pub tools: u32,
    pub task_definitions: u32,
    pub scheduled_tasks: u32,
    pub batch_tasks: u32,
    pub integrations: u32,
    /// Keys that work.
    pub api_keys: u32,
    /// Runs created in a calendar month, in UTC.
    pub runs_per_month: u32,
    /// Runs that wait to be started.
    pub queued_runs: u32,
    /// Requests of all its callers, at each node.
    pub requests_per_minute: u32,
    /// Its turns among the tenants that have runs waiting.
    pub weight: u32,
    /// The longest that ended runs and the audit log are kept.
    pub retention_days: u32,
}

/// The least and the most that each value may be.
const BOUNDS: [(&str, u32, u32); 13] = [
    ("members", 1, MOST),
    ("agents", 0, MOST),
    ("tools", 0, MOST),
    ("taskDefinitions", 0, MOST),
    ("scheduledTasks", 0, MOST),
    ("batchTasks", 0, MOST),
    ("integrations", 0, MOST),
    ("apiKeys", 0, MOST),
    ("runsPerMonth", 0, u32::MAX),
    ("queuedRuns", 0, 10_000_000),
    ("requestsPerMinute", 1, 60_000_000),
    ("weight", 1, 1_000),
    ("retentionDays", 90, 3_650),
];
const MOST: u32 = 10_000_000;

/// The plans of this installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plans([PlanLimits; 4]);

impl Default for Plans {
    fn default() -> Self {
        let free = PlanLimits {
            members: 10,
            agents: 50,
            tools: 100,
            task_definitions: 100,
            scheduled_tasks: 1_000,
            batch_tasks: 200,
            integrations: 20,
            api_keys: 50,
            runs_per_month: 1_000_000,
            queued_runs: 250_000,
            requests_per_minute: 12_000,
            weight: 1,
            retention_days: 365,
        };
        let starter = PlanLimits {
            members: 50,
            agents: 250,
            tools: 500,
            task_definitions: 500,
            scheduled_tasks: 5_000,
            batch_tasks: 1_000,
            integrations: 100,
            api_keys: 200,
            runs_per_month: 10_000_000,
            queued_runs: 500_000,
            requests_per_minute: 30_000,
            weight: 2,
            retention_days: 730,
        };
        let pro = PlanLimits {
            members: 500,
            agents: 2_500,
            tools: 5_000,
            task_definitions: 5_000,
            scheduled_tasks: 50_000,
            batch_tasks: 10_000,
            integrations: 1_000,
            api_keys: 1_000,
            runs_per_month: 100_000_000,
            queued_runs: 1_000_000,
            requests_per_minute: 120_000,
            weight: 4,
            retention_days: 1_095,
        };
        let enterprise = PlanLimits {
            members: 10_000,
            agents: 50_000,
            tools: 50_000,
            task_definitions: 50_000,
            scheduled_tasks: 500_000,
            batch_tasks: 100_000,
            integrations: 10_000,
            api_keys: 10_000,
            runs_per_month: 2_000_000_000,
            queued_runs: 2_000_000,
            requests_per_minute: 600_000,
            weight: 8,
            retention_days: 3_650,
        };
        Self([free, starter, pro, enterprise])
    }
}

impl Plans {
    pub const ALL: [Plan; 4] = [Plan::Free, Plan::Starter, Plan::Pro, Plan::Enterprise];

    pub fn of(&self, plan: Plan) -> &PlanLimits {
        let [free, starter, pro, enterprise] = &self.0;
        match plan {
            Plan::Free => free,
            Plan::Starter => starter,
            Plan::Pro => pro,
            Plan::Enterprise => enterprise,
        }
    }

    pub fn set(&mut self, plan: Plan, limits: PlanLimits) {
        let [free, starter, pro, enterprise] = &mut self.0;
        *match plan {
            Plan::Free => free,
            Plan::Starter => starter,
            Plan::Pro => pro,
            Plan::Enterprise => enterprise,
        } = limits;
    }

    /// The table with what a file overrides: `{"FREE": {"agents": 5}}`.
    ///
    /// # Errors
    /// A sentence that names the plan and the value.
    pub fn overridden(text: &str) -> Result<Self, String> {
        let plans: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| format!("is no JSON object of plans by name ({error})"))?;
        let mut table = Self::default();
        for (name, values) in plans {
            let plan = Self::ALL
                .into_iter()
                .find(|plan| serde_json::to_value(plan).is_ok_and(|known| known == *name));
            let plan = plan.ok_or_else(|| {
                format!("names the plan `{name}`: there are FREE, STARTER, PRO and ENTERPRISE")
            })?;
            let limits = table.of(plan).with(&name, &values)?;
            table.set(plan, limits);
        }
        Ok(table)
    }
}

impl PlanLimits {
    fn with(&self, plan: &str, values: &Value) -> Result<Self, String> {
        let values = values.as_object().ok_or_else(|| format!("has no object of values for {plan}"))?;
        let mut all = serde_json::to_value(self).map_err(|error| error.to_string())?;
        for (name, value) in values {
            let Some((_, least, most)) = BOUNDS.iter().find(|(known, ..)| known == name) else {
                let known: Vec<_> = BOUNDS.iter().map(|(known, ..)| *known).collect();
                return Err(format!("has `{name}` in {plan}: the values are {}", known.join(", ")));
            };
            let fits =
                value.as_u64().is_some_and(|value| (u64::from(*least)..=u64::from(*most)).contains(&value));
            if !fits {
                return Err(format!(
                    "has {name} {value} in {plan}: it must be a number from {least} to {most}"
                ));
            }
            if let Some(member) = all.get_mut(name) {
                *member = value.clone();
            }
        }
        serde_json::from_value(all).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_of_the_table_is_within_its_bounds_and_grows_with_the_plan() {
        let plans = Plans::default();
        let rows: Vec<Value> = Plans::ALL.into_iter().map(|plan| json!(plans.of(plan))).collect();
        for (name, least, most) in BOUNDS {
            let column: Vec<u64> = rows.iter().map(|row| row[name].as_u64().unwrap()).collect();
            assert!(column.is_sorted() && column[0] < column[3], "{name}: {column:?}");
            assert!(
                column.iter().all(|value| (u64::from(least)..=u64::from(most)).contains(value)),
                "{name}"
            );
        }
        assert_eq!(rows[0].as_object().unwrap().len(), BOUNDS.len());
    }

    #[test]
    fn a_file_overrides_what_it_names() {
        let plans = Plans::overridden(r#"{"FREE": {"agents": 5, "weight": 3}}"#).unwrap();
        assert_eq!((plans.of(Plan::Free).agents, plans.of(Plan::Free).weight), (5, 3));
        assert_eq!(plans.of(Plan::Free).tools, Plans::default().of(Plan::Free).tools);
        assert_eq!(plans.of(Plan::Pro), Plans::default().of(Plan::Pro));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("[]", "JSON object"),
            (r#"{"GOLD": {}}"#, "GOLD"),
            (r#"{"FREE": 3}"#, "FREE"),
            (r#"{"PRO": {"seats": 3}}"#, "seats"),
            (r#"{"PRO": {"members": 0}}"#, "members 0 in PRO"),
            (r#"{"PRO": {"retentionDays": 89}}"#, "90 to 3650"),
            (r#"{"PRO": {"weight": "8"}}"#, "weight"),
        ] {
            let refused = Plans::overridden(text).unwrap_err();
            assert!(refused.contains(named), "{text}: {refused}");
        }
    }
}
