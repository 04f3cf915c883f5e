//! Which provider answers for a model: a mock, the agent's integration, or the operator's default.

use std::sync::Arc;

use entity::integrations::integration::{self, Entity, IntegrationType};
use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

use super::credentials;
use super::integrations::IntegrationConfig;
use crate::config::DefaultProvider;
use crate::core::Core;
use crate::crud::document;
use crate::error::{Error, Result};
use crate::runtime::models::{Anthropic, Mock, ModelError, ModelErrorKind, ModelProvider, OpenAiCompatible};

const OPENAI: &str = "https://api.openai.com/v1";
const ANTHROPIC: &str = "https://api.anthropic.com/v1";
/// How the names of Anthropic's models begin.
const CLAUDE: &str = "claude";

/// The protocol that a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    OpenAi,
    Anthropic,
}

/// The provider for `model`.
///
/// # Errors
/// [`ModelErrorKind::NotConfigured`] when there is none; [`ModelErrorKind::Overloaded`], which is
/// retryable, when our own database or keys failed.
pub async fn provider(
    core: &Core,
    tenant: Uuid,
    provider_id: Option<Uuid>,
    model: &str,
) -> Result<Arc<dyn ModelProvider>, ModelError> {
    if Mock::serves(model) {
        return Ok(Arc::new(Mock));
    }
    let missing = |message: &str| ModelError::new(ModelErrorKind::NotConfigured, message);
    if let Some(id) = provider_id {
        let row = core.db.tenant(tenant).get::<Entity>(id).await.map_err(|error| unavailable(&error))?;
        let row = row.filter(|row| row.deleted_at.is_none());
        let row = row.ok_or_else(|| missing("The agent's provider no longer exists."))?;
        return match of_integration(core, &row).map_err(|error| unavailable(&error))? {
            Some(provider) => Ok(provider),
            None => Err(missing("The agent's provider is no integration with a model provider.")),
        };
    }
    let (protocol, default) = default(core, model).ok_or_else(|| {
        missing("No provider is set up for this model: give the agent a providerId, or use a mock/* model.")
    })?;
    Ok(connected(core, protocol, default.base_url.clone(), default.api_key.clone()))
}

/// The operator's provider for a model: Anthropic's models are asked of Anthropic where its key is set.
fn default<'a>(core: &'a Core, model: &str) -> Option<(Protocol, &'a DefaultProvider)> {
    let anthropic = core.config.anthropic.as_ref().filter(|_| model.starts_with(CLAUDE));
    let anthropic = anthropic.map(|provider| (Protocol::Anthropic, provider));
    anthropic.or_else(|| core.config.openai.as_ref().map(|provider| (Protocol::OpenAi, provider)))
}

fn connected(
    core: &Core,
    protocol: Protocol,
    base_url: Url,
    key: Option<SecretString>,
) -> Arc<dyn ModelProvider> {
    let (egress, clock) = (core.egress.clone(), core.clock.clone());
    match protocol {
        Protocol::OpenAi => Arc::new(OpenAiCompatible::new(egress, clock, base_url, key)),
        Protocol::Anthropic => Arc::new(Anthropic::new(egress, clock, base_url, key)),
    }
}

/// The provider behind an integration; none behind a GENERIC_HTTP one.
pub(super) fn of_integration(
    core: &Core,
    row: &integration::Model,
) -> Result<Option<Arc<dyn ModelProvider>>> {
    let protocol = match row.kind {
        IntegrationType::LlmOpenai | IntegrationType::LlmOpenaiCompatible => Protocol::OpenAi,
        IntegrationType::LlmAnthropic => Protocol::Anthropic,
        IntegrationType::GenericHttp => return Ok(None),
    };
    let Some(base_url) = base_url(row.kind, &document::read(row.config.clone())) else { return Ok(None) };
    let secret = credentials::open(core, row)?;
    if secret.as_ref().is_some_and(|secret| !secret.may_go_to(&base_url)) {
        return Err(Error::internal("a credential is bound to another host than its integration's"));
    }
    Ok(Some(connected(core, protocol, base_url, secret.map(|secret| secret.value))))
}

pub(super) fn base_url(kind: IntegrationType, config: &IntegrationConfig) -> Option<Url> {
    match kind {
        IntegrationType::LlmOpenai => Url::parse(OPENAI).ok(),
        IntegrationType::LlmOpenaiCompatible => config.base_url.clone(),
        IntegrationType::LlmAnthropic => config.base_url.clone().or_else(|| Url::parse(ANTHROPIC).ok()),
        IntegrationType::GenericHttp => None,
    }
}

fn unavailable(error: &Error) -> ModelError {
    tracing::error!(%error, "a model provider could not be set up");
    ModelError::new(ModelErrorKind::Overloaded, "The model's provider could not be set up.")
}
