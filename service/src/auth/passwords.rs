//! Passwords: argon2id (RFC 9106, parameters of OWASP: 19 MiB, 2 passes, 1 lane) off the async
//! threads, with a bound on how many run and how many wait.
//!
//! A password is its UTF-8 bytes as sent: no Unicode normalisation, so that no two different
//! passwords are the same and a client that composes accents differently is refused, not guessed.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::error::{Error, FieldError, Result};
use crate::ids::Ids;

/// Unicode scalar values.
pub const MIN_CHARS: usize = 12;
pub const MAX_CHARS: usize = 128;

const WAITING_PER_PERMIT: usize = 16;

/// Verified in place of a hash that does not exist, at the same cost. Its result is not used.
const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes and verifies; clones share the bound.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    ids: Ids,
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Passwords {
    /// `permits`: how many run at once (at least 1), each with 19 MiB and one core; 16 times as
    /// many may wait.
    pub fn new(ids: Ids, permits: usize) -> Result<Self> {
        let permits = permits.clamp(1, 1024);
        let params = Params::new(19_456, 2, 1, None).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            ids,
            admitted: Arc::new(Semaphore::new(permits * (1 + WAITING_PER_PERMIT))),
            running: Arc::new(Semaphore::new(permits)),
        })
    }

    /// The PHC string to store. Check the [`rules`] first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when too many are waiting.
    pub async fn hash(&self, password: SecretString) -> Result<String> {
        let mut salt = [0; 16];
        self.ids.fill(&mut salt);
        let argon2 = self.argon2.clone();
        let hash = move || argon2.hash_password_with_salt(password.expose_secret().as_bytes(), &salt);
        Ok(self.run(hash).await?.map_err(unusable)?.to_string())
    }

    /// Whether the password belongs to the hash. Without a hash (no such user, or a user without a
    /// password) the answer is `false` after the same work, so that time tells nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when too many are waiting; [`Error::Internal`] when the stored hash
    /// is not one.
    pub async fn verify(&self, password: SecretString, hash: Option<&str>) -> Result<bool> {
        let too_long = password.expose_secret().chars().nth(MAX_CHARS).is_some();
        let known = hash.filter(|_| !too_long);
        let hash = PasswordHash::new(known.unwrap_or(DUMMY_HASH)).map_err(|error| unusable(error.into()))?;
        let argon2 = self.argon2.clone();
        let verify = move || argon2.verify_password(password.expose_secret().as_bytes(), &hash);
        match self.run(verify).await? {
            Ok(()) => Ok(known.is_some()),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(unusable(error)),
        }
    }

    /// The permits travel with the work: a caller that goes away does not free its place early.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let busy = |_| Error::Unavailable { code: "sign_in_busy", retry_after: Duration::from_secs(1) };
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(Error::internal)?;
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop((running, admitted));
            done
        })
        .await
        .map_err(Error::internal)
    }
}

/// The rules for a new password: [`MIN_CHARS`] to [`MAX_CHARS`] characters and nothing else
/// (NIST SP 800-63B-4, 3.1.1.2: length, no composition rules).
pub fn rules(pointer: &str, password: &SecretString) -> Result<(), FieldError> {
    let count = password.expose_secret().chars().take(MAX_CHARS + 1).count();
    if count < MIN_CHARS {
        let message = format!("A password has at least {MIN_CHARS} characters.");
        return Err(FieldError::new(pointer, "too_short", message));
    }
    if count > MAX_CHARS {
        let message = format!("A password has at most {MAX_CHARS} characters.");
        return Err(FieldError::new(pointer, "too_long", message));
    }
    Ok(())
}

/// A password nobody chose: 144 random bits in 24 characters.
pub fn generate(ids: &Ids) -> SecretString {
    let mut bytes = zeroize::Zeroizing::new([0; 18]);
    ids.fill(bytes.as_mut());
    SecretString::from(URL_SAFE_NO_PAD.encode(bytes.as_ref()))
}

fn unusable(error: password_hash::Error) -> Error {
    Error::internal(format!("password hash: {error}"))
}

#[cfg(test)]
mod tests;
