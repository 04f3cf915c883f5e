//! What a worker shows for the attempt that it was given. A token is made from the claim and not stored: it
//! names worker, attempt and fence, and its tag binds them to tenant and run. So one that was not given out is
//! recognised without a look at the database, and one whose lease is over by the run's fence.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::Sha256;
use uuid::Uuid;

use crate::core::Core;
use crate::error::{Error, Result};

const PURPOSE: &str = "lease tokens";
const PREFIX: &str = "mc_lt_";
const TAG_BYTES: usize = 32;
const BODY_BYTES: usize = 16 + 4 + 8;
/// Of a token's text, with room.
pub const LONGEST: u64 = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseToken {
    pub tenant: Uuid,
    pub run: Uuid,
    pub worker: Uuid,
    pub attempt: i32,
    pub fence: i64,
}

impl LeaseToken {
    pub fn seal(&self, core: &Core) -> Result<String> {
        let keys = core.keys.derive(PURPOSE)?;
        let key = keys.first().ok_or_else(|| Error::internal("no key for lease tokens"))?;
        let body = self.body();
        let tag = self.mac(key.expose_secret(), &body)?.finalize().into_bytes();
        Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&body[..], tag.as_slice()].concat())))
    }

    /// The token that was given out for this run; `None` for anything else.
    ///
    /// # Errors
    /// Internal, without keys.
    pub fn open(core: &Core, tenant: Uuid, run: Uuid, text: &str) -> Result<Option<Self>> {
        let Some((token, body, tag)) = Self::read(tenant, run, text) else { return Ok(None) };
        // One that was given out before a rotation of the master key is as good.
        for key in core.keys.derive(PURPOSE)? {
            if token.mac(key.expose_secret(), &body)?.verify_slice(&tag).is_ok() {
                return Ok(Some(token));
            }
        }
        Ok(None)
    }

    fn read(tenant: Uuid, run: Uuid, text: &str) -> Option<(Self, Vec<u8>, Vec<u8>)> {
        let mut body = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        if body.len() != BODY_BYTES + TAG_BYTES {
            return None;
        }
        let tag = body.split_off(BODY_BYTES);
        let (worker, rest) = body.split_first_chunk::<16>()?;
        let (attempt, rest) = rest.split_first_chunk::<4>()?;
        let (fence, _) = rest.split_first_chunk::<8>()?;
        let token = Self {
            tenant,
            run,
            worker: Uuid::from_bytes(*worker),
            attempt: i32::from_be_bytes(*attempt),
            fence: i64::from_be_bytes(*fence),
        };
        Some((token, body, tag))
    }

    fn body(&self) -> Vec<u8> {
        [&self.worker.as_bytes()[..], &self.attempt.to_be_bytes(), &self.fence.to_be_bytes()].concat()
    }

    fn mac(&self, key: &[u8], body: &[u8]) -> Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(Error::internal)?;
        mac.update(self.tenant.as_bytes());
        mac.update(self.run.as_bytes());
        mac.update(body);
        Ok(mac)
    }
}
