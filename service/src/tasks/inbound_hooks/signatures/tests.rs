//! The senders' own vectors, and what differs from them in one place.

use chrono::DateTime;

use super::*;

struct Vector {
    scheme: HookScheme,
    config: HookConfig,
    secret: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: &'static str,
    at: i64,
}

fn vectors() -> Vec<Vector> {
    vec![
        // The reference vector of the Standard Webhooks libraries.
        Vector {
            scheme: HookScheme::StandardWebhooks,
            config: HookConfig::default(),
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            headers: vec![
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", "v1a,x v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            ],
            body: r#"{"test": 2432232314}"#,
            at: 1_614_265_330,
        },
        // GitHub's documentation.
        Vector {
            scheme: HookScheme::Github,
            config: HookConfig::default(),
            secret: "It's a Secret to Everybody",
            headers: vec![(
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            )],
            body: "Hello, World!",
            at: 0,
        },
        // Slack's documentation.
        Vector {
            scheme: HookScheme::Slack,
            config: HookConfig::default(),
            secret: "8f742231b10e8888abcd99yyyzzz85a5",
            headers: vec![
                ("x-slack-request-timestamp", "1531420618"),
                ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
            ],
            body: "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
            at: 1_531_420_618,
        },
        // Stripe publishes none: by its description, with Python's hmac.
        Vector {
            scheme: HookScheme::Stripe,
            config: HookConfig::default(),
            secret: "whsec_test_secret",
            headers: vec![(
                "stripe-signature",
                "t=1700000000, v0=00, v1=00, v1=0c8670ed117751cc551a20e35839447075c42800ea3cf3e8a2fbda99cd1e6edd",
            )],
            body: r#"{"id":"evt_1","object":"event"}"#,
            at: 1_700_000_000,
        },
        // RFC 4231, test case 2, and the same with a time before it.
        Vector {
            scheme: HookScheme::Hmac,
            config: HookConfig { header: Some("x-sign".to_owned()), ..HookConfig::default() },
            secret: "Jefe",
            headers: vec![("x-sign", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")],
            body: "what do ya want for nothing?",
            at: 0,
        },
        Vector {
            scheme: HookScheme::Hmac,
            config: HookConfig {
                header: Some("x-sign".to_owned()),
                prefix: Some("v=".to_owned()),
                algorithm: HmacAlgorithm::Sha512,
                encoding: SignatureEncoding::Base64,
                timestamp_header: Some("x-time".to_owned()),
                signed_content: SignedContent::TimestampDotBody,
                ..HookConfig::default()
            },
            secret: "s",
            headers: vec![
                ("x-time", "1700000000"),
                (
                    "x-sign",
                    "v=2MsCpYe4cRE2m2J1CSejtJtx4ijqQjSmTNqwDrYqKjmydGzTvH8ST8FxKz5jc2m+70C6FqHxvwr9qQIsY7RtJw==",
                ),
            ],
            body: "{}",
            at: 1_700_000_000,
        },
    ]
}

fn check(vector: &Vector, secret: &str, body: &str, at: i64, without: Option<&str>) -> Result<(), Unproved> {
    let header = |name: &str| {
        let found = vector.headers.iter().find(|(known, _)| *known == name && Some(*known) != without);
        found.map(|(_, value)| *value)
    };
    let now = DateTime::from_timestamp(at, 0).unwrap();
    let keys: Vec<_> =
        [key(vector.scheme, "b3RoZXI="), key(vector.scheme, secret)].into_iter().flatten().collect();
    verify(vector.scheme, &vector.config, &keys, &Signed { header: &header, body: body.as_bytes(), now })
}

#[test]
fn the_senders_vectors_are_theirs_and_nothing_else_is() {
    for vector in vectors() {
        let Vector { scheme, secret, body, at, .. } = &vector;
        assert_eq!(check(&vector, secret, body, *at, None), Ok(()), "{scheme:?}");
        assert_eq!(
            check(&vector, secret, &format!("{body} "), *at, None),
            Err(Unproved::Wrong),
            "{scheme:?}"
        );
        let other = if *scheme == HookScheme::StandardWebhooks { "whsec_b3RoZXI" } else { "other" };
        assert_eq!(check(&vector, other, body, *at, None), Err(Unproved::Wrong), "{scheme:?}");
        for (name, _) in &vector.headers {
            assert_eq!(
                check(&vector, secret, body, *at, Some(name)),
                Err(Unproved::Missing),
                "{scheme:?} {name}"
            );
        }
        if *at > 0 {
            assert_eq!(check(&vector, secret, body, at + 300, None), Ok(()), "{scheme:?}");
            for late in [at + 301, at - 301] {
                assert_eq!(check(&vector, secret, body, late, None), Err(Unproved::Stale), "{scheme:?}");
            }
        }
    }
}

#[test]
fn a_secret_of_the_wrong_form_is_no_key() {
    assert_eq!(key(HookScheme::StandardWebhooks, "whsec_not base64"), None);
    assert_eq!(key(HookScheme::StandardWebhooks, "whsec_"), None);
    assert_eq!(key(HookScheme::Github, ""), None);
    assert_eq!(key(HookScheme::StandardWebhooks, "AAE="), Some(vec![0, 1]));
}
