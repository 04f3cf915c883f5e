//! What differs between two versions of an agent.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::AgentSnapshot;
use crate::crud::document;
use crate::error::{Result, pointer_to};

/// One difference. Where `from` is absent the value was added, where `to` is absent it was removed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Change {
    /// RFC 6901, into the snapshot; a tool is named by its name: `/tools/search/config/policy`.
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// Objects are compared member by member; other values, lists too, as wholes.
pub(super) fn diff(from: &AgentSnapshot, to: &AgentSnapshot) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    compare("", Some(&comparable(from)?), Some(&comparable(to)?), &mut changes);
    Ok(changes)
}

/// The snapshot with its tools by name, so that another order is no difference.
fn comparable(snapshot: &AgentSnapshot) -> Result<Value> {
    let mut value = document::stored(snapshot)?;
    let tools = snapshot.tools.iter().map(|tool| Ok((tool.name.clone(), document::stored(tool)?)));
    value["tools"] = Value::Object(tools.collect::<Result<Map<_, _>>>()?);
    Ok(value)
}

fn compare(path: &str, from: Option<&Value>, to: Option<&Value>, changes: &mut Vec<Change>) {
    match (from, to) {
        (Some(from), Some(to)) if from == to => {}
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            for key in from.keys().chain(to.keys()).collect::<BTreeSet<_>>() {
                compare(&pointer_to(path, key), from.get(key), to.get(key), changes);
            }
        }
        (from, to) => changes.push(Change { path: path.to_owned(), from: from.cloned(), to: to.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use entity::agents::agent::AgentType;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::agents::{AgentConfig, AgentToolConfig, BoundTool};

    #[test]
    fn members_are_compared_one_by_one() {
        let tool = |name: &str| BoundTool {
            tool_id: Uuid::nil(),
            name: name.to_owned(),
            config: AgentToolConfig::default(),
        };
        let from = AgentSnapshot {
            kind: AgentType::Chatbot,
            provider_id: None,
            config: AgentConfig::default(),
            tools: vec![tool("a"), tool("b")],
        };
        assert_eq!(diff(&from, &from).unwrap(), []);
        let mut to = from.clone();
        to.config.limits.max_steps = 3;
        to.tools = vec![tool("b"), tool("a")];
        to.tools[0].config.terminal = true;
        let changes = diff(&from, &to).unwrap();
        let paths: Vec<_> = changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["/config/limits/maxSteps", "/tools/b/config/terminal"]);
        assert_eq!(changes[0].to, Some(json!(3)));
    }
}
