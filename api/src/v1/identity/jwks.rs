//! `/.well-known/jwks.json`: the keys that verify access tokens.

use actix_web::http::header;
use actix_web::{HttpResponse, get};
use serde::{Deserialize, Serialize};
use service::error::Error;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer::Answer;
use crate::extract::Public;

pub fn routes(config: &mut ServiceConfig) {
    config.service(get_jwks);
}

/// A set of public keys (RFC 7517).
#[derive(Serialize, Deserialize, ToSchema)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// An Ed25519 public key (RFC 8037).
#[derive(Serialize, Deserialize, ToSchema)]
struct Jwk {
    #[schema(example = "OKP")]
    kty: String,
    #[schema(example = "Ed25519")]
    crv: String,
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    x: String,
    #[schema(example = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")]
    kid: String,
    #[schema(example = "EdDSA")]
    alg: String,
    #[serde(rename = "use")]
    #[schema(rename = "use", example = "sig")]
    usage: String,
}

/// The keys of access tokens
///
/// For services that verify access tokens themselves. Keep it for at most five minutes. Open to
/// everybody.
#[utoipa::path(
    tag = "Authentication",
    operation_id = "get_jwks",
    security(()),
    responses((status = 200, description = "The keys that verify.", body = Jwks)),
)]
#[get("/.well-known/jwks.json")]
async fn get_jwks(public: Public) -> Answer {
    let keys = public.run(async move |core, _| {
        serde_json::from_value::<Jwks>(core.access_tokens.keys().jwks()?).map_err(Error::internal)
    });
    let keys = keys.await?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).json(keys))
}
