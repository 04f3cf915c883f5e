//! How a hook reads what it is sent.

use entity::tasks::inbound_hook::HookScheme;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::error::{Error, FieldError, Result};

/// Stored in `inbound_hook.config`. All of it is of the scheme `HMAC`, but for `deliveryIdHeader`, which is of `NONE`
/// too: the other schemes say themselves where things are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HookConfig {
    /// The header that holds the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100, example = "X-Signature")]
    pub header: Option<String>,
    /// What stands before the signature in its header: `sha256=`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100)]
    pub prefix: Option<String>,
    pub algorithm: HmacAlgorithm,
    pub encoding: SignatureEncoding,
    /// The header that holds the time in seconds since 1970; it is at most five minutes away.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100)]
    pub timestamp_header: Option<String>,
    pub signed_content: SignedContent,
    /// The header that holds the sender's id of the delivery: one is taken once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 100)]
    pub delivery_id_header: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HmacAlgorithm {
    /// For senders that know nothing better.
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SignatureEncoding {
    #[default]
    Hex,
    Base64,
}

/// What is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SignedContent {
    #[default]
    Body,
    /// The time, a dot, the body: a signature that somebody got hold of works for five minutes.
    TimestampDotBody,
}

impl HookConfig {
    /// # Errors
    /// [`Error::Invalid`] under `/config`.
    pub fn check(&self, scheme: HookScheme) -> Result<()> {
        let Self {
            header,
            prefix,
            algorithm: _,
            encoding: _,
            timestamp_header,
            signed_content,
            delivery_id_header,
        } = self;
        let mut errors = Vec::new();
        let mut refuse = |field: &str, code, message: &str| {
            errors.push(FieldError::new(format!("/config/{field}"), code, message));
        };
        let names = [
            ("header", header),
            ("timestampHeader", timestamp_header),
            ("deliveryIdHeader", delivery_id_header),
        ];
        for (field, name) in names {
            if name.as_ref().is_some_and(|name| !is_header(name)) {
                refuse(field, "header", "The name of a header has 1 to 100 of A-Z, a-z, 0-9, - and _.");
            }
        }
        if prefix.as_ref().is_some_and(|prefix| prefix.len() > 100) {
            refuse("prefix", "length", "A prefix has at most 100 bytes.");
        }
        let own = Self { delivery_id_header: None, ..self.clone() } != Self::default();
        match scheme {
            HookScheme::Hmac => {
                if header.is_none() {
                    refuse("header", "required", "Say which header holds the signature.");
                }
                if *signed_content == SignedContent::TimestampDotBody && timestamp_header.is_none() {
                    refuse("timestampHeader", "required", "Say which header holds the time that is signed.");
                }
            }
            HookScheme::None if own => refuse("", "unsupported", "Nothing is signed."),
            HookScheme::None => {}
            _ if *self != Self::default() => refuse("", "unsupported", "The scheme says where things are."),
            _ => {}
        }
        if errors.is_empty() { Ok(()) } else { Err(Error::Invalid { errors }) }
    }
}

fn is_header(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=100).contains(&name.len()) && name.bytes().all(fits)
}
