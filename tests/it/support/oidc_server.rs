//! An OpenID provider that does as the test says: a proper one until it is told to misbehave. It checks
//! what a provider must check: the client's secret, the redirect URI, and PKCE.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use service::auth::access_tokens::SigningKey;
use service::clock::Clock;
use service::identity::accounts::{OidcSettings, Provider};
use service::ids::Ids;
use sha2::{Digest as _, Sha256};
use url::Url;

pub const REDIRECT: &str = "https://console.example.com/sign-in/callback";
/// With characters that have to be escaped on the way.
pub const SECRET: &str = "s3cret/+: %";
const CLIENT: &str = "mission-control";

/// What it does wrong.
pub struct Faults {
    /// Over the claims of ID tokens; null takes one away.
    pub claims: Value,
    /// Over its description of itself.
    pub metadata: Value,
    pub signature: Signature,
    /// How long its description is padded to.
    pub padding: usize,
    pub is_silent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    Proper,
    /// `alg: none`.
    Absent,
    /// With the public key as the secret of HS256.
    OfPublicKey,
    /// Of a key that it does not publish, under the id of one that it does.
    Forged,
}

struct Code {
    nonce: Value,
    challenge: String,
    redirect_uri: String,
    claims: Value,
}

struct Shared {
    issuer: String,
    clock: Clock,
    keys: Mutex<Vec<SigningKey>>,
    codes: Mutex<HashMap<String, Code>>,
    faults: Mutex<Faults>,
    asked_for_keys: AtomicUsize,
    visits: AtomicUsize,
}

#[derive(Clone)]
pub struct OidcServer(Arc<Shared>);

impl OidcServer {
    pub fn start(clock: Clock) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let faults = Faults {
            claims: json!({}),
            metadata: json!({}),
            signature: Signature::Proper,
            padding: 0,
            is_silent: false,
        };
        let shared = Arc::new(Shared {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            keys: Mutex::new(vec![key(&clock)]),
            clock,
            codes: Mutex::default(),
            faults: Mutex::new(faults),
            asked_for_keys: AtomicUsize::new(0),
            visits: AtomicUsize::new(0),
        });
        let data = Data::from(shared.clone());
        let app = move || {
            App::new()
                .app_data(data.clone())
                .route("/.well-known/openid-configuration", web::get().to(metadata))
                .route("/jwks", web::get().to(jwks))
                .route("/token", web::post().to(token))
        };
        std::thread::spawn(move || {
            let server = HttpServer::new(app).workers(1).listen(listener).unwrap().run();
            actix_web::rt::System::new().block_on(server).unwrap();
        });
        Self(shared)
    }

    /// One for all tests of the process that need a proper one.
    pub fn of_this_process() -> &'static Self {
        static SERVER: OnceLock<OidcServer> = OnceLock::new();
        SERVER.get_or_init(|| Self::start(Clock::system()))
    }

    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// As its clients are configured.
    pub fn settings(&self) -> OidcSettings {
        settings("example", &self.0.issuer, CLIENT, SECRET)
    }

    pub fn misbehave(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.faults.lock().unwrap());
    }

    /// Signs with another key from now on, and publishes that one only.
    pub fn rotate(&self) {
        *self.0.keys.lock().unwrap() = vec![key(&self.0.clock)];
    }

    pub fn asked_for_keys(&self) -> usize {
        self.0.asked_for_keys.load(Ordering::SeqCst)
    }

    /// What a person with these claims brings back from the authorization URL.
    pub fn visit(&self, authorization_url: &str, claims: Value) -> Value {
        let url: Url = authorization_url.parse().unwrap();
        assert!(url.as_str().starts_with(&format!("{}/authorize?tenant=a&", self.0.issuer)), "{url}");
        let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(
            (query["response_type"].as_str(), query["code_challenge_method"].as_str()),
            ("code", "S256")
        );
        assert_eq!(query["client_id"], CLIENT);
        let mut codes = self.0.codes.lock().unwrap();
        let code = format!("code-{}", self.0.visits.fetch_add(1, Ordering::SeqCst));
        let issued = Code {
            nonce: query["nonce"].as_str().into(),
            challenge: query["code_challenge"].clone(),
            redirect_uri: query["redirect_uri"].clone(),
            claims,
        };
        codes.insert(code.clone(), issued);
        json!({ "code": code, "state": query["state"], "iss": self.0.issuer })
    }
}

/// A configuration of one provider.
pub fn settings(id: &str, issuer: &str, client: &str, secret: &str) -> OidcSettings {
    let provider = Provider {
        id: id.to_owned(),
        name: "Example Ltd".to_owned(),
        issuer: issuer.to_owned(),
        client_id: client.to_owned(),
        client_secret: Some(SecretString::from(secret)),
        client_secret_env: None,
        scopes: ["openid", "email", "profile"].map(str::to_owned).into(),
        redirect_uris: vec![REDIRECT.to_owned()],
    };
    OidcSettings { providers: vec![provider], timeout: Duration::from_secs(20) }
}

fn key(clock: &Clock) -> SigningKey {
    SigningKey::generate(&Ids::random(clock.clone())).unwrap()
}

fn merge(value: &mut Value, over: &Value) {
    for (name, member) in over.as_object().unwrap() {
        if member.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            value[name] = member.clone();
        }
    }
}

async fn metadata(shared: Data<Shared>) -> HttpResponse {
    if shared.faults.lock().unwrap().is_silent {
        std::future::pending::<()>().await;
    }
    let faults = shared.faults.lock().unwrap();
    let issuer = &shared.issuer;
    let mut body = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize?tenant=a"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "authorization_response_iss_parameter_supported": true,
    });
    merge(&mut body, &faults.metadata);
    if faults.padding > 0 {
        body["padding"] = "x".repeat(faults.padding).into();
    }
    HttpResponse::Ok().json(body)
}

async fn jwks(shared: Data<Shared>) -> HttpResponse {
    shared.asked_for_keys.fetch_add(1, Ordering::SeqCst);
    let keys = shared.keys.lock().unwrap();
    let known: Vec<Value> = keys.iter().map(|key| key.verifying().jwk().unwrap()).collect();
    let strange = json!({ "kty": "strange", "kid": "strange" });
    let all = [[strange].as_slice(), known.as_slice()].concat();
    HttpResponse::Ok().json(json!({ "keys": all }))
}

async fn token(shared: Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let form: HashMap<_, _> = url::form_urlencoded::parse(&body).into_owned().collect();
    let refused = |error: &str| HttpResponse::BadRequest().json(json!({ "error": error }));
    let basic = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let basic = basic.and_then(|value| STANDARD.decode(value.strip_prefix("Basic ")?).ok());
    let escaped = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    if basic != Some(format!("{}:{}", escaped(CLIENT), escaped(SECRET)).into_bytes()) {
        return refused("invalid_client");
    }
    let Some(code) = shared.codes.lock().unwrap().remove(&form["code"]) else {
        return refused("invalid_grant");
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    if form["redirect_uri"] != code.redirect_uri || challenge != code.challenge {
        return refused("invalid_grant");
    }
    let now = shared.clock.now().timestamp();
    let mut claims =
        json!({ "iss": shared.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": code.nonce });
    merge(&mut claims, &code.claims);
    let faults = shared.faults.lock().unwrap();
    merge(&mut claims, &faults.claims);
    let id_token = sign(&shared, faults.signature, &claims);
    HttpResponse::Ok().json(json!({ "access_token": "at", "token_type": "Bearer", "id_token": id_token }))
}

fn sign(shared: &Shared, signature: Signature, claims: &Value) -> String {
    let keys = shared.keys.lock().unwrap();
    let proper = &keys[0];
    let header = |algorithm| Header { kid: Some(proper.kid().to_owned()), ..Header::new(algorithm) };
    let with = |key: &SigningKey| {
        let key = EncodingKey::from_ed_der(key.to_pkcs8().expose_secret());
        jsonwebtoken::encode(&header(Algorithm::EdDSA), claims, &key).unwrap()
    };
    match signature {
        Signature::Proper => with(proper),
        Signature::Forged => with(&key(&shared.clock)),
        Signature::OfPublicKey => {
            let public = EncodingKey::from_secret(proper.verifying().public().unwrap());
            jsonwebtoken::encode(&header(Algorithm::HS256), claims, &public).unwrap()
        }
        Signature::Absent => {
            let header = json!({ "alg": "none", "typ": "JWT", "kid": proper.kid() });
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.", part(&header), part(claims))
        }
    }
}
