//! Query parameters: repeated keys and `metadata[k]=v`.
//!
//! One struct reads what it knows and passes over the rest, so a handler may take several; the guard
//! has refused what the operation does not declare.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use serde_qs::{ArrayFormat, Config, DuplicateKeyBehavior};
use service::error::{Error, FieldError};

use super::pointer;
use crate::error::HttpError;

/// Typed query parameters.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(parse(request.query_string()).map(Self).map_err(HttpError::from))
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Error> {
    let config = Config::new()
        .max_depth(2)
        .use_form_encoding(true)
        .array_format(ArrayFormat::Unindexed)
        .duplicate_key_behavior(DuplicateKeyBehavior::Error);
    let broken = |mut error: FieldError| {
        error.pointer = name(&error.pointer);
        Error::Invalid { errors: vec![error] }
    };
    let parser = serde_qs::Deserializer::with_config(config, query.as_bytes())
        .map_err(|error| broken(pointer::of_message("/query".to_owned(), &error.to_string())))?;
    serde_path_to_error::deserialize(parser).map_err(|error| {
        broken(pointer::of_message(pointer::of_path(error.path()), &error.inner().to_string()))
    })
}

/// `/metadata/team` → `metadata[team]`.
fn name(pointer: &str) -> String {
    let mut parts = pointer.split('/').skip(1);
    let first = parts.next().unwrap_or("query").to_owned();
    parts.fold(first, |name, part| format!("{name}[{part}]"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase", default)]
    struct Filter {
        limit: Option<u32>,
        status: Vec<String>,
        created_after: Option<String>,
        metadata: BTreeMap<String, String>,
        count: Option<bool>,
    }

    fn read(query: &str) -> Filter {
        parse(query).unwrap()
    }

    fn refused(query: &str) -> (String, String) {
        let Err(Error::Invalid { errors }) = parse::<Filter>(query) else { panic!("{query} was accepted") };
        (errors[0].pointer.clone(), errors[0].code.clone().into_owned())
    }

    #[test]
    fn repeated_keys_and_maps() {
        assert_eq!(read(""), Filter::default());
        assert_eq!(read("limit=5&count=true").limit, Some(5));
        assert_eq!(read("status=A&status=B").status, ["A", "B"]);
        assert_eq!(read("status=A").status, ["A"]);
        assert_eq!(read("metadata[team]=x&metadata%5Benv%5D=y").metadata.len(), 2);
        assert_eq!(
            read("createdAfter=2026-01-01T00%3A00%3A00Z").created_after.unwrap(),
            "2026-01-01T00:00:00Z"
        );
    }

    #[test]
    fn junk_names_its_parameter() {
        assert_eq!(refused("limit=abc"), ("limit".to_owned(), "type".to_owned()));
        assert_eq!(refused("limit="), ("limit".to_owned(), "type".to_owned()));
        assert_eq!(refused("limit=1&limit=2").0, "limit");
    }
}
