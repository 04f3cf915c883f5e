//! Flags, environment and a file, and what they must fulfil together. Unsafe ones are refused with a sentence
//! that says what to do. Secrets have no readable form: what is printed is redacted.

mod check;
mod file;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, CommandFactory as _, ValueEnum};
use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

pub use self::file::with_file;
use crate::middleware::rate_limit::Rate;
use crate::telemetry;

/// What an operator may set.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// A file of settings, `NAME=value` a line; flags and environment go before it.
    #[arg(long, env = "MC_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// Where the API is served.
    #[arg(long, env = "MC_BIND", default_value = "127.0.0.1:8080", global = true)]
    pub bind: SocketAddr,
    /// An address of its own for /metrics.
    #[arg(long, env = "MC_METRICS_BIND", global = true)]
    pub metrics_bind: Option<SocketAddr>,
    /// `sqlite://PATH` or `postgres://…`; a SQLite file in the data directory when absent.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    pub database_url: Option<SecretString>,
    /// Connections to PostgreSQL.
    #[arg(long, env = "MC_DATABASE_CONNECTIONS", default_value_t = 32, global = true)]
    pub database_connections: u32,
    /// Where the embedded database and the key file are kept.
    #[arg(long, env = "MC_DATA_DIR", default_value = "data", global = true)]
    pub data_dir: PathBuf,
    /// The key that seals secrets at rest; a file in the data directory is made when absent.
    #[arg(long, env = "MC_MASTER_KEY", hide_env_values = true, global = true)]
    pub master_key: Option<SecretString>,
    /// The platform administrator made at the first start.
    #[arg(long, env = "MC_ADMIN_EMAIL", global = true)]
    pub admin_email: Option<String>,
    /// Their password; one is made and printed once when absent.
    #[arg(long, env = "MC_ADMIN_PASSWORD", hide_env_values = true, global = true)]
    pub admin_password: Option<SecretString>,
    /// `iss` and `aud` of access tokens.
    #[arg(long, env = "MC_ISSUER", default_value = "mission-control", global = true)]
    pub issuer: String,
    /// After how many days another key signs access tokens.
    #[arg(long, env = "MC_SIGNING_KEY_DAYS", default_value_t = 90, global = true)]
    pub signing_key_days: u32,
    /// What is logged, as in `info,service::engine=debug`.
    #[arg(
        long,
        env = "MC_LOG",
        default_value = "info,sqlx=warn,actix_server=warn,sea_orm_migration=warn",
        global = true
    )]
    pub log: String,
    #[arg(long, env = "MC_LOG_FORMAT", default_value = "text", global = true)]
    pub log_format: LogFormat,
    /// Runs executed at once by this node; 0 serves the API only.
    #[arg(long, env = "MC_ENGINE_CONCURRENCY", default_value_t = 256, global = true)]
    pub engine_concurrency: usize,
    /// How long a run stays with a node that is not heard of.
    #[arg(long, env = "MC_LEASE_SECONDS", default_value_t = 60, global = true)]
    pub lease_seconds: u64,
    /// How often a node renews its leases.
    #[arg(long, env = "MC_HEARTBEAT_SECONDS", default_value_t = 20, global = true)]
    pub heartbeat_seconds: u64,
    /// How often a node looks for runs that lost theirs.
    #[arg(long, env = "MC_SWEEP_SECONDS", default_value_t = 5, global = true)]
    pub sweep_seconds: u64,
    /// The longest silence of a model provider, before its answer and within it.
    #[arg(long, env = "MC_MODEL_IDLE_SECONDS", default_value_t = 120, global = true)]
    pub model_idle_seconds: u64,
    /// The provider of models that name no integration.
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true, global = true)]
    pub openai_api_key: Option<SecretString>,
    /// An OpenAI-compatible server, as in `http://localhost:11434/v1`; MC_ALLOW_PRIVATE_HOSTS must name
    /// a private one.
    #[arg(long, env = "OPENAI_BASE_URL", hide_env_values = true, global = true)]
    pub openai_base_url: Option<ProviderUrl>,
    /// The same for `claude*` models, which are then asked of Anthropic.
    #[arg(long, env = "ANTHROPIC_API_KEY", hide_env_values = true, global = true)]
    pub anthropic_api_key: Option<SecretString>,
    /// A gateway that speaks Anthropic's protocol, as in `https://gateway.example/v1`.
    #[arg(long, env = "ANTHROPIC_BASE_URL", hide_env_values = true, global = true)]
    pub anthropic_base_url: Option<ProviderUrl>,
    /// Requests of one caller, as in `6000/60s`, or `off`.
    #[arg(long, env = "MC_RATE_LIMIT", default_value = "6000/60s", value_parser = rate, global = true)]
    pub rate_limit: RateSetting,
    /// A JSON file that overrides values of plans, as in `{"FREE": {"agents": 5}}`.
    #[arg(long, env = "MC_PLANS", global = true)]
    pub plans: Option<PathBuf>,
    /// Attempts to sign in from one address, as in `30/60s`, or `off`.
    #[arg(long, env = "MC_SIGN_IN_LIMIT", default_value = "30/60s", value_parser = rate, global = true)]
    pub sign_in_limit: RateSetting,
    /// Private hosts that tools and providers may call, as in `localhost:11434,models.internal`.
    #[arg(long, env = "MC_ALLOW_PRIVATE_HOSTS", value_delimiter = ',', global = true)]
    pub allow_private_hosts: Vec<String>,
    /// Where people reach the console, as in `https://console.example.com`: links in mails begin with it.
    #[arg(long, env = "MC_PUBLIC_URL", global = true)]
    pub public_url: Option<Url>,
    /// `smtps://USER:PASSWORD@HOST` or `smtp://HOST?tls=required`; without it mails are kept at /v1/mails.
    #[arg(long, env = "MC_SMTP_URL", hide_env_values = true, global = true)]
    pub smtp_url: Option<SecretString>,
    /// The sender of mails, as in `Mission Control <no-reply@example.com>`.
    #[arg(long, env = "MC_MAIL_FROM", global = true)]
    pub mail_from: Option<String>,
    /// A file of JSON with the OpenID providers to sign in with: see docs/operating.md.
    #[arg(long, env = "MC_OIDC_PROVIDERS", global = true)]
    pub oidc_providers: Option<PathBuf>,
    /// Web origins that may call the API, as in `https://console.example.com`.
    #[arg(long, env = "MC_CORS_ORIGINS", value_delimiter = ',', global = true)]
    pub cors_origins: Vec<String>,
    /// A collector of traces that takes OTLP over HTTP, as in `http://localhost:4318`.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true, global = true)]
    pub otel_endpoint: Option<ProviderUrl>,
    /// What it is sent in headers, as in `authorization=Bearer KEY`, with commas between several.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true,
        global = true
    )]
    pub otel_headers: telemetry::Headers,
    /// The name of this service in traces.
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = "mission-control", global = true)]
    pub otel_service_name: String,
    /// Networks of reverse proxies whose X-Forwarded-For is believed, as in `10.0.0.0/8`.
    #[arg(long, env = "MC_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network, global = true)]
    pub trusted_proxies: Vec<IpNet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// A URL that is printed without its user information and query: secrets are sometimes put there.
#[derive(Clone)]
pub struct ProviderUrl(pub Url);

impl FromStr for ProviderUrl {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Debug for ProviderUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.origin().ascii_serialization(), self.0.path())
    }
}

/// A rate, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSetting(pub Option<Rate>);

fn rate(text: &str) -> Result<RateSetting, String> {
    if text == "off" { Ok(RateSetting(None)) } else { text.parse().map(|rate| RateSetting(Some(rate))) }
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse().map(|ip: std::net::IpAddr| ip.into()))
        .map_err(|_| format!("`{text}` is neither a network such as 10.0.0.0/8 nor an address"))
}

/// A misspelt variable would be a setting that silently does nothing.
pub fn warn_unknown() {
    let command = super::Cli::command();
    let known: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_env()).collect();
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| name.starts_with("MC_"));
        if ours && !known.contains(&name.as_os_str()) {
            tracing::warn!(variable = %name.to_string_lossy(), "not a setting of Mission Control; see --help");
        }
    }
}
