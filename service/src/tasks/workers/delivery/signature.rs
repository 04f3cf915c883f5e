//! The secret of a worker, and signatures with it, as the Standard Webhooks specification has them: HMAC-SHA256
//! over id, time and body.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entity::tasks::worker::Model;
use secrecy::ExposeSecret as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::core::Core;
use crate::error::{Error, Result};
use crate::secrets::Place;

const BYTES: usize = 32;
const PREFIX: &str = "whsec_";

fn place(tenant: Uuid, row: Uuid) -> Place {
    Place { tenant, table: "worker", column: "delivery_secret", row }
}

/// A new secret, sealed and as text.
pub(super) fn make(core: &Core, tenant: Uuid, worker: Uuid) -> Result<(Vec<u8>, String)> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    core.ids.fill(&mut *bytes);
    let text = format!("{PREFIX}{}", STANDARD.encode(*bytes));
    Ok((core.keys.seal(&place(tenant, worker), text.as_bytes())?, text))
}

/// The headers of a delivery.
pub(super) fn headers(core: &Core, worker: &Model, id: &str, body: &[u8]) -> Result<Vec<(String, String)>> {
    let missing = || Error::internal("a worker with a URL has a secret");
    let sealed = worker.delivery_secret.as_ref().ok_or_else(missing)?;
    let secret = core.keys.open_text(&place(worker.tenant_id, worker.id), sealed)?;
    let encoded = secret.expose_secret().strip_prefix(PREFIX).ok_or_else(missing)?;
    let key = Zeroizing::new(STANDARD.decode(encoded).map_err(Error::internal)?);
    let at = core.clock.now().timestamp().to_string();
    Ok(vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("webhook-id".to_owned(), id.to_owned()),
        ("webhook-signature".to_owned(), sign(&key, id, &at, body)),
        ("webhook-timestamp".to_owned(), at),
        ("mc-worker-id".to_owned(), worker.id.to_string()),
    ])
}

fn sign(key: &[u8], id: &str, at: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in [id.as_bytes(), b".", at.as_bytes(), b".", body] {
        context.update(part);
    }
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference implementations.
    #[test]
    fn a_signature_is_the_standards() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
