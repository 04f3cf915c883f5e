//! Integrations. Invariants: a credential is in no view and no error, and it is bound to its hosts
//! when it is saved: where it may go changes only together with the credential itself.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::agents::agent;
use entity::integrations::integration::{
    self, ActiveModel, Column, Entity, IntegrationStatus, IntegrationType, Model,
};
use sea_orm::{ColumnTrait as _, Condition, Set};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{credentials, providers};
use crate::agents::agents::in_use;
use crate::core::Core;
use crate::crud::{
    self, Expected, Metadata, MetadataPatch, Once, Page, Paging, Patch, Resource, document, metadata,
};
use crate::ctx::Ctx;
use crate::engine::rates::{self, RateLimit};
use crate::error::{Error, Result};
use crate::governance::audit_logs::Change;
use crate::identity::tenant_limits::Quota;
use crate::runtime::tools::place;

const LONGEST_URL: usize = 2048;

/// How long a test may take.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);
const MODELS_SHOWN: usize = 200;

pub struct Integrations;

impl Resource for Integrations {
    type Entity = Entity;
    type View = IntegrationView;

    const QUOTA: Option<Quota> = Some(Quota::Integrations);

    fn taken() -> Error {
        Error::conflict("name_taken", "An integration of this name exists.")
    }
}

/// Where the integration leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IntegrationConfig {
    /// LLM_OPENAI_COMPATIBLE: what comes before `/chat/completions`. LLM_ANTHROPIC: what comes before
    /// `/messages`, where that is a gateway.
    #[schema(required, value_type = Option<String>, format = Uri, max_length = 2048)]
    pub base_url: Option<Url>,
    /// GENERIC_HTTP: the only places that the credential is sent to: `host` (https on port 443),
    /// `host:port` (https), or `http://host:port` for one that is reached in the clear.
    #[validate(length(max = 20))]
    #[schema(max_items = 20)]
    pub allowed_hosts: Vec<String>,
}

/// Write-only. It is sealed, and shown in no answer.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credentials {
    /// The provider's API key, or the secret that API tools send.
    #[schema(value_type = String, format = Password, write_only, min_length = 1, max_length = 4096)]
    pub api_key: SecretString,
}

#[derive(Clone, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateIntegration {
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    #[serde(rename = "type")]
    pub kind: IntegrationType,
    #[serde(default)]
    #[validate(nested)]
    pub config: IntegrationConfig,
    pub credentials: Option<Credentials>,
    /// Requests to the model provider, over all nodes and agents: a call beyond it waits in the queue. Not for
    /// GENERIC_HTTP, whose tools have limits of their own.
    #[serde(default)]
    #[schema(nullable = false)]
    pub rate_limit: Option<RateLimit>,
    #[serde(default)]
    #[validate(custom(function = "metadata::valid"))]
    pub metadata: Metadata,
}

/// Absent keeps, null clears.
#[derive(Clone, Default, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateIntegration {
    #[serde(default, deserialize_with = "crud::patch::required")]
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    pub name: Option<String>,
    /// Merged. Needs the credentials again, if there are any.
    #[serde(default, deserialize_with = "crud::patch::required")]
    #[schema(value_type = Option<IntegrationConfig>, nullable = false)]
    pub config: Option<Value>,
    #[serde(default)]
    #[schema(value_type = Option<Credentials>)]
    pub credentials: Patch<Credentials>,
    /// Replaced as a whole. What was used up stays so.
    #[serde(default)]
    #[schema(value_type = Option<RateLimit>)]
    pub rate_limit: Patch<RateLimit>,
    #[serde(default)]
    #[schema(value_type = Option<MetadataPatch>)]
    pub metadata: Patch<MetadataPatch>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationView {
    pub id: Uuid,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: IntegrationType,
    pub config: IntegrationConfig,
    pub has_credentials: bool,
    pub status: IntegrationStatus,
    #[schema(required)]
    pub last_checked_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub last_error: Option<String>,
    #[schema(required)]
    pub rate_limit: Option<RateLimit>,
    pub metadata: Metadata,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crud::page!(IntegrationPage, IntegrationView);

impl From<Model> for IntegrationView {
    fn from(row: Model) -> Self {
        let Model {
            tenant_id: _,
            id,
            name,
            kind,
            config,
            credentials,
            status,
            last_checked_at,
            last_error,
            rate_limit,
            metadata,
            revision,
            created_at,
            updated_at,
            deleted_at: _,
        } = row;
        Self {
            id,
            name,
            kind,
            config: document::read(config),
            has_credentials: credentials.is_some(),
            status,
            last_checked_at,
            last_error,
            rate_limit: RateLimit::stored(rate_limit.as_ref()),
            metadata: metadata::shown(metadata),
            revision,
            created_at,
            updated_at,
        }
    }
}

/// What a test found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationTest {
    pub integration: IntegrationView,
    /// The models that the credential may use, at most 200 of them.
    pub models: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct IntegrationFilter {
    #[serde(rename = "type")]
    #[param(rename = "type")]
    pub kind: Option<IntegrationType>,
    pub status: Option<IntegrationStatus>,
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &IntegrationFilter) -> Result<Page<IntegrationView>> {
    let IntegrationFilter { kind, status } = filter;
    let condition = Condition::all()
        .add_option(kind.map(|kind| Column::Kind.eq(kind)))
        .add_option(status.map(|status| Column::Status.eq(status)));
    crud::list::<Integrations>(ctx, paging, condition).await
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<IntegrationView> {
    crud::get::<Integrations>(ctx, id).await
}

pub async fn create(ctx: &Ctx, body: CreateIntegration) -> Result<IntegrationView> {
    let CreateIntegration { name, kind, config, credentials, rate_limit, metadata } = body;
    let hosts = hosts(&ctx.core, kind, &config)?;
    let rate_limit = limit_of(kind, rates::checked(rate_limit)?)?;
    let (id, now) = (ctx.core.ids.next(), ctx.core.clock.now());
    let credentials = match credentials {
        None => None,
        Some(given) => Some(seal(ctx, id, &given, hosts)?),
    };
    let row = Model {
        tenant_id: ctx.tenant,
        id,
        name,
        kind,
        config: document::stored(&config)?,
        credentials,
        status: IntegrationStatus::Untested,
        last_checked_at: None,
        last_error: None,
        rate_limit,
        metadata: metadata::stored(metadata),
        revision: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    crud::create::<Integrations>(ctx, row).await
}

pub async fn update(
    ctx: &Ctx,
    id: Uuid,
    expected: Expected,
    body: UpdateIntegration,
) -> Result<IntegrationView> {
    let UpdateIntegration { name, config, credentials: given, rate_limit, metadata } = body;
    crud::update::<Integrations>(ctx, id, expected, |row| {
        let mut changes = ActiveModel::default();
        if let Some(name) = name.as_ref().filter(|name| **name != row.name) {
            changes.name = Set(name.clone());
        }
        let current: IntegrationConfig = document::read(row.config.clone());
        let config = match &config {
            Some(patch) => document::patched(&current, patch, "/config")?,
            None => current.clone(),
        };
        let hosts = hosts(&ctx.core, row.kind, &config)?;
        let moved = config != current;
        if moved && row.credentials.is_some() && matches!(given, Patch::Keep) {
            let message = "where credentials may go changes only together with them: give them again";
            return Err(Error::invalid("/credentials", "required", message));
        }
        match &given {
            Patch::Keep => {}
            Patch::Clear => changes.credentials = Set(None),
            Patch::Set(given) => {
                changes.credentials = Set(Some(seal(ctx, row.id, given, hosts)?));
            }
        }
        if moved {
            changes.config = Set(document::stored(&config)?);
        }
        if moved || !matches!(given, Patch::Keep) {
            changes.status = Set(IntegrationStatus::Untested);
            changes.last_error = Set(None);
        }
        let limit = limit_of(row.kind, rates::patched(&rate_limit, row.rate_limit.as_ref())?)?;
        if limit != row.rate_limit {
            changes.rate_limit = Set(limit);
        }
        let patched = metadata::patched(&row.metadata, &metadata)?;
        if patched != row.metadata {
            changes.metadata = Set(patched);
        }
        Ok(changes)
    })
    .await
}

pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    let db = ctx.db();
    let user = db
        .everywhere::<agent::Entity>()
        .filter(agent::Column::ProviderId.eq(id))
        .filter(agent::Column::DeletedAt.is_null())
        .one()
        .await?;
    if let Some(user) = user {
        return Err(in_use(ctx, "agent", &user.name, user.workspace_id));
    }
    crud::delete::<Integrations>(ctx, id, expected).await
}

/// Asks the provider for its models and keeps what came of it as the integration's status.
///
/// # Errors
/// 409 `not_testable` for an integration that is no model provider.
pub async fn test(ctx: &Ctx, id: Uuid) -> Result<IntegrationTest> {
    if let Some(answer) = ctx.replay().await? {
        return Ok(answer);
    }
    let row = crud::load::<Integrations>(ctx, id).await?;
    let provider = providers::of_integration(&ctx.core, &row)?.ok_or_else(|| {
        Error::conflict("not_testable", "Only integrations with a model provider can be tested.")
    })?;
    let outcome = match tokio::time::timeout(TEST_TIMEOUT, provider.list_models()).await {
        Ok(Ok(models)) => Ok(models.into_iter().take(MODELS_SHOWN).collect()),
        Ok(Err(error)) => Err(error.message),
        Err(_) => Err(format!("No answer within {} seconds.", TEST_TIMEOUT.as_secs())),
    };
    let changes = ActiveModel {
        status: Set(if outcome.is_ok() { IntegrationStatus::Connected } else { IntegrationStatus::Error }),
        last_checked_at: Set(Some(ctx.core.clock.now())),
        last_error: Set(outcome.as_ref().err().cloned()),
        ..ActiveModel::default()
    };
    let tx = match ctx.begin_once().await? {
        Once::Replay(answer) => return Ok(answer),
        Once::First(tx) => tx,
    };
    let changed = || Error::conflict("concurrent_update", "The integration was changed during its test.");
    let tested =
        crud::write::<Integrations>(ctx, &tx, id, row.revision, changes).await?.ok_or_else(changed)?;
    let (before, integration) = (IntegrationView::from(row), IntegrationView::from(tested));
    let change = Change::updated::<Entity>(id, &before, &integration);
    let answer = IntegrationTest { integration, models: outcome.unwrap_or_default() };
    tx.finish(change, &answer).await?;
    Ok(answer)
}

fn limit_of(kind: IntegrationType, limit: Option<Value>) -> Result<Option<Value>> {
    if kind == IntegrationType::GenericHttp && limit.is_some() {
        let message = "Only model providers have one; the tools that use this integration have their own.";
        return Err(Error::invalid("/rateLimit", "unsupported", message));
    }
    Ok(limit)
}

fn seal(ctx: &Ctx, row: Uuid, given: &Credentials, hosts: Vec<String>) -> Result<Vec<u8>> {
    let text = given.api_key.expose_secret();
    if !(1..=4096).contains(&text.len()) || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        let message = "must be 1 to 4096 printable ASCII characters";
        return Err(Error::invalid("/credentials/apiKey", "format", message));
    }
    credentials::seal(&ctx.core, ctx.tenant, row, &given.api_key, hosts)
}

/// Checks what the type needs; gives the hosts to which a credential is bound.
fn hosts(core: &Core, kind: IntegrationType, config: &IntegrationConfig) -> Result<Vec<String>> {
    let generic = kind == IntegrationType::GenericHttp;
    let fits = match kind {
        IntegrationType::LlmOpenaiCompatible => config.base_url.is_some(),
        IntegrationType::LlmAnthropic => true,
        IntegrationType::LlmOpenai | IntegrationType::GenericHttp => config.base_url.is_none(),
    };
    if !fits {
        let message =
            "is needed by LLM_OPENAI_COMPATIBLE, may be given to LLM_ANTHROPIC, and to no other type";
        return Err(Error::invalid("/config/baseUrl", "base_url", message));
    }
    if config.base_url.as_ref().is_some_and(|url| url.as_str().len() > LONGEST_URL) {
        let message = format!("must be at most {LONGEST_URL} characters, in its normal form");
        return Err(Error::invalid("/config/baseUrl", "length", message));
    }
    if config.allowed_hosts.is_empty() == generic {
        let message = "is needed by GENERIC_HTTP, and by no other type";
        return Err(Error::invalid("/config/allowedHosts", "allowed_hosts", message));
    }
    if generic {
        return config
            .allowed_hosts
            .iter()
            .enumerate()
            .map(|(index, host)| allowed_host(index, host))
            .collect();
    }
    let url = providers::base_url(kind, config).ok_or_else(|| Error::internal("a provider without a URL"))?;
    core.egress
        .check_url(&url)
        .map_err(|error| Error::invalid("/config/baseUrl", error.code(), error.to_string()))?;
    Ok(place(&url).into_iter().collect())
}

fn allowed_host(index: usize, host: &str) -> Result<String> {
    let text = if host.starts_with("http://") { host.to_owned() } else { format!("https://{host}") };
    let url = Url::parse(&text).ok().filter(|url| {
        let is_bare = url.scheme() == "https" && url.host_str() == Some(host);
        is_bare || place(url).as_deref() == Some(host)
    });
    url.map(|_| host.to_owned()).ok_or_else(|| {
        let message = "must be host, host:port or http://host:port, in lower case and without a path";
        Error::invalid(format!("/config/allowedHosts/{index}"), "host", message)
    })
}

/// An integration of a model provider that a body names.
pub(crate) async fn check_provider(ctx: &Ctx, id: Uuid, pointer: &str) -> Result<()> {
    let row: integration::Model = crud::load_named::<Integrations>(ctx, id, pointer).await?;
    if row.kind == IntegrationType::GenericHttp {
        return Err(Error::invalid(pointer, "type", "This integration is no model provider."));
    }
    Ok(())
}

/// An integration with a secret for API tools that a body names.
pub(crate) async fn check_secret(ctx: &Ctx, id: Uuid, pointer: &str) -> Result<()> {
    let row: integration::Model = crud::load_named::<Integrations>(ctx, id, pointer).await?;
    if row.kind != IntegrationType::GenericHttp {
        return Err(Error::invalid(
            pointer,
            "type",
            "Only GENERIC_HTTP integrations hold secrets for tools.",
        ));
    }
    Ok(())
}
