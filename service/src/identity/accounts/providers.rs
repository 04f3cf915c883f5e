//! The providers that the operator configured, in a file of JSON that is read and checked at start.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::crud::page;
use crate::egress::Policy;

const MOST: usize = 50;
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the operator configured.
#[derive(Clone)]
pub struct OidcSettings {
    pub providers: Vec<Provider>,
    /// For each answer of a provider.
    pub timeout: Duration,
}

impl Default for OidcSettings {
    fn default() -> Self {
        Self { providers: Vec::new(), timeout: TIMEOUT }
    }
}

/// An OpenID provider.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provider {
    /// In paths; it must not change, or its accounts are no longer found in lists.
    pub id: String,
    /// For the button.
    pub name: String,
    /// Exactly as the provider writes it.
    pub issuer: String,
    pub client_id: String,
    /// None for a public client, which PKCE protects alone.
    #[serde(default)]
    pub client_secret: Option<SecretString>,
    /// The environment variable that has it instead.
    #[serde(default)]
    pub client_secret_env: Option<String>,
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// Where the provider may send people back to: compared exactly.
    pub redirect_uris: Vec<String>,
}

/// A way to sign in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcProviderView {
    #[schema(example = "example")]
    pub id: String,
    #[schema(example = "Example Ltd")]
    pub name: String,
}

page!(OidcProviderPage, OidcProviderView);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    providers: Vec<Provider>,
}

impl OidcSettings {
    /// Reads the file. `variable` gives the environment's variables.
    ///
    /// # Errors
    /// A sentence that says what is wrong and where.
    pub fn read(
        text: &str,
        policy: &Policy,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let File { mut providers } =
            serde_json::from_str(text).map_err(|error| format!("cannot be read: {error}"))?;
        if providers.len() > MOST {
            return Err(format!("names more than {MOST} providers"));
        }
        for index in 0..providers.len() {
            let twice = providers[..index]
                .iter()
                .any(|other| other.id == providers[index].id || other.issuer == providers[index].issuer);
            let provider = &mut providers[index];
            let id = provider.id.chars().take(40).collect::<String>();
            if twice {
                return Err(format!("names the provider {id:?} or its issuer twice"));
            }
            if let Some(name) = provider.client_secret_env.take() {
                if provider.client_secret.is_some() {
                    return Err(format!("gives {id:?} two secrets: keep clientSecret or clientSecretEnv"));
                }
                let secret = variable(&name).filter(|secret| !secret.is_empty());
                let secret = secret
                    .ok_or_else(|| format!("takes the secret of {id:?} from {name}, which is not set"))?;
                provider.client_secret = Some(SecretString::from(secret));
            }
            provider.check(policy).map_err(|fault| format!("says of {id:?}: {fault}"))?;
        }
        Ok(Self { providers, ..Self::default() })
    }

    pub fn find(&self, id: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.id == id)
    }
}

impl Provider {
    fn check(&self, policy: &Policy) -> Result<(), String> {
        let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if !(1..=40).contains(&self.id.len()) || !self.id.bytes().all(letters) {
            return Err("the id must be 1 to 40 lower-case letters, digits and hyphens".to_owned());
        }
        if !(1..=80).contains(&self.name.chars().count()) || self.client_id.is_empty() {
            return Err("name (at most 80 characters) and clientId must not be empty".to_owned());
        }
        if self.client_secret.as_ref().is_some_and(|secret| secret.expose_secret().is_empty()) {
            return Err("clientSecret must not be empty: leave it out for a public client".to_owned());
        }
        let issuer = Url::parse(&self.issuer).map_err(|_| "the issuer must be a URL".to_owned())?;
        let is_plain = issuer.query().is_none()
            && issuer.fragment().is_none()
            && issuer.username().is_empty()
            && issuer.password().is_none();
        if !is_plain || !(issuer.scheme() == "https" || is_listed(&issuer, policy)) {
            return Err("the issuer must be an https:// address without query; http:// only for a host of \
                 MC_ALLOW_PRIVATE_HOSTS"
                .to_owned());
        }
        policy.check_url(&issuer).map_err(|error| format!("the issuer cannot be reached: {error}"))?;
        if !self.scopes.iter().any(|scope| scope == "openid") {
            return Err("scopes must have openid".to_owned());
        }
        if self.redirect_uris.is_empty() || self.redirect_uris.iter().any(|uri| !is_redirect(uri)) {
            return Err(
                "redirectUris must name at least one https:// address (http:// on this machine) without \
                 fragment"
                    .to_owned(),
            );
        }
        Ok(())
    }

    pub fn view(&self) -> OidcProviderView {
        OidcProviderView { id: self.id.clone(), name: self.name.clone() }
    }
}

fn scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(str::to_owned).into()
}

fn is_listed(url: &Url, policy: &Policy) -> bool {
    let host = url.host_str().unwrap_or_default();
    let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    policy.allow_private_hosts.iter().any(|listed| listed == host || *listed == with_port)
}

fn is_redirect(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let here = ["localhost", "127.0.0.1", "[::1]"].contains(&url.host_str().unwrap_or_default());
    url.fragment().is_none() && (url.scheme() == "https" || (url.scheme() == "http" && here))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(change: impl Fn(&mut Value)) -> Result<OidcSettings, String> {
        let mut provider = json!({
            "id": "example", "name": "Example", "issuer": "https://id.example.com", "clientId": "mc",
            "clientSecretEnv": "EXAMPLE_SECRET", "redirectUris": ["https://console.example.com/callback"],
        });
        change(&mut provider);
        let policy = Policy { allow_private_hosts: vec!["id.internal:8080".to_owned()], ..Policy::default() };
        let text = json!({ "providers": [provider] }).to_string();
        OidcSettings::read(&text, &policy, |name| (name == "EXAMPLE_SECRET").then(|| "s3cret".to_owned()))
    }

    #[test]
    fn a_file_is_read() {
        let settings = read(|_| {}).unwrap();
        let provider = settings.find("example").unwrap();
        assert_eq!(provider.scopes, ["openid", "email", "profile"]);
        assert_eq!(provider.client_secret.as_ref().unwrap().expose_secret(), "s3cret");
        assert!(settings.find("other").is_none());
        assert!(read(|provider| provider["issuer"] = json!("http://id.internal:8080")).is_ok());
    }

    #[test]
    fn what_is_unsafe_or_unclear_is_refused() {
        for (field, value) in [
            ("id", json!("")),
            ("id", json!("a/b")),
            ("name", json!("")),
            ("clientId", json!("")),
            ("clientSecret", json!("two")),
            ("clientSecretEnv", json!("NOT_SET")),
            ("issuer", json!("http://id.example.com")),
            ("issuer", json!("http://id.internal")),
            ("issuer", json!("https://id.example.com?x=1")),
            ("issuer", json!("https://127.0.0.1")),
            ("issuer", json!("not a url")),
            ("scopes", json!(["email"])),
            ("redirectUris", json!([])),
            ("redirectUris", json!(["http://console.example.com/"])),
            ("redirectUris", json!(["https://console.example.com/#x"])),
            ("redirectUris", json!(["javascript:alert(1)"])),
            ("surprise", json!(1)),
        ] {
            assert!(read(|provider| provider[field] = value.clone()).is_err(), "{field}: {value}");
        }
        let twice = json!({ "providers": [
            { "id": "a", "name": "A", "issuer": "https://a.test", "clientId": "a", "redirectUris": ["https://b.test/"] },
            { "id": "b", "name": "B", "issuer": "https://a.test", "clientId": "b", "redirectUris": ["https://b.test/"] },
        ] });
        assert!(OidcSettings::read(&twice.to_string(), &Policy::default(), |_| None).is_err());
        assert!(OidcSettings::read("{}", &Policy::default(), |_| None).is_err());
    }
}
