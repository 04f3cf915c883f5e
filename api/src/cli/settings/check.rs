//! From what the operator wrote to what the process runs on.

use std::time::Duration;

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};
use service::config::{Config, DefaultProvider};
use service::db::DatabaseConfig;
use service::egress::{self, EgressError};
use service::engine::EngineSettings;
use service::identity::accounts::OidcSettings;
use service::identity::plans::Plans;
use service::notifications::mails::{self, MailSettings};
use url::Url;

use super::{ProviderUrl, Settings};
use crate::cli::Failure;
use crate::server::{MetricsAccess, Options};
use crate::telemetry::Collector;

const OPENAI: &str = "https://api.openai.com/v1";
const ANTHROPIC: &str = "https://api.anthropic.com/v1";

impl Settings {
    /// The core's part.
    ///
    /// # Errors
    /// All sentences that say what is wrong and what to do.
    pub fn config(&self) -> Result<Config, Failure> {
        self.check()?;
        let url = self.database_url.clone().unwrap_or_else(|| {
            SecretString::from(format!("sqlite://{}", self.data_dir.join("mission-control.db").display()))
        });
        let seconds = Duration::from_secs;
        Ok(Config {
            database: DatabaseConfig { url, max_connections: self.database_connections },
            data_dir: self.data_dir.clone(),
            master_key: self.master_key.clone(),
            admin_email: self.admin_email.clone(),
            admin_password: self.admin_password.clone(),
            password_permits: std::thread::available_parallelism().map_or(2, usize::from),
            issuer: self.issuer.clone(),
            signing_key_age: TimeDelta::days(i64::from(self.signing_key_days)),
            engine: EngineSettings {
                concurrency: self.engine_concurrency,
                lease: seconds(self.lease_seconds),
                heartbeat: seconds(self.heartbeat_seconds),
                sweep: seconds(self.sweep_seconds),
            },
            plans: self.plan_table()?,
            egress: self.egress(),
            model_silence: seconds(self.model_idle_seconds),
            public_url: self.public_address()?,
            mail: self.mail(),
            oidc: self.oidc()?,
            openai: provider(self.openai_base_url.as_ref(), self.openai_api_key.as_ref(), OPENAI)?,
            anthropic: provider(
                self.anthropic_base_url.as_ref(),
                self.anthropic_api_key.as_ref(),
                ANTHROPIC,
            )?,
        })
    }

    /// The table of plans, with what the operator's file overrides.
    fn plan_table(&self) -> Result<Plans, String> {
        let Some(path) = &self.plans else { return Ok(Plans::default()) };
        let named = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("MC_PLANS names {named}, which cannot be read ({error})."))?;
        Plans::overridden(&text).map_err(|fault| format!("MC_PLANS: {named} {fault}."))
    }

    fn public_address(&self) -> Result<Url, Failure> {
        Ok(match &self.public_url {
            Some(url) => url.clone(),
            None => Url::parse(&format!("http://{}", self.bind))?,
        })
    }

    fn mail(&self) -> MailSettings {
        let from = self.mail_from.clone();
        let from = from.unwrap_or_else(|| MailSettings::default().from);
        MailSettings { from, smtp_url: self.smtp_url.clone() }
    }

    fn oidc(&self) -> Result<OidcSettings, Failure> {
        let Some(path) = &self.oidc_providers else { return Ok(OidcSettings::default()) };
        let fault = |fault: String| format!("MC_OIDC_PROVIDERS: {} {fault}.", path.display());
        let text =
            std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
        let variable = |name: &str| std::env::var(name).ok();
        Ok(OidcSettings::read(&text, &self.egress(), variable).map_err(fault)?)
    }

    fn egress(&self) -> egress::Policy {
        egress::Policy { allow_private_hosts: self.allow_private_hosts.clone(), ..egress::Policy::default() }
    }

    /// Where traces go, if anywhere.
    pub fn collector(&self) -> Option<Collector> {
        let ProviderUrl(endpoint) = self.otel_endpoint.clone()?;
        let (headers, service_name) = (self.otel_headers.clone(), self.otel_service_name.clone());
        Some(Collector { endpoint, headers, service_name })
    }

    /// The server's part.
    pub fn options(&self) -> Options {
        let metrics = match self.metrics_bind {
            Some(_) => MetricsAccess::Elsewhere,
            // Behind a proxy on the same machine every caller comes from loopback.
            None if self.bind.ip().is_loopback() && self.trusted_proxies.is_empty() => MetricsAccess::Anyone,
            None => MetricsAccess::Platform,
        };
        Options {
            rate_limit: self.rate_limit.0,
            sign_in_limit: self.sign_in_limit.0,
            cors_origins: self.cors_origins.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            metrics,
            ..Options::default()
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let faults = self.faults();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n  ").into()) }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut refuse = |wrong: bool, sentence: String| {
            if wrong {
                faults.push(sentence);
            }
        };
        let public = !self.bind.ip().is_loopback();
        let unlimited = self.rate_limit.0.is_none() || self.sign_in_limit.0.is_none();
        refuse(
            public && unlimited && self.trusted_proxies.is_empty(),
            format!(
                "{} can be reached from outside: set MC_RATE_LIMIT and MC_SIGN_IN_LIMIT to a rate such as 600/60s, \
                 or name in MC_TRUSTED_PROXIES the edge that limits instead.",
                self.bind
            ),
        );
        refuse(
            self.heartbeat_seconds == 0 || self.heartbeat_seconds * 2 > self.lease_seconds,
            "A lease must outlive a lost heartbeat: set MC_HEARTBEAT_SECONDS to at most half of MC_LEASE_SECONDS."
                .to_owned(),
        );
        refuse(self.lease_seconds > 3600, "Set MC_LEASE_SECONDS to at most 3600.".to_owned());
        refuse(
            !(1..=3600).contains(&self.model_idle_seconds),
            "Set MC_MODEL_IDLE_SECONDS to 1 to 3600.".to_owned(),
        );
        refuse(
            !(1..=3650).contains(&self.signing_key_days),
            "Set MC_SIGNING_KEY_DAYS to 1 to 3650.".to_owned(),
        );
        refuse(self.sweep_seconds == 0, "Set MC_SWEEP_SECONDS to 1 or more.".to_owned());
        refuse(
            self.engine_concurrency > 10_000,
            "Set MC_ENGINE_CONCURRENCY to at most 10000, and add nodes beyond that.".to_owned(),
        );
        refuse(self.database_connections < 4, "Set MC_DATABASE_CONNECTIONS to 4 or more.".to_owned());
        refuse(
            self.admin_password.is_some() && self.admin_email.is_none(),
            "MC_ADMIN_PASSWORD is set: set MC_ADMIN_EMAIL as well.".to_owned(),
        );
        refuse(
            self.admin_email.as_ref().is_some_and(|email| !email.contains('@')),
            "MC_ADMIN_EMAIL must be an e-mail address.".to_owned(),
        );
        let length = self.admin_password.as_ref().map(|password| password.expose_secret().chars().count());
        refuse(
            length.is_some_and(|length| !(12..=128).contains(&length)),
            "MC_ADMIN_PASSWORD must have 12 to 128 characters.".to_owned(),
        );
        refuse(
            self.trusted_proxies.iter().any(|network| network.prefix_len() == 0),
            "MC_TRUSTED_PROXIES names every address, so that any caller could claim to be another: \
             name the proxies' own networks."
                .to_owned(),
        );
        for (name, url) in
            [("OPENAI_BASE_URL", &self.openai_base_url), ("ANTHROPIC_BASE_URL", &self.anthropic_base_url)]
        {
            match url.as_ref().and_then(|url| self.egress().check_url(&url.0).err()) {
                None => {}
                Some(EgressError::Blocked { host }) => refuse(
                    true,
                    format!(
                        "{name} names the private host {host}: add it to MC_ALLOW_PRIVATE_HOSTS to allow that."
                    ),
                ),
                Some(error) => refuse(
                    true,
                    format!("{name}: {error} Set an https:// or http:// URL without credentials in it."),
                ),
            }
        }
        if let Err(fault) = self.plan_table() {
            refuse(true, fault);
        }
        if let Some(url) = &self.public_url {
            let is_plain = url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            let here = ["localhost", "127.0.0.1", "[::1]"].contains(&url.host_str().unwrap_or_default());
            refuse(
                !is_plain || !(url.scheme() == "https" || (url.scheme() == "http" && here)),
                "MC_PUBLIC_URL must be an https:// address without credentials, query or fragment, such as \
                 https://console.example.com: links in mails carry tokens."
                    .to_owned(),
            );
        }
        if let Some(Err(fault)) = self.smtp_url.as_ref().map(mails::check_url) {
            refuse(true, format!("MC_SMTP_URL {fault}."));
        }
        if let Some(Err(fault)) = self.mail_from.as_deref().map(mails::check_from) {
            refuse(true, format!("MC_MAIL_FROM {fault}."));
        }
        refuse(
            self.smtp_url.is_some() && (self.mail_from.is_none() || self.public_url.is_none()),
            "MC_SMTP_URL is set: set MC_MAIL_FROM to the sender and MC_PUBLIC_URL to where links lead as well."
                .to_owned(),
        );
        for origin in &self.cors_origins {
            let exact = Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
            refuse(
                !exact,
                format!(
                    "`{origin}` in MC_CORS_ORIGINS is no origin: write one such as https://console.example.com."
                ),
            );
        }
        faults
    }
}

/// A provider that is set up by its key, by its address, or by both.
fn provider(
    base_url: Option<&ProviderUrl>,
    api_key: Option<&SecretString>,
    public: &str,
) -> Result<Option<DefaultProvider>, Failure> {
    let base_url = match base_url {
        Some(url) => url.0.clone(),
        None if api_key.is_some() => Url::parse(public)?,
        None => return Ok(None),
    };
    Ok(Some(DefaultProvider { base_url, api_key: api_key.cloned() }))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::Cli;
    use crate::server::MetricsAccess;

    fn faults(arguments: &[&str]) -> String {
        let all = ["mission-control"].iter().chain(arguments);
        Cli::try_parse_from(all)
            .map_or_else(|error| error.to_string(), |cli| cli.settings.faults().join("\n"))
    }

    #[test]
    fn the_defaults_are_safe() {
        assert_eq!(faults(&[]), "");
        assert_eq!(faults(&["--bind=0.0.0.0:80"]), "");
    }

    #[test]
    fn unsafe_settings_are_refused_by_name() {
        for (arguments, named) in [
            (&["--bind=0.0.0.0:80", "--rate-limit=off"][..], "MC_TRUSTED_PROXIES"),
            (&["--heartbeat-seconds=60"][..], "MC_HEARTBEAT_SECONDS"),
            (&["--heartbeat-seconds=0"][..], "MC_HEARTBEAT_SECONDS"),
            (&["--sweep-seconds=0"][..], "MC_SWEEP_SECONDS"),
            (&["--admin-email=a@b.example", "--admin-password=short"][..], "MC_ADMIN_PASSWORD"),
            (&["--admin-password=long enough to pass"][..], "MC_ADMIN_EMAIL"),
            (&["--cors-origins=https://a.example/path"][..], "MC_CORS_ORIGINS"),
            (&["--cors-origins=*"][..], "MC_CORS_ORIGINS"),
            (&["--openai-base-url=file:///etc"][..], "OPENAI_BASE_URL"),
            (&["--openai-base-url=https://user:secret@models.example/v1"][..], "OPENAI_BASE_URL"),
            (&["--openai-base-url=http://localhost:11434/v1"][..], "MC_ALLOW_PRIVATE_HOSTS"),
            (&["--openai-base-url=http://10.0.0.7/v1"][..], "MC_ALLOW_PRIVATE_HOSTS"),
            (&["--anthropic-base-url=http://10.0.0.7/v1"][..], "MC_ALLOW_PRIVATE_HOSTS"),
            (&["--anthropic-base-url=ftp://models.example"][..], "ANTHROPIC_BASE_URL"),
            (&["--trusted-proxies=0.0.0.0/0"][..], "MC_TRUSTED_PROXIES"),
            (&["--trusted-proxies=10.0.0.1,::/0"][..], "MC_TRUSTED_PROXIES"),
            (&["--public-url=http://console.example.com"][..], "MC_PUBLIC_URL"),
            (&["--public-url=https://user:secret@console.example.com"][..], "MC_PUBLIC_URL"),
            (&["--public-url=javascript:alert(1)"][..], "MC_PUBLIC_URL"),
            (&["--public-url=https://console.example.com/?next=https://evil.example"][..], "MC_PUBLIC_URL"),
            (&["--smtp-url=smtp://mail.example.com"][..], "MC_SMTP_URL"),
            (&["--smtp-url=smtps://mail.example.com"][..], "MC_MAIL_FROM"),
            (&["--mail-from=nobody"][..], "MC_MAIL_FROM"),
            (&["--plans=no/such/file.json"][..], "MC_PLANS"),
            (&["--rate-limit=fast"][..], "600/60s"),
            (&["--trusted-proxies=everyone"][..], "10.0.0.0/8"),
        ] {
            let found = faults(arguments);
            assert!(found.contains(named), "{arguments:?}: {found}");
        }
    }

    #[test]
    fn a_trusted_edge_may_limit_instead() {
        assert_eq!(faults(&["--bind=0.0.0.0:80", "--rate-limit=off", "--trusted-proxies=10.0.0.1"]), "");
    }

    #[test]
    fn a_private_provider_is_allowed_by_name() {
        let url = "--openai-base-url=http://localhost:11434/v1";
        assert_eq!(faults(&[url, "--allow-private-hosts=localhost:11434"]), "");
    }

    #[test]
    fn metrics_are_open_only_to_this_machine() {
        let access = |arguments: &[&str]| {
            let all = ["mission-control"].iter().chain(arguments);
            Cli::try_parse_from(all).unwrap().settings.options().metrics
        };
        assert_eq!(access(&[]), MetricsAccess::Anyone);
        assert_eq!(access(&["--trusted-proxies=127.0.0.1"]), MetricsAccess::Platform);
        assert_eq!(access(&["--bind=0.0.0.0:80"]), MetricsAccess::Platform);
        assert_eq!(access(&["--metrics-bind=127.0.0.1:9090"]), MetricsAccess::Elsewhere);
    }

    #[test]
    fn secrets_are_not_printed() {
        let secrets = [
            "--master-key=canary1",
            "--admin-password=canary2",
            "--openai-api-key=canary3",
            "--smtp-url=smtps://canary8:canary9@mail.example.com",
            "--openai-base-url=https://canary5:canary6@h/v1?key=canary7",
            "--anthropic-api-key=canary10",
            "--otel-headers=authorization=canary11",
        ];
        let all = ["mission-control", "--database-url=postgres://u:canary4@h/d"].into_iter().chain(secrets);
        let printed = format!("{:?}", Cli::try_parse_from(all).unwrap().settings);
        assert!(!printed.contains("canary"), "{printed}");
    }
}
