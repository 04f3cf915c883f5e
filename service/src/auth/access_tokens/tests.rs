use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, crypto};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn ids(seed: u64) -> Ids {
    Ids::seeded(Clock::manual(at(NOW)), seed)
}

fn key(seed: u64) -> SigningKey {
    SigningKey::generate(&ids(seed)).unwrap()
}

fn tokens() -> AccessTokens {
    AccessTokens::new("https://mc.example", "mission-control", SigningKeys::new(key(1), vec![]).unwrap())
}

fn subject() -> Subject {
    Subject { user: Uuid::from_u128(1), tenant: Uuid::from_u128(2), session: Uuid::from_u128(3) }
}

fn good_header() -> Value {
    json!({"typ": "at+jwt", "alg": "EdDSA", "kid": key(1).kid()})
}

fn good_claims() -> Value {
    json!({
        "iss": "https://mc.example", "aud": "mission-control",
        "sub": Uuid::from_u128(1), "tid": Uuid::from_u128(2), "sid": Uuid::from_u128(3),
        "jti": Uuid::from_u128(4), "iat": NOW, "nbf": NOW, "exp": NOW + 600,
    })
}

fn with(mut value: Value, name: &str, new: Value) -> Value {
    value[name] = new;
    value
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

fn signed_by(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let message = unsigned(header, claims);
    let signature = crypto::sign(message.as_bytes(), &key.encoding, Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

fn signed(header: &Value, claims: &Value) -> String {
    signed_by(&key(1), header, claims)
}

fn code(token: &str, now: i64) -> &'static str {
    match tokens().verify(token, at(now)) {
        Ok(_) => "ok",
        Err(Error::Unauthenticated { code, .. }) => code,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn an_issued_token_verifies_and_says_who() {
    let token = tokens().issue(subject(), &ids(5), at(NOW)).unwrap();
    let claims = tokens().verify(&token, at(NOW)).unwrap();
    let AccessClaims { sub, tid, sid, jti, iat, nbf, exp, .. } = claims;
    assert_eq!(Subject { user: sub, tenant: tid, session: sid }, subject());
    assert_eq!((iat, nbf, exp), (NOW, NOW, NOW + 600));
    assert_eq!(jti.get_version_num(), 7);
}

#[test]
fn the_forged_tokens_of_these_tests_fail_for_their_one_change_only() {
    assert_eq!(code(&signed(&good_header(), &good_claims()), NOW), "ok");
}

#[test]
fn time_is_checked_with_a_small_leeway() {
    let token = tokens().issue(subject(), &ids(5), at(NOW)).unwrap();
    for (now, expected) in [
        (NOW - 6, "invalid_token"),
        (NOW - 5, "ok"),
        (NOW + 604, "ok"),
        (NOW + 605, "token_expired"),
        (NOW * 2, "token_expired"),
    ] {
        assert_eq!(code(&token, now), expected, "{}", now - NOW);
    }
    const { assert!(LEEWAY_SECONDS <= 10) };
}

#[test]
fn jwt_with_none_and_mixed_algorithms_is_refused() {
    let public = key(1).verifying().public().unwrap().to_vec();
    let jwk_text = key(1).verifying().jwk().unwrap().to_string();
    for secret in [public.as_slice(), jwk_text.as_bytes(), b""] {
        for (name, algorithm) in [("HS256", Algorithm::HS256), ("HS512", Algorithm::HS512)] {
            let message = unsigned(&with(good_header(), "alg", json!(name)), &good_claims());
            let hmac = EncodingKey::from_secret(secret);
            let signature = crypto::sign(message.as_bytes(), &hmac, algorithm).unwrap();
            assert_eq!(code(&format!("{message}.{signature}"), NOW), "invalid_token");
        }
    }
    for alg in [json!("none"), json!("None"), json!(""), json!("Ed25519"), json!("ES256"), Value::Null] {
        let header = with(good_header(), "alg", alg);
        assert_eq!(code(&signed(&header, &good_claims()), NOW), "invalid_token");
        assert_eq!(code(&format!("{}.", unsigned(&header, &good_claims())), NOW), "invalid_token");
    }
    assert_eq!(code(&format!("{}.", unsigned(&good_header(), &good_claims())), NOW), "invalid_token");
}

#[test]
fn keys_that_a_token_brings_along_are_ignored() {
    let theirs = key(2);
    let jwk = theirs.verifying().jwk().unwrap();
    let header = with(good_header(), "jwk", jwk);
    let header = with(header, "jku", json!("https://evil.example/jwks.json"));
    let header = with(header, "x5u", json!("https://evil.example/cert.pem"));
    assert_eq!(code(&signed_by(&theirs, &header, &good_claims()), NOW), "invalid_token");
    let header = with(header, "kid", json!(theirs.kid()));
    assert_eq!(code(&signed_by(&theirs, &header, &good_claims()), NOW), "invalid_token");
}

#[test]
fn jwt_with_a_wrong_kid_or_typ_is_refused() {
    for (name, value) in [
        ("kid", json!("other")),
        ("kid", Value::Null),
        ("kid", json!("../../dev/null")),
        ("typ", json!("JWT")),
        ("typ", json!("rt+jwt")),
        ("typ", Value::Null),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
    ] {
        let header = with(good_header(), name, value);
        assert_eq!(code(&signed(&header, &good_claims()), NOW), "invalid_token", "{header}");
    }
}

#[test]
fn jwt_with_a_wrong_aud_or_iss_or_an_exp_of_a_wrong_type_is_refused() {
    for (name, value) in [
        ("iss", json!("https://evil.example")),
        ("iss", json!(["https://mc.example"])),
        ("aud", json!("other")),
        ("aud", json!(["mission-control", "other"])),
        ("sub", json!("root")),
        ("sub", json!(1)),
        ("tid", json!("")),
        ("exp", json!((NOW + 600).to_string())),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("nbf", json!(NOW + 60)),
        ("nbf", json!("0")),
        ("iat", json!(true)),
    ] {
        let claims = with(good_claims(), name, value);
        assert_eq!(code(&signed(&good_header(), &claims), NOW), "invalid_token", "{claims}");
    }
    for name in ["iss", "aud", "sub", "tid", "sid", "jti", "iat", "nbf", "exp"] {
        for missing in [false, true] {
            let mut claims = with(good_claims(), name, Value::Null);
            if missing {
                claims.as_object_mut().unwrap().remove(name);
            }
            assert_eq!(code(&signed(&good_header(), &claims), NOW), "invalid_token", "{name}");
        }
    }
}

#[test]
fn extreme_times_do_not_overflow() {
    for exp in [i64::MIN, -1, 0] {
        let claims = with(with(good_claims(), "exp", json!(exp)), "nbf", json!(0));
        let expected = if exp < 0 { "invalid_token" } else { "token_expired" };
        assert_eq!(code(&signed(&good_header(), &claims), NOW), expected);
    }
    let claims = with(good_claims(), "exp", json!(i64::MAX));
    assert_eq!(code(&signed(&good_header(), &claims), NOW), "ok");
}

#[test]
fn an_expired_token_of_somebody_else_is_only_invalid() {
    let claims = with(with(good_claims(), "exp", json!(NOW - 600)), "nbf", json!(NOW - 1200));
    assert_eq!(code(&signed(&good_header(), &claims), NOW), "token_expired");
    assert_eq!(code(&signed_by(&key(2), &good_header(), &claims), NOW), "invalid_token");
}

#[test]
fn every_changed_byte_is_noticed() {
    let token = tokens().issue(subject(), &ids(5), at(NOW)).unwrap();
    for index in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        assert_eq!(code(std::str::from_utf8(&bytes).unwrap(), NOW), "invalid_token", "byte {index}");
        assert_eq!(code(&token[..index], NOW), "invalid_token");
    }
    for odd in
        ["", ".", "..", "...", "é.é.é", &format!("{token}."), &format!("{token}="), &format!(" {token}")]
    {
        assert_eq!(code(odd, NOW), "invalid_token", "{odd}");
    }
}

#[test]
fn a_token_is_at_most_4_kib() {
    let padded = |length| {
        let header = with(good_header(), "pad", json!("x".repeat(length)));
        signed(&header, &good_claims())
    };
    let room = MAX_TOKEN_BYTES - padded(0).len();
    assert_eq!(code(&padded(room / 4 * 3 - 8), NOW), "ok");
    assert_eq!(code(&padded(room), NOW), "invalid_token");
}

#[test]
fn a_rotation_keeps_old_tokens_until_their_key_is_dropped() {
    let old = tokens().issue(subject(), &ids(5), at(NOW)).unwrap();
    let with_keys = |others| {
        AccessTokens::new("https://mc.example", "mission-control", SigningKeys::new(key(2), others).unwrap())
    };
    let rotated = with_keys(vec![key(1).verifying().clone()]);
    assert!(rotated.verify(&old, at(NOW)).is_ok());
    let jwks = rotated.keys().jwks().unwrap();
    assert_eq!(jwks["keys"][0]["kid"], key(2).kid());
    assert_eq!(jwks["keys"][1]["kid"], key(1).kid());
    assert!(with_keys(vec![]).verify(&old, at(NOW)).is_err());
    let new = rotated.issue(subject(), &ids(5), at(NOW)).unwrap();
    assert!(with_keys(vec![]).verify(&new, at(NOW)).is_ok());
}

#[test]
fn a_stored_key_is_the_same_key() {
    let stored = key(1).to_pkcs8();
    let again = SigningKey::from_pkcs8(stored.expose_secret()).unwrap();
    assert_eq!(again.kid(), key(1).kid());
    let public = VerifyingKey::from_public(again.verifying().public().unwrap()).unwrap();
    assert_eq!(public.kid(), again.kid());
    assert_ne!(key(1).kid(), key(2).kid());
    assert!(SigningKey::from_pkcs8(&stored.expose_secret()[1..]).is_err());
    assert!(VerifyingKey::from_public(&[1; 31]).is_err());
}

#[test]
fn keys_thumbprints_and_signatures_are_those_of_rfc_8037() {
    let secret = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
    let header =
        [0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let key = SigningKey::from_pkcs8(&[header.as_slice(), &secret].concat()).unwrap();
    assert_eq!(
        key.verifying().jwk().unwrap(),
        json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "alg": "EdDSA", "use": "sig",
        })
    );
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    assert_eq!(
        crypto::sign(message, &key.encoding, Algorithm::EdDSA).unwrap(),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
}

#[test]
fn client_tokens_and_access_tokens_do_not_pass_for_each_other() {
    let grant = ClientGrant {
        id: Uuid::from_u128(4),
        user: Uuid::from_u128(1),
        tenant: Uuid::from_u128(2),
        parent: Parent::Session(Uuid::from_u128(3)),
        run: Uuid::from_u128(5),
        scopes: vec!["task-runs:read".to_owned()],
        expires_at: at(NOW + 60),
    };
    let client = tokens().issue_client(&grant, at(NOW)).unwrap();
    assert_eq!(tokens().verify_client(&client, at(NOW)).unwrap(), grant);
    assert!(AccessTokens::is_client(&client) && code(&client, NOW) == "invalid_token");
    let refused = |token: &str, now| tokens().verify_client(token, at(now)).is_err();
    assert!(refused(&client, NOW - 6) && refused(&client, NOW + 65) && !refused(&client, NOW + 64));
    let access = tokens().issue(subject(), &ids(5), at(NOW)).unwrap();
    assert!(!AccessTokens::is_client(&access) && refused(&access, NOW));

    let header = with(good_header(), "typ", json!("client+jwt"));
    let claims = |name: &str, new: Value| {
        let mut claims = good_claims();
        let own = json!({ "aud": "mission-control/client", "parent": { "session": Uuid::from_u128(3) },
            "run": Uuid::from_u128(5), "scopes": ["task-runs:read"] });
        claims.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        claims[name] = new;
        claims
    };
    assert!(!refused(&signed(&header, &claims("jti", json!(Uuid::from_u128(4)))), NOW));
    for (name, wrong) in [
        ("aud", json!("mission-control")),
        ("iss", json!("https://evil.example")),
        ("parent", json!({})),
        ("parent", json!(null)),
        ("run", json!("*")),
        ("run", json!(null)),
        ("scopes", json!("task-runs:read")),
        ("exp", json!("soon")),
        ("exp", json!(null)),
        ("nbf", json!(NOW + 6)),
    ] {
        assert!(refused(&signed(&header, &claims(name, wrong)), NOW), "{name}");
    }
    assert!(refused(&signed(&good_header(), &claims("jti", json!(Uuid::from_u128(4)))), NOW));
    assert!(refused(&signed_by(&key(9), &header, &claims("jti", json!(Uuid::from_u128(4)))), NOW));
}
