//! Which provider answers for a model: a mock, the agent's integration, or the operator's default.

use std::sync::Arc;

use entity::integrations::integration::{self, Entity, IntegrationType};
use url::Url;
use uuid::Uuid;

use super::credentials;
use super::integrations::IntegrationConfig;
use crate::core::Core;
use crate::crud::document;
use crate::error::{Error, Result};
use crate::runtime::models::{Mock, ModelError, ModelErrorKind, ModelProvider, OpenAiCompatible};

const OPENAI: &str = "https://api.openai.com/v1";

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
            Some(provider) => Ok(Arc::new(provider)),
            None => Err(missing("The agent's provider is no integration with a model provider.")),
        };
    }
    let default = core.config.default_provider.as_ref().ok_or_else(|| {
        missing("No provider is set up for this model: give the agent a providerId, or use a mock/* model.")
    })?;
    Ok(Arc::new(OpenAiCompatible::new(
        core.egress.clone(),
        core.clock.clone(),
        default.base_url.clone(),
        default.api_key.clone(),
    )))
}

/// The provider behind an integration; none behind a GENERIC_HTTP one.
pub(super) fn of_integration(core: &Core, row: &integration::Model) -> Result<Option<OpenAiCompatible>> {
    let Some(base_url) = base_url(row.kind, &document::read(row.config.clone())) else { return Ok(None) };
    let secret = credentials::open(core, row)?;
    if secret.as_ref().is_some_and(|secret| !secret.may_go_to(&base_url)) {
        return Err(Error::internal("a credential is bound to another host than its integration's"));
    }
    let api_key = secret.map(|secret| secret.value);
    Ok(Some(OpenAiCompatible::new(core.egress.clone(), core.clock.clone(), base_url, api_key)))
}

pub(super) fn base_url(kind: IntegrationType, config: &IntegrationConfig) -> Option<Url> {
    match kind {
        IntegrationType::LlmOpenai => Url::parse(OPENAI).ok(),
        IntegrationType::LlmOpenaiCompatible => config.base_url.clone(),
        IntegrationType::GenericHttp => None,
    }
}

fn unavailable(error: &Error) -> ModelError {
    tracing::error!(%error, "a model provider could not be set up");
    ModelError::new(ModelErrorKind::Overloaded, "The model's provider could not be set up.")
}
