//! The table of operations, read from the document: which exist, which methods a path knows and which
//! query parameters an operation declares.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use actix_web::dev::ResourceDef;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use service::error::Error;
use utoipa::Number;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::{RefOr, Schema};

use super::finish::methods_mut;
use crate::error::HttpError;

/// One registered operation.
#[derive(Clone, Debug)]
pub struct Operation {
    pub id: String,
    pub method: &'static str,
    pub path: String,
    /// Open to the world.
    pub public: bool,
    /// The permission it needs; none for an operation of every authenticated caller.
    pub permission: Option<String>,
    /// What it takes in the query, with the limits that the document states.
    query: BTreeMap<String, Limits>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    characters: Option<usize>,
    minimum: Option<i128>,
    maximum: Option<i128>,
}

/// All operations, in the order of the document.
pub fn operations() -> &'static [Operation] {
    static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(read);
    &OPERATIONS
}

fn read() -> Vec<Operation> {
    let mut paths = super::document().paths.paths;
    let mut operations = Vec::new();
    for (path, item) in &mut paths {
        for (method, operation) in methods_mut(item) {
            let permission = operation.extensions.as_ref().and_then(|all| all.get("x-permission"));
            let query = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
                RefOr::T(known) if known.parameter_in == ParameterIn::Query => {
                    Some((known.name.clone(), limits(known)))
                }
                RefOr::T(_) | RefOr::Ref(_) => None,
            });
            operations.push(Operation {
                id: operation.operation_id.clone().unwrap_or_default(),
                method,
                path: path.clone(),
                public: operation.security.as_ref().is_some_and(Vec::is_empty),
                permission: permission.and_then(|value| value.as_str()).map(str::to_owned),
                query: query.collect(),
            });
        }
    }
    operations
}

fn limits(parameter: &Parameter) -> Limits {
    let Some(RefOr::T(Schema::Object(object))) = &parameter.schema else { return Limits::default() };
    Limits {
        characters: object.max_length,
        minimum: object.minimum.as_ref().and_then(whole),
        maximum: object.maximum.as_ref().and_then(whole),
    }
}

fn whole(number: &Number) -> Option<i128> {
    match number {
        Number::Int(number) => i128::try_from(*number).ok(),
        Number::UInt(number) => i128::try_from(*number).ok(),
        Number::Float(_) => None,
    }
}

impl Limits {
    /// What is no number is refused where the parameter is read.
    fn check(self, name: &str, value: &str) -> Result<(), Error> {
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        if self.characters.is_some_and(|most| value.len() > most && value.chars().count() > most) {
            return Err(Error::invalid(name, "length", "is longer than this parameter may be"));
        }
        let Ok(number) = value.parse::<i128>() else { return Ok(()) };
        let outside = match self {
            Self { minimum: Some(least), .. } if number < least => format!("must be at least {least}"),
            Self { maximum: Some(most), .. } if number > most => format!("must be at most {most}"),
            _ => return Ok(()),
        };
        Err(Error::invalid(name, "range", outside))
    }
}

/// The operation of a request, once it was found.
#[derive(Clone, Copy)]
struct Found(Option<&'static Operation>);

/// Finds the operation of a request for all who ask later: the routes are patterns, gone through one by one.
pub fn find_operation(request: &HttpRequest) {
    let found = Found(look(request));
    request.extensions_mut().insert(found);
}

fn look(request: &HttpRequest) -> Option<&'static Operation> {
    static BY_PATH: LazyLock<HashMap<&'static str, Vec<&'static Operation>>> = LazyLock::new(|| {
        let mut by_path: HashMap<_, Vec<_>> = HashMap::new();
        for operation in operations() {
            by_path.entry(operation.path.as_str()).or_default().push(operation);
        }
        by_path
    });
    let pattern = request.match_pattern()?;
    let method = request.method().as_str();
    BY_PATH.get(pattern.as_str())?.iter().find(|operation| operation.method == method).copied()
}

fn find(request: &HttpRequest) -> Option<&'static Operation> {
    let known = request.extensions().get::<Found>().copied();
    known.map_or_else(|| look(request), |found| found.0)
}

/// A label of bounded variety for logs and metrics.
pub fn operation_of(request: &HttpRequest) -> &'static str {
    find(request).map_or("none", |operation| operation.id.as_str())
}

/// Refuses query parameters that the operation does not declare: a misspelt filter must not widen a
/// list. What is longer, smaller or greater than the document says is refused here as well.
///
/// # Errors
/// 422 naming the parameter.
pub fn refuse_undeclared(request: &HttpRequest) -> Result<(), Error> {
    let Some(operation) = find(request) else { return Ok(()) };
    for pair in request.query_string().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let end = key.find(['[', '%']).unwrap_or(key.len());
        let name = key.get(..end).unwrap_or(key);
        let Some(limits) = operation.query.get(name) else {
            let shown: String = key.chars().take(64).collect();
            return Err(Error::invalid(shown, "unknown_parameter", "is not a parameter of this operation"));
        };
        limits.check(name, value)?;
        if key.contains("%00") || value.contains("%00") {
            return Err(Error::invalid(name, "nul", "must not contain the NUL character"));
        }
    }
    Ok(())
}

/// What no route took: 405 with `Allow` when another method would have been right, else 404.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    static PATHS: LazyLock<Vec<(ResourceDef, &'static str)>> = LazyLock::new(|| {
        operations().iter().map(|known| (ResourceDef::new(known.path.as_str()), known.method)).collect()
    });
    let matching = PATHS.iter().filter(|(path, _)| path.is_match(request.match_info().as_str()));
    let allowed: BTreeSet<&str> = matching.map(|(_, method)| *method).collect();
    let allow = allowed.into_iter().collect::<Vec<_>>().join(", ");
    let error = if allow.is_empty() {
        HttpError::new("route_not_found", "No operation has this path; see /docs.")
    } else {
        HttpError::method_not_allowed(&allow)
    };
    HttpResponse::from_error(error)
}
