//! Credentials at rest. One is sealed together with the hosts it may be sent to, so that no later
//! change of the integration can send it elsewhere.

use async_trait::async_trait;
use entity::integrations::integration::{self, Entity, IntegrationType};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::core::Core;
use crate::error::{Error, Result};
use crate::runtime::tools::{BoundSecret, SecretSource};
use crate::secrets::Place;

#[derive(Serialize)]
struct Closing<'a> {
    api_key: &'a str,
    hosts: Vec<String>,
}

#[derive(Deserialize)]
struct Opened {
    api_key: SecretString,
    hosts: Vec<String>,
}

fn place(tenant: Uuid, row: Uuid) -> Place {
    Place { tenant, table: "integration", column: "credentials", row }
}

pub(super) fn seal(
    core: &Core,
    tenant: Uuid,
    row: Uuid,
    api_key: &SecretString,
    hosts: Vec<String>,
) -> Result<Vec<u8>> {
    let closing = Closing { api_key: api_key.expose_secret(), hosts };
    let plain = Zeroizing::new(serde_json::to_vec(&closing).map_err(Error::internal)?);
    core.keys.seal(&place(tenant, row), &plain)
}

/// The credential of an integration, if it has one.
pub(super) fn open(core: &Core, row: &integration::Model) -> Result<Option<BoundSecret>> {
    let Some(sealed) = &row.credentials else { return Ok(None) };
    let plain = core.keys.open(&place(row.tenant_id, row.id), sealed)?;
    let Opened { api_key, hosts } =
        serde_json::from_slice(plain.expose_secret()).map_err(|_| Error::internal("a sealed credential"))?;
    Ok(Some(BoundSecret { value: api_key, hosts }))
}

/// The secrets of one tenant's API tools: its GENERIC_HTTP integrations.
pub struct TenantSecrets {
    pub core: Core,
    pub tenant: Uuid,
}

#[async_trait]
impl SecretSource for TenantSecrets {
    async fn resolve(&self, integration: Uuid) -> Result<Option<BoundSecret>> {
        let row = self.core.db.tenant(self.tenant).get::<Entity>(integration).await?;
        let live =
            |row: &integration::Model| row.deleted_at.is_none() && row.kind == IntegrationType::GenericHttp;
        row.filter(live).map_or(Ok(None), |row| open(&self.core, &row))
    }
}
