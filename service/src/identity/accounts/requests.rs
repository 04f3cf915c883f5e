//! Requests to a provider (RFC 6749 with PKCE, RFC 7636) and their answers.
//!
//! Invariants: a request is answered once, within ten minutes, for its provider and person. Verifier and
//! nonce are made from the state with a key that never leaves, so nothing that a thief of the database
//! or of the state could use is stored or sent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use entity::identity::oidc_request::Model;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sea_orm::{ActiveModelTrait as _, IntoActiveModel as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use super::discovery::{Metadata, send, unusable};
use super::{Identity, Provider, id_tokens, refused};
use crate::auth::opaque::OIDC_STATE;
use crate::core::Core;
use crate::db::{Reason, SystemTx};
use crate::egress::{Method, Request};
use crate::error::{Error, Result};

const LIFETIME: Duration = Duration::from_secs(10 * 60);
const USE: &str = "UPDATE oidc_request SET used_at = $2 WHERE state_hash = $1 AND provider = $3
    AND used_at IS NULL AND expires_at > $2 RETURNING redirect_uri, user_id";

/// Where to send the person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcRequestView {
    /// Of the provider.
    pub authorization_url: String,
    /// Keep it with the browser, and take only an answer that has the same: another one belongs to
    /// somebody else's sign-in.
    #[schema(example = "mc_os_…")]
    pub state: String,
    /// Seconds until the request expires.
    #[schema(example = 600)]
    pub expires_in: u64,
}

/// What the provider added to the redirect URI.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcAnswer {
    #[schema(value_type = String, min_length = 1, max_length = 4096, example = "SplxlOBeZQQYbYS6WxSbIA")]
    pub code: SecretString,
    #[schema(value_type = String, example = "mc_os_…")]
    pub state: SecretString,
    /// If it was there.
    #[serde(default)]
    #[validate(length(max = 2048))]
    #[schema(max_length = 2048, example = "https://id.example.com")]
    pub iss: Option<String>,
}

/// What was asked for.
pub struct Asked {
    pub redirect_uri: String,
    pub user: Option<Uuid>,
}

/// Begins a request, for `user`, who links an account, or for whoever signs in: the transaction that stores it, and
/// where to send them.
///
/// # Errors
/// 422 at `/redirectUri`; 502.
pub async fn begin(core: &Core, provider: &Provider, asked: Asked) -> Result<(SystemTx, OidcRequestView)> {
    let Asked { redirect_uri, user } = asked;
    if !provider.redirect_uris.contains(&redirect_uri) {
        let message = "must be one of the redirect URIs that the operator configured";
        return Err(Error::invalid("/redirectUri", "not_allowed", message));
    }
    let metadata = core.oidc.metadata(core, provider).await?;
    let (state, hash) = OIDC_STATE.generate(&core.ids);
    let row = Model {
        state_hash: hash.as_bytes().to_vec(),
        provider: provider.id.clone(),
        redirect_uri: redirect_uri.clone(),
        user_id: user,
        created_at: core.clock.now(),
        expires_at: core.clock.after(LIFETIME),
        used_at: None,
    };
    let verifier = derived(core, "verifier", &state)?;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose_secret()));
    let mut url = metadata.authorization_endpoint.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &provider.client_id)
        .append_pair("redirect_uri", &redirect_uri)
        .append_pair("scope", &provider.scopes.join(" "))
        .append_pair("state", state.expose_secret())
        .append_pair("nonce", derived(core, "nonce", &state)?.expose_secret())
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    let state = state.expose_secret().to_owned();
    let view = OidcRequestView { authorization_url: url.into(), state, expires_in: LIFETIME.as_secs() };
    let tx = core.db.system(Reason::SignIn).begin().await?;
    row.into_active_model().reset_all().insert(tx.connection()).await?;
    Ok((tx, view))
}

/// Who the provider says it is.
///
/// # Errors
/// 401 `invalid_oidc_state`, `oidc_refused`; 502.
pub async fn answer(
    core: &Core,
    provider: &Provider,
    answer: OidcAnswer,
    user: Option<Uuid>,
) -> Result<Identity> {
    let OidcAnswer { code, state, iss } = answer;
    let asked = use_up(core, provider, &state).await?;
    if asked.user != user {
        return Err(OIDC_STATE.invalid());
    }
    let metadata = core.oidc.metadata(core, provider).await?;
    let is_issuer = match &iss {
        Some(iss) => *iss == provider.issuer,
        None => !metadata.authorization_response_iss_parameter_supported,
    };
    if !is_issuer {
        return Err(refused(provider, "the issuer of the answer (iss)"));
    }
    let verifier = derived(core, "verifier", &state)?;
    let tokens = exchange(core, provider, &metadata, &code, &asked.redirect_uri, &verifier).await?;
    let nonce = derived(core, "nonce", &state)?;
    let claims =
        id_tokens::verify(core, provider, tokens.id_token.expose_secret(), nonce.expose_secret()).await?;
    let mut identity = Identity {
        subject: claims.sub,
        email: claims.email,
        is_verified: claims.email_verified == Some(serde_json::Value::Bool(true)),
        name: claims.name,
    };
    if let (None, Some(url)) = (&identity.email, &metadata.userinfo_endpoint) {
        identity = user_info(core, provider, url, &tokens, identity).await?;
    }
    Ok(identity)
}

async fn use_up(core: &Core, provider: &Provider, state: &SecretString) -> Result<Asked> {
    let hash = OIDC_STATE.parse(state.expose_secret())?;
    let tx = core.db.system(Reason::SignIn).begin().await?;
    let values = vec![hash.as_bytes().to_vec().into(), core.clock.now().into(), provider.id.as_str().into()];
    let rows = tx.query(USE, values).await?;
    tx.commit().await?;
    let row = rows.first().ok_or_else(|| OIDC_STATE.invalid())?;
    Ok(Asked { redirect_uri: row.try_get("", "redirect_uri")?, user: row.try_get("", "user_id")? })
}

#[derive(Deserialize)]
struct Tokens {
    access_token: SecretString,
    id_token: SecretString,
}

async fn exchange(
    core: &Core,
    provider: &Provider,
    metadata: &Metadata,
    code: &SecretString,
    redirect_uri: &str,
    verifier: &SecretString,
) -> Result<Tokens> {
    let request = token_request(provider, metadata, code, redirect_uri, verifier);
    let answer = send(core, provider, request).await?;
    match answer.status {
        200 if answer.url == metadata.token_endpoint => {}
        500.. => return Err(unusable(provider, "it gives no tokens")),
        _ => return Err(refused(provider, "the code")),
    }
    serde_json::from_slice(&answer.body).map_err(|_| refused(provider, "the tokens cannot be read"))
}

fn token_request(
    provider: &Provider,
    metadata: &Metadata,
    code: &SecretString,
    redirect_uri: &str,
    verifier: &SecretString,
) -> Request {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code.expose_secret())
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("code_verifier", verifier.expose_secret());
    let mut request = Request::new(Method::POST, metadata.token_endpoint.clone());
    let posts = metadata
        .token_endpoint_auth_methods_supported
        .as_ref()
        .is_some_and(|methods| !methods.iter().any(|method| method == "client_secret_basic"));
    match &provider.client_secret {
        Some(secret) if !posts => {
            let pair = [&provider.client_id, secret.expose_secret()]
                .map(|text| byte_serialize(text.as_bytes()).collect::<String>());
            let basic = format!("Basic {}", STANDARD.encode(pair.join(":")));
            request.secret_headers.push(("authorization".to_owned(), SecretString::from(basic)));
        }
        secret => {
            form.append_pair("client_id", &provider.client_id);
            if let Some(secret) = secret {
                form.append_pair("client_secret", secret.expose_secret());
            }
        }
    }
    request.headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
    request.body = Some(Bytes::from(form.finish()));
    request
}

/// The address, where the provider keeps ID tokens small.
async fn user_info(
    core: &Core,
    provider: &Provider,
    url: &Url,
    tokens: &Tokens,
    identity: Identity,
) -> Result<Identity> {
    #[derive(Deserialize)]
    struct UserInfo {
        sub: String,
        email: Option<String>,
        email_verified: Option<serde_json::Value>,
        name: Option<String>,
    }
    let mut request = Request::new(Method::GET, url.clone());
    let bearer = SecretString::from(format!("Bearer {}", tokens.access_token.expose_secret()));
    request.secret_headers.push(("authorization".to_owned(), bearer));
    let answer = send(core, provider, request).await?;
    if answer.status != 200 {
        return Err(unusable(provider, "it tells nothing of the person"));
    }
    let unreadable = |_| refused(provider, "what it tells of the person cannot be read");
    let info: UserInfo = serde_json::from_slice(&answer.body).map_err(unreadable)?;
    if info.sub != identity.subject {
        return Err(refused(provider, "it tells of another person (sub)"));
    }
    Ok(Identity {
        email: info.email,
        is_verified: info.email_verified == Some(serde_json::Value::Bool(true)),
        name: identity.name.or(info.name),
        ..identity
    })
}

/// 256 bits in Base64url that only this installation can make from the state. What was begun before a
/// rotation of the master key and is answered after it has to be begun again.
fn derived(core: &Core, purpose: &str, state: &SecretString) -> Result<SecretString> {
    let keys = core.keys.derive("requests to OpenID providers")?;
    let key = keys.first().ok_or_else(|| Error::internal("there is no master key"))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret())
        .map_err(|error| Error::internal(error.to_string()))?;
    mac.update(purpose.as_bytes());
    mac.update(&[0]);
    mac.update(state.expose_secret().as_bytes());
    Ok(SecretString::from(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
}
