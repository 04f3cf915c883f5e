//! Opaque list cursors: the last row's sort key and id, signed and bound to tenant, table and order.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::ctx::Ctx;
use crate::error::{Error, Result};

const PURPOSE: &str = "list cursors";
const TAG_BYTES: usize = 16;
const LONGEST: usize = 2048;

#[derive(Serialize, Deserialize)]
pub struct Cursor {
    /// The sort key's value in the last row; absent where the order is by id.
    #[serde(rename = "v", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(rename = "i")]
    pub id: Uuid,
}

impl Cursor {
    pub fn seal(&self, ctx: &Ctx, place: &str) -> Result<String> {
        let body = serde_json::to_vec(self).map_err(Error::internal)?;
        let keys = ctx.core.keys.derive(PURPOSE)?;
        let key = keys.first().ok_or_else(|| Error::internal("no key for cursors"))?;
        let mut bytes = tag(key.expose_secret(), ctx, place, &body)?.to_vec();
        bytes.extend_from_slice(&body);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn open(ctx: &Ctx, place: &str, text: &str) -> Result<Self> {
        let wrong =
            || Error::invalid("cursor", "invalid_cursor", "The cursor is not one of this list and order.");
        if text.len() > LONGEST {
            return Err(wrong());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let (given, body) = bytes.split_at_checked(TAG_BYTES).ok_or_else(wrong)?;
        // One that was made before a rotation of the master key still leads on.
        for key in ctx.core.keys.derive(PURPOSE)? {
            let tag = tag(key.expose_secret(), ctx, place, body)?;
            if subtle::ConstantTimeEq::ct_eq(given, tag.as_slice()).into() {
                return serde_json::from_slice(body).map_err(|_| wrong());
            }
        }
        Err(wrong())
    }
}

fn tag(key: &[u8], ctx: &Ctx, place: &str, body: &[u8]) -> Result<[u8; TAG_BYTES]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(Error::internal)?;
    mac.update(ctx.tenant.as_bytes());
    mac.update(place.as_bytes());
    mac.update(&[0]);
    mac.update(body);
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&mac.finalize().into_bytes()[..TAG_BYTES]);
    Ok(tag)
}
