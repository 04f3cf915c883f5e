//! What a tenant may set for itself: a closed list, so that a misspelt name is refused and not kept.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

/// How consoles look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Theme {
    Light,
    Dark,
    System,
}

/// The settings of a tenant. What is absent has its default. `quotaAlarmPercent` is the server's to obey;
/// the others are kept for consoles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({ "theme": "DARK", "quotaAlarmPercent": 90 }))]
pub struct TenantSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theme: Option<Theme>,
    /// `#rrggbb`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[validate(custom(function = "rgb"))]
    #[schema(pattern = "^#[0-9a-fA-F]{6}$", example = "#0a5fd7")]
    pub accent_color: Option<String>,
    /// Language and region as in BCP 47, such as `en` or `de-CH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[validate(custom(function = "language_tag"))]
    #[schema(max_length = 35, pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", example = "de-CH")]
    pub locale: Option<String>,
    /// Where people of the tenant get help: an `https` address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[validate(length(max = 2048), custom(function = "https"))]
    #[schema(max_length = 2048, format = Uri, example = "https://help.example.org")]
    pub support_url: Option<String>,
    /// From how many percent on a quota is alarming at `GET /v1/tenant/limits`; 80 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[validate(range(min = 1, max = 100))]
    #[schema(minimum = 1, maximum = 100)]
    pub quota_alarm_percent: Option<u8>,
}

const ALARM_PERCENT: u8 = 80;

impl TenantSettings {
    pub fn alarm_percent(&self) -> i64 {
        i64::from(self.quota_alarm_percent.unwrap_or(ALARM_PERCENT))
    }
}

fn rgb(text: &str) -> Result<(), ValidationError> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
    let fits = digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    rule(fits, "color", "must be a color such as #0a5fd7")
}

fn language_tag(text: &str) -> Result<(), ValidationError> {
    let is_word =
        |word: &str| (1..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let language = text.split('-').next().unwrap_or_default();
    let fits = text.len() <= 35
        && text.split('-').all(is_word)
        && language.len() >= 2
        && language.bytes().all(|byte| byte.is_ascii_alphabetic());
    rule(fits, "locale", "must be a language tag such as de-CH")
}

pub(super) fn https(text: &str) -> Result<(), ValidationError> {
    let fits = url::Url::parse(text).is_ok_and(|url| url.scheme() == "https");
    rule(fits, "url", "must be an https address")
}

fn rule(fits: bool, code: &'static str, message: &'static str) -> Result<(), ValidationError> {
    if fits { Ok(()) } else { Err(ValidationError::new(code).with_message(message.into())) }
}
