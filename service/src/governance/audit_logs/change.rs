//! What was changed, as the audit row keeps it: secrets masked, long texts cut, bounded as a whole.

use entity::scope::{Place, TenantOwned};
use sea_orm::IdenStatic as _;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Of old or new data as JSON.
const LARGEST: usize = 32 << 10;
const LARGEST_MEMBER: usize = 4 << 10;
const LONGEST_TEXT: usize = 2_000;
const SHOWN: usize = 200;
const MASK: &str = "***";

/// A member whose name has one of these in it keeps no text; compared without case, `-` and `_`.
const SECRET_NAMES: [&str; 8] =
    ["password", "secret", "token", "credential", "authorization", "apikey", "privatekey", "cookie"];
/// A text that begins so is a secret wherever it stands.
const SECRET_PREFIXES: [&str; 11] = [
    "mc_live_", "mc_rt_", "mc_vt_", "mc_in_", "mc_ch_", "mc_os_", "mc_lt_", "sk-", "whsec_", "bearer ",
    "basic ",
];
/// Members that change with every write.
const UNTOLD: [&str; 2] = ["revision", "updatedAt"];

/// The resource that a call changed, before and after.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub(super) resource: Option<String>,
    pub(super) id: Option<Uuid>,
    pub(super) old: Option<Value>,
    pub(super) new: Option<Value>,
    pub(super) place: Belongs,
}

/// To which workspace the resource belongs: who sees that is told of the change.
#[derive(Clone, Debug, Default)]
pub(super) enum Belongs {
    #[default]
    ToTenant,
    To(Uuid),
    /// What its row says in the transaction that changes it; a query of the audit row's `$1` and `$10`.
    AsStored(String),
}

impl Belongs {
    /// Read from the entity, so that nobody has to think of it where a resource is new.
    fn of<E: TenantOwned>() -> Self {
        let (entity, id) = (E::default(), E::ID.as_str());
        let table = entity.table_name();
        let within = match (E::PLACE, E::AGENT, E::RUN) {
            (Place::Within(column) | Place::Frame(column), ..) => {
                let column = column.as_str();
                return Self::AsStored(format!(
                    "(SELECT r.{column} FROM {table} r WHERE r.tenant_id = $1 AND r.{id} = $10)"
                ));
            }
            (Place::Tenant, Some(agent), _) => ("agent", agent),
            (Place::Tenant, None, Some(run)) => ("task_run", run),
            (Place::Tenant, None, None) => return Self::ToTenant,
        };
        let (owner, column) = (within.0, within.1.as_str());
        Self::AsStored(format!(
            "(SELECT o.workspace_id FROM {table} r JOIN {owner} o ON o.tenant_id = r.tenant_id \
             AND o.id = r.{column} WHERE r.tenant_id = $1 AND r.{id} = $10)"
        ))
    }

    /// Of an audit row that has 19 other values.
    pub fn sql(&self) -> &str {
        match self {
            Self::ToTenant => "NULL",
            Self::To(_) => "$20",
            Self::AsStored(query) => query,
        }
    }

    pub fn value(&self) -> Option<sea_orm::Value> {
        match self {
            Self::To(workspace) => Some((*workspace).into()),
            Self::ToTenant | Self::AsStored(_) => None,
        }
    }
}

impl Change {
    /// What is no row that belongs to a workspace. `kind` as in messages ("task definition") is kept as
    /// `task-definition`.
    pub fn to(kind: &str, id: Uuid) -> Self {
        let resource = kind.to_lowercase().replace(' ', "-");
        Self { resource: Some(resource), id: Some(id), ..Self::default() }
    }

    pub fn of<E: TenantOwned>(id: Uuid) -> Self {
        Self { place: Belongs::of::<E>(), ..Self::to(E::KIND, id) }
    }

    pub fn created<E: TenantOwned>(id: Uuid, view: &impl Serialize) -> Self {
        Self::of::<E>(id).with(json(view))
    }

    /// The row may be gone: `workspace` is what [`TenantOwned::workspace`] said of it.
    pub fn deleted<E: TenantOwned>(id: Uuid, workspace: Option<Uuid>, view: &impl Serialize) -> Self {
        Self { old: Some(shown(json(view))), ..Self::of::<E>(id).within(workspace) }
    }

    /// Keeps the members that differ, and the name, so that people know what it was.
    pub fn updated<E: TenantOwned>(id: Uuid, old: &impl Serialize, new: &impl Serialize) -> Self {
        let (mut old, mut new) = (json(old), json(new));
        let name = new.get("name").cloned();
        if let (Value::Object(old), Value::Object(new)) = (&mut old, &mut new) {
            old.retain(|name, value| {
                new.get(name) != Some(value) && !UNTOLD.contains(&name.as_str()) || {
                    new.remove(name);
                    false
                }
            });
            new.retain(|name, _| !UNTOLD.contains(&name.as_str()));
            name.map(|name| new.insert("name".to_owned(), name));
        }
        Self { old: Some(shown(old)), ..Self::of::<E>(id).with(new) }
    }

    /// What is not found by its own id, or is no longer there: where it belongs, or belonged.
    #[must_use]
    pub fn within(self, workspace: Option<Uuid>) -> Self {
        Self { place: workspace.map_or(Belongs::ToTenant, Belongs::To), ..self }
    }

    /// What is worth knowing of the outcome.
    #[must_use]
    pub fn with(self, new: Value) -> Self {
        Self { new: Some(shown(new)), ..self }
    }
}

fn json(view: &impl Serialize) -> Value {
    serde_json::to_value(view).unwrap_or_else(|error| {
        tracing::error!(%error, "a view cannot be kept in the audit log");
        Value::Null
    })
}

fn shown(mut value: Value) -> Value {
    mask(&mut value, false);
    if let Value::Object(members) = &mut value {
        bound(members);
    }
    let bytes = value.to_string().len();
    if bytes > LARGEST { omitted(bytes) } else { value }
}

fn bound(members: &mut Map<String, Value>) {
    if Value::Object(members.clone()).to_string().len() <= LARGEST {
        return;
    }
    for member in members.values_mut() {
        let bytes = member.to_string().len();
        if bytes > LARGEST_MEMBER {
            *member = omitted(bytes);
        }
    }
}

fn omitted(bytes: usize) -> Value {
    json!({ "omittedBytes": bytes })
}

fn mask(value: &mut Value, secret: bool) {
    match value {
        Value::String(text) if text.is_empty() => {}
        Value::String(text) if secret || is_secret(text) => MASK.clone_into(text),
        Value::String(text) => {
            if let Some(clean) = without_password(text) {
                *text = clean;
            }
            if text.chars().count() > LONGEST_TEXT {
                let start: String = text.chars().take(SHOWN).collect();
                *text = format!("{start}… ({} characters)", text.chars().count());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, secret)),
        Value::Object(members) => {
            members.iter_mut().for_each(|(name, member)| mask(member, secret || names_secret(name)));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn names_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(|c| !"-_ ".contains(*c)).collect::<String>().to_lowercase();
    SECRET_NAMES.iter().any(|secret| plain.contains(secret))
}

fn is_secret(text: &str) -> bool {
    SECRET_PREFIXES
        .iter()
        .any(|prefix| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
}

fn without_password(text: &str) -> Option<String> {
    if !text.contains("://") || !text.contains('@') {
        return None;
    }
    let mut url = url::Url::parse(text).ok()?;
    url.password()?;
    url.set_password(Some(MASK)).ok()?;
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_by_name_and_by_look() {
        let kept = shown(json!({
            "password": "p", "apiKey": "k", "X-Api-Key": "k", "secrets": [{ "header": "h", "n": 1 }],
            "note": "mc_live_abc", "header": "Bearer abc", "url": "https://me:pw@example.org/",
            "maxTokens": 5, "refreshToken": null, "name": "Ada",
        }));
        assert_eq!(
            kept,
            json!({
                "password": MASK, "apiKey": MASK, "X-Api-Key": MASK, "secrets": [{ "header": MASK, "n": 1 }],
                "note": MASK, "header": MASK, "url": "https://me:***@example.org/",
                "maxTokens": 5, "refreshToken": null, "name": "Ada",
            })
        );
    }

    #[test]
    fn an_update_keeps_what_differs() {
        let old = json!({ "a": 1, "b": 2, "gone": 3, "revision": 1, "updatedAt": "x" });
        let new = json!({ "a": 1, "b": 4, "came": 5, "revision": 2, "updatedAt": "y" });
        let change = Change::updated::<entity::tasks::task_run::Entity>(Uuid::nil(), &old, &new);
        assert_eq!(change.resource.as_deref(), Some("task-run"));
        assert_eq!(change.old, Some(json!({ "b": 2, "gone": 3 })));
        assert_eq!(change.new, Some(json!({ "b": 4, "came": 5 })));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "ä".repeat(LONGEST_TEXT + 1);
        let text = shown(json!({ "a": long }))["a"].as_str().unwrap().to_owned();
        assert!(text.ends_with("(2001 characters)") && text.chars().count() < 250);
        let many = vec!["x".repeat(1_000); 40];
        assert_eq!(
            shown(json!({ "many": many, "b": 1 })),
            json!({ "many": { "omittedBytes": 40_121 }, "b": 1 })
        );
        assert_eq!(shown(json!(many)), json!({ "omittedBytes": 40_121 }));
    }
}
