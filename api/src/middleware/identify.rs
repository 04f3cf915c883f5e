//! Who is calling: the credential is checked once a request; extractors ask what the caller may do.
//!
//! A bad credential is refused only by what needs one, so that a stale token does not lock anybody
//! out of signing in.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, HttpRequest};
use futures_util::FutureExt as _;
use ipnet::IpNet;
use service::auth::principal::{Credential, Principal, Proof, RequestInfo};
use service::error::Error;

use super::rate_limit::UPKEEP;
use super::{Answer, Shared, boxed, refuse};
use crate::error::HttpError;
use crate::gate::Gate;
use crate::openapi::operation_of;

const API_KEY: &str = "x-api-key";

/// Set by `observe`.
#[derive(Clone)]
pub struct RequestId(pub String);

/// What the credential came to; none was sent when this is absent.
#[derive(Clone)]
pub enum Caller {
    Known(Principal),
    Refused {
        code: &'static str,
        detail: String,
    },
    /// Not looked up: too many from the same address were refused.
    Unchecked,
}

pub async fn identify(
    gate: Shared,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Answer {
    if let Some(credential) = credential(request.headers()) {
        let refusals = gate.limits.refusals.as_ref();
        let ip = request_info(request.request()).ip;
        if refusals.is_some_and(|refusals| refusals.are_spent(ip)) {
            request.extensions_mut().insert(Caller::Unchecked);
            return next.call(request).await.map(boxed);
        }
        let checked = match credential {
            Ok(credential) => look_up(&gate, &credential).await,
            Err(error) => Ok(Err(error)),
        };
        let caller = match checked {
            Ok(Ok(principal)) => Caller::Known(principal),
            Ok(Err(Error::Unauthenticated { code, detail })) => {
                refusals.inspect(|refusals| refusals.note(ip));
                Caller::Refused { code, detail: detail.into_owned() }
            }
            Ok(Err(error)) => return refuse(request, error.into()),
            Err(error) => return refuse(request, error),
        };
        request.extensions_mut().insert(caller);
    }
    next.call(request).await.map(boxed)
}

/// Who was looked up a moment ago needs no work on the main runtime.
async fn look_up(gate: &Gate, credential: &Credential) -> Result<Result<Principal, Error>, HttpError> {
    let proof = match Proof::of(&gate.core, credential) {
        Ok(proof) => proof,
        Err(error) => return Ok(Err(error)),
    };
    if let Some(known) = proof.remembered(&gate.core).await {
        return Ok(Ok(known));
    }
    let core = gate.core.clone();
    gate.run(Duration::ZERO, async move { Ok(proof.caller(&core).await) }.boxed()).await
}

/// `Authorization: Bearer` goes before `X-API-Key`.
pub fn credential(headers: &HeaderMap) -> Option<Result<Credential, Error>> {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    if let Some(value) = text(header::AUTHORIZATION) {
        let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        return Some(token.map(|(_, token)| Credential::Bearer(token.trim().to_owned())).ok_or_else(|| {
            Error::unauthenticated(
                "credential_invalid",
                "Authorization must be Bearer with a token or an API key.",
            )
        }));
    }
    text(header::HeaderName::from_static(API_KEY)).map(|key| Ok(Credential::ApiKey(key.trim().to_owned())))
}

/// The authenticated caller.
///
/// # Errors
/// 401 when there is none, 403 `address_not_allowed`, 429 when the address sent too many bad ones.
pub fn caller(request: &HttpRequest) -> Result<Principal, HttpError> {
    match request.extensions().get::<Caller>() {
        Some(Caller::Known(principal)) => {
            principal.admit(request_info(request).ip)?;
            Ok(principal.clone())
        }
        Some(Caller::Refused { code, detail }) => Err(Error::unauthenticated(code, detail.clone()).into()),
        Some(Caller::Unchecked) => {
            Err(Error::RateLimited { code: "refused_credentials", retry_after: UPKEEP }.into())
        }
        None => Err(Error::unauthenticated(
            "unauthenticated",
            "Send a credential: Authorization: Bearer <token or API key>, or X-API-Key.",
        )
        .into()),
    }
}

/// The request's id and the caller's address; the idempotency key is the extractors' to add.
pub fn request_info(request: &HttpRequest) -> RequestInfo {
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let trusted = Gate::of(request);
    let trusted = trusted.as_ref().map_or(&[][..], |gate| gate.options.trusted_proxies.as_slice());
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let ip = peer.map(|peer| client_address(peer, request.headers(), trusted));
    RequestInfo { request_id, operation: operation_of(request), ip, idempotency: None }
}

/// The last address in `X-Forwarded-For` that is not a trusted proxy's own. What stands before it was
/// written by the caller and proves nothing.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|network| network.contains(ip));
    if !is_trusted(&peer) {
        return peer;
    }
    let mut client = peer;
    let lines: Vec<_> = headers.get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Ok(ip) = hop.trim().parse::<IpAddr>() else { break };
        client = ip.to_canonical();
        if !is_trusted(&client) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn address(peer: &str, forwarded: &str, trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let request = TestRequest::get().insert_header(("x-forwarded-for", forwarded)).to_http_request();
        client_address(peer.parse().unwrap(), request.headers(), &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_may_name_the_client() {
        assert_eq!(address("9.9.9.9", "1.1.1.1", &[]), "9.9.9.9");
        assert_eq!(address("10.0.0.1", "1.1.1.1", &["10.0.0.0/8"]), "1.1.1.1");
        assert_eq!(address("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", &["10.0.0.0/8"]), "1.1.1.1");
        assert_eq!(address("10.0.0.1", "junk", &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", "", &["10.0.0.0/8"]), "10.0.0.1");
    }

    #[test]
    fn credentials_are_found_in_both_places() {
        let of = |name: &'static str, value: &'static str| {
            credential(TestRequest::get().insert_header((name, value)).to_http_request().headers())
        };
        assert!(
            matches!(of("authorization", "bearer  t"), Some(Ok(Credential::Bearer(token))) if token == "t")
        );
        assert!(matches!(of("x-api-key", "k"), Some(Ok(Credential::ApiKey(key))) if key == "k"));
        assert!(matches!(of("authorization", "Basic dTpw"), Some(Err(_))));
        assert!(of("cookie", "a=b").is_none());
    }
}
