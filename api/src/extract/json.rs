//! JSON bodies: bounded in depth, free of what a database cannot hold, typed, then validated.
//!
//! Broken JSON is 400; JSON that breaks a rule is 422 with the pointer to it.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use service::crud::objects::Objects;
use service::error::Error;
use validator::Validate;

use super::{Body, pointer};
use crate::error::HttpError;

const MAX_DEPTH: usize = 64;

/// A typed and validated JSON body.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Validate> FromRequest for Json<T> {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(media_type(request).and_then(|()| parse(&Body::of(request).0)).map(Self))
    }
}

/// As [`Json`]; a request without a body is the default.
pub struct OptionalJson<T>(pub T);

impl<T: DeserializeOwned + Validate + Default> FromRequest for OptionalJson<T> {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if matches!(Body::of(request).0.trim_ascii(), b"" | b"null") {
            return ready(Ok(Self(T::default())));
        }
        let read = Json::from_request(request, payload).into_inner();
        ready(read.map(|Json(value)| Self(value)))
    }
}

fn media_type(request: &HttpRequest) -> Result<(), HttpError> {
    let refused = || HttpError::new("unsupported_media_type", "Send the body as application/json.");
    let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?").trim());
    let (kind, parameters) = header(header::CONTENT_TYPE).unwrap_or("").split_once(';').map_or_else(
        || (header(header::CONTENT_TYPE).unwrap_or(""), ""),
        |(kind, parameters)| (kind.trim(), parameters.trim()),
    );
    let known = ["application/json", "application/merge-patch+json"];
    let charset = parameters.to_ascii_lowercase().replace('"', "");
    if !known.iter().any(|name| name.eq_ignore_ascii_case(kind))
        || !(charset.is_empty() || charset == "charset=utf-8")
        || !header(header::CONTENT_ENCODING).is_none_or(|value| value.eq_ignore_ascii_case("identity"))
    {
        return Err(refused());
    }
    Ok(())
}

fn parse<T: DeserializeOwned + Validate>(bytes: &[u8]) -> Result<T, HttpError> {
    if bytes.is_empty() {
        return Err(HttpError::new("json_malformed", "The body is empty."));
    }
    let scan = scan(bytes);
    if scan.depth > MAX_DEPTH {
        return Err(HttpError::new("json_too_deep", "The body is nested deeper than 64 levels."));
    }
    if scan.escaped_nul {
        let value = serde_json::from_slice(bytes).map_err(malformed)?;
        if let Some(pointer) = pointer::of_nul(&value) {
            return Err(Error::invalid(pointer, "nul", "must not contain the NUL character").into());
        }
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(Objects(&mut json)).map_err(|error| {
        let path = pointer::of_path(error.path());
        let inner = error.into_inner();
        match inner.classify() {
            Category::Data => {
                Error::Invalid { errors: vec![pointer::of_message(path, &inner.to_string())] }.into()
            }
            Category::Io | Category::Syntax | Category::Eof => malformed(inner),
        }
    })?;
    json.end().map_err(malformed)?;
    value.validate().map_err(|errors| Error::Invalid { errors: pointer::of_validation(&errors) })?;
    Ok(value)
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn malformed(error: serde_json::Error) -> HttpError {
    HttpError::new("json_malformed", format!("Line {}, column {} is not JSON.", error.line(), error.column()))
}

#[derive(Default)]
struct Scan {
    depth: usize,
    escaped_nul: bool,
}

/// One pass over the bytes, before anything is built from them.
fn scan(bytes: &[u8]) -> Scan {
    let mut found = Scan::default();
    let (mut depth, mut in_string, mut rest) = (0_usize, false, bytes);
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                found.escaped_nul |= rest.starts_with(b"u0000");
                rest = rest.get(1..).unwrap_or_default();
            }
            b'{' | b'[' if !in_string => {
                depth += 1;
                found.depth = found.depth.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use service::error::FieldError;

    use super::*;

    #[derive(Debug, Deserialize, Validate)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Create {
        #[validate(length(min = 1, max = 5))]
        name: String,
        #[serde(default)]
        #[validate(nested)]
        run_limits: Vec<Limits>,
        #[serde(default)]
        metadata: serde_json::Value,
    }

    #[derive(Debug, Deserialize, Validate)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Limits {
        #[validate(range(min = 1, max = 9))]
        max_steps: i32,
    }

    fn refused(body: &str) -> (u16, Vec<FieldError>) {
        let error = parse::<Create>(body.as_bytes()).unwrap_err();
        (error.status.as_u16(), error.errors)
    }

    fn pointer(body: &str) -> (String, String) {
        let (status, errors) = refused(body);
        assert_eq!((status, errors.len()), (422, 1), "{errors:?}");
        (errors[0].pointer.clone(), errors[0].code.clone().into_owned())
    }

    fn at(pointer: &str, code: &str) -> (String, String) {
        (pointer.to_owned(), code.to_owned())
    }

    #[test]
    fn a_good_body_is_read() {
        let value: Create =
            parse(br#"{"name":"a","runLimits":[{"maxSteps":3}],"metadata":{"a/b":1}}"#).unwrap();
        assert_eq!((value.name.as_str(), value.run_limits[0].max_steps), ("a", 3));
        assert_eq!(value.metadata["a/b"], 1);
    }

    #[test]
    fn broken_json_is_400() {
        for body in ["", "{", "{\"name\":\"a\"}x", "nul", "{\"name\":\"\u{0}\"}", "{\"name\":\"\\ud800\"}"] {
            assert_eq!(refused(body).0, 400, "{body}");
        }
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert_eq!(parse::<Create>(deep.as_bytes()).unwrap_err().code, "json_too_deep");
    }

    #[test]
    fn every_broken_rule_has_its_pointer() {
        assert_eq!(pointer("{}"), at("/name", "required"));
        assert_eq!(pointer("[]"), at("", "type"));
        assert_eq!(pointer(r#"{"name":"a","runLimits":[[3]]}"#), at("/runLimits/0", "type"));
        assert_eq!(pointer(r#"{"name":1}"#), at("/name", "type"));
        assert_eq!(pointer(r#"{"name":"a","tenantId":1}"#), at("/tenantId", "unknown_field"));
        assert_eq!(
            pointer(r#"{"name":"a","runLimits":[{"maxSteps":"x"}]}"#),
            at("/runLimits/0/maxSteps", "type")
        );
        assert_eq!(
            pointer(r#"{"name":"a","runLimits":[{"max":1}]}"#),
            at("/runLimits/0/max", "unknown_field")
        );
        assert_eq!(pointer(r#"{"name":"a","runLimits":[{}]}"#), at("/runLimits/0/maxSteps", "required"));
        assert_eq!(pointer(r#"{"name":"a","name":"b"}"#), at("/name", "duplicate_field"));
        assert_eq!(
            pointer(r#"{"name":"a","runLimits":[{"maxSteps":0}]}"#),
            at("/runLimits/0/maxSteps", "range")
        );
        assert_eq!(pointer(r#"{"name":"abcdef"}"#), at("/name", "length"));
    }

    #[test]
    fn nul_is_refused_wherever_it_hides() {
        assert_eq!(pointer(r#"{"name":"a\u0000"}"#), at("/name", "nul"));
        assert_eq!(pointer(r#"{"name":"a","metadata":[{"k\u0000":1}]}"#).1, "nul");
        assert!(parse::<Create>(br#"{"name":"\\u00"}"#).is_ok());
    }

    #[test]
    fn the_scan_knows_strings() {
        assert_eq!(scan(br#"{"a":"[[[[","b":"\"[["}"#).depth, 1);
        assert_eq!(scan(b"[[]][[[]]]").depth, 3);
        assert!(scan(br#""\u0000""#).escaped_nul);
        assert!(!scan(br#""\\u0000""#).escaped_nul);
    }
}
