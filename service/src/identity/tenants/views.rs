//! What is shown of tenants and what may be set.

use chrono::{DateTime, Utc};
use entity::identity::tenant::{ActiveModel, Model, Plan, TenantStatus};
use sea_orm::ActiveValue::Set;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use super::settings::{TenantSettings, https};
use crate::crud::{Patch, document, page, patch};
use crate::error::{Error, Result};
use crate::identity::plans::PlanLimits;

/// An organisation: the unit of isolation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantView {
    pub id: Uuid,
    pub name: String,
    pub slug: String,
    #[schema(required)]
    pub domain: Option<String>,
    #[schema(required)]
    pub logo_url: Option<String>,
    pub plan: Plan,
    /// While it is not `ACTIVE` it is read, and what ends or narrows something is done; nothing starts.
    pub status: TenantStatus,
    /// Why it is suspended.
    #[schema(required)]
    pub status_reason: Option<String>,
    #[schema(required)]
    pub closed_at: Option<DateTime<Utc>>,
    /// Who closed it.
    #[schema(required, example = "user:0199a000-0000-7000-8000-000000000001")]
    pub closed_by: Option<String>,
    /// When everything of a closed tenant begins to be erased, unless it is reopened before.
    #[schema(required)]
    pub erase_at: Option<DateTime<Utc>>,
    /// Since when an emergency stop holds; see `GET /v1/tenant/emergency-stop`.
    #[schema(required)]
    pub stopped_at: Option<DateTime<Utc>>,
    pub settings: TenantSettings,
    pub data_retention_days: i32,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

page!(TenantPage, TenantView);

impl From<Model> for TenantView {
    fn from(row: Model) -> Self {
        let Model {
            id,
            name,
            slug,
            domain,
            logo_url,
            plan,
            status,
            status_reason,
            closed_at,
            closed_by,
            closed_from: _,
            erase_at,
            stopped_at,
            stopped_by: _,
            stop_reason: _,
            settings,
            data_retention_days,
            revision,
            created_at,
            updated_at,
        } = row;
        Self {
            id,
            name,
            slug,
            domain,
            logo_url,
            plan,
            status,
            status_reason,
            closed_at,
            closed_by,
            erase_at,
            stopped_at,
            settings: document::read(settings),
            data_retention_days,
            revision,
            created_at,
            updated_at,
        }
    }
}

#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTenant {
    #[validate(length(min = 1, max = 120))]
    #[schema(min_length = 1, max_length = 120, example = "Example Ltd")]
    pub name: String,
    /// Lower-case letters, digits and hyphens; unique on the platform, for ever.
    #[validate(custom(function = "slug"))]
    #[schema(
        min_length = 2,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]{0,61})[a-z0-9]$",
        example = "example"
    )]
    pub slug: String,
    #[serde(default = "free")]
    #[schema(default = "FREE")]
    pub plan: Plan,
    #[validate(nested)]
    pub owner: NewOwner,
}

/// The first owner. A person whom the platform knows keeps their name and password.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewOwner {
    #[validate(email, length(max = 254))]
    #[schema(format = Email, max_length = 254, example = "ada@example.org")]
    pub email: String,
    #[serde(default)]
    #[validate(length(min = 1, max = 120))]
    #[schema(min_length = 1, max_length = 120, example = "Ada Lovelace")]
    pub name: Option<String>,
    /// Without it a new person gets one that is made, and shown in the answer only.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Password, min_length = 12, max_length = 128)]
    pub password: Option<SecretString>,
}

/// A new tenant with its owner.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedTenant {
    #[serde(flatten)]
    pub tenant: TenantView,
    pub owner: OwnerView,
    /// The password made for a new owner, shown this once; null when none was made.
    #[schema(required)]
    pub owner_password: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnerView {
    pub user_id: Uuid,
    pub email: String,
    /// Whether the platform did not know them before.
    pub is_new: bool,
}

/// What administrators of the platform may change.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateTenant {
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 120))]
    #[schema(nullable = false, min_length = 1, max_length = 120)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false)]
    pub plan: Option<Plan>,
    /// A host name that no other tenant has, and that you know to be this tenant's.
    #[serde(default)]
    #[validate(length(max = 253))]
    #[schema(value_type = Option<String>, max_length = 253, example = "example.org")]
    pub domain: Patch<String>,
}

/// What a tenant's own administrators may change.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateOwnTenant {
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(length(min = 1, max = 120))]
    #[schema(nullable = false, min_length = 1, max_length = 120)]
    pub name: Option<String>,
    /// An `https` address.
    #[serde(default)]
    #[validate(length(max = 2048))]
    #[schema(value_type = Option<String>, format = Uri, max_length = 2048, example = "https://example.org/logo.svg")]
    pub logo_url: Patch<String>,
    /// Merged setting by setting: `null` goes back to the default.
    #[serde(default, deserialize_with = "patch::required")]
    #[schema(nullable = false, value_type = Option<TenantSettings>)]
    pub settings: Option<Value>,
    #[serde(default, deserialize_with = "patch::required")]
    #[validate(range(min = 1, max = 3650))]
    #[schema(nullable = false, minimum = 1, maximum = 3650)]
    pub data_retention_days: Option<i32>,
}

impl UpdateTenant {
    /// What validator cannot say.
    pub(super) fn check(&self) -> Result<()> {
        if self.domain.as_set().is_some_and(|text| host(text).is_none()) {
            return Err(Error::invalid("/domain", "domain", "must be a host name such as example.org"));
        }
        Ok(())
    }

    pub(super) fn apply(&self, _: &Model) -> Result<ActiveModel> {
        let Self { name, plan, domain } = self;
        let mut changes = ActiveModel::default();
        if let Some(name) = name {
            changes.name = Set(name.clone());
        }
        if let Some(plan) = plan {
            changes.plan = Set(*plan);
        }
        if *domain != Patch::Keep {
            changes.domain = Set(domain.as_set().and_then(|text| host(text)));
        }
        Ok(changes)
    }
}

impl UpdateOwnTenant {
    /// What validator cannot say.
    pub(super) fn check(&self) -> Result<()> {
        if self.logo_url.as_set().is_some_and(|text| https(text).is_err()) {
            return Err(Error::invalid("/logoUrl", "url", "must be an https address"));
        }
        Ok(())
    }

    pub(super) fn apply(&self, row: &Model, limits: &PlanLimits) -> Result<ActiveModel> {
        let Self { name, logo_url, settings, data_retention_days } = self;
        let mut changes = ActiveModel::default();
        if let Some(name) = name {
            changes.name = Set(name.clone());
        }
        if *logo_url != Patch::Keep {
            changes.logo_url = Set(logo_url.as_set().cloned());
        }
        if let Some(patch) = settings {
            let current: TenantSettings = document::read(row.settings.clone());
            changes.settings = Set(document::stored(&document::patched(&current, patch, "/settings")?)?);
        }
        if let Some(days) = data_retention_days.filter(|days| *days != row.data_retention_days) {
            let ceiling = i32::try_from(limits.retention_days).unwrap_or(i32::MAX);
            if days > ceiling {
                let message = format!("{days} days are more than the {ceiling} that the plan allows");
                return Err(Error::invalid("/dataRetentionDays", "above_ceiling", message));
            }
            changes.data_retention_days = Set(days);
        }
        Ok(changes)
    }
}

/// In lower case and Punycode.
fn host(text: &str) -> Option<String> {
    match url::Host::parse(text).ok()? {
        url::Host::Domain(name) if name.contains('.') && !name.ends_with('.') => Some(name),
        _ => None,
    }
}

fn slug(text: &str) -> Result<(), ValidationError> {
    let fits = (2..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    let message = "must be 2 to 63 lower-case letters, digits and hyphens, with no hyphen at either end";
    if fits { Ok(()) } else { Err(ValidationError::new("slug").with_message(message.into())) }
}

fn free() -> Plan {
    Plan::Free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_and_hosts() {
        for good in ["ab", "a-1", &"a".repeat(63)] {
            assert!(slug(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "-a", "a-", "A1", "a_b", "ä1", &"a".repeat(64)] {
            assert!(slug(bad).is_err(), "{bad}");
        }
        assert_eq!(host("Example.ORG").as_deref(), Some("example.org"));
        for bad in ["", "example", "1.2.3.4", "[::1]", "a b.c", "example.org."] {
            assert_eq!(host(bad), None, "{bad}");
        }
    }
}
