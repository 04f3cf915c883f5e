//! The configuration of a process, validated before anything starts. It has no `Debug`, because it
//! holds secrets.

use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::SecretString;

use crate::db::DatabaseConfig;
use crate::egress;
use crate::engine::EngineSettings;
use crate::identity::accounts::OidcSettings;
use crate::identity::plans::Plans;
use crate::notifications::mails::MailSettings;

#[derive(Clone)]
pub struct Config {
    pub database: DatabaseConfig,
    /// Where the embedded database, the key file and the node's identity are kept.
    pub data_dir: PathBuf,
    pub master_key: Option<SecretString>,
    /// The platform administrator made at the first start on an empty database.
    pub admin_email: Option<String>,
    pub admin_password: Option<SecretString>,
    /// How many passwords are hashed at once.
    pub password_permits: usize,
    /// `iss` and `aud` of access tokens.
    pub issuer: String,
    /// How long a key signs access tokens.
    pub signing_key_age: TimeDelta,
    pub engine: EngineSettings,
    pub plans: Plans,
    pub egress: egress::Policy,
    /// The longest silence of a model provider, before its answer and within it.
    pub model_silence: Duration,
    /// Where people reach the console: links in mails begin with it.
    pub public_url: url::Url,
    pub mail: MailSettings,
    pub oidc: OidcSettings,
    /// The provider of models that name no integration.
    pub openai: Option<DefaultProvider>,
    /// That of `claude*` models that name none.
    pub anthropic: Option<DefaultProvider>,
}

/// `…_API_KEY` and `…_BASE_URL`.
#[derive(Clone)]
pub struct DefaultProvider {
    pub base_url: url::Url,
    pub api_key: Option<SecretString>,
}

impl Config {
    pub fn master_key_file(&self) -> PathBuf {
        self.data_dir.join("master.key")
    }
}
