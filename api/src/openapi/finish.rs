//! The pass that adds to each operation what all of its kind have, so that a handler declares only
//! what is its own: its success, its permission, and refusals that others do not have.

use serde_json::json;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::ObjectBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, OpenApi, Ref, RefOr, Required, Type};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::{narrow, problems};
use crate::error::Problem;

const BEARER: &str = "bearerAuth";
const API_KEY: &str = "apiKey";
/// Takes no `Idempotency-Key`: nobody is left who could ask again.
const LAST: &str = "delete_me";

pub fn finish(mut document: OpenApi) -> OpenApi {
    add_components(document.components.get_or_insert_default());
    for (path, item) in &mut document.paths.paths {
        let has_id = path.contains('{');
        for (method, operation) in methods_mut(item) {
            complete(operation, method, has_id);
        }
    }
    document
}

/// The operations of a path with their methods.
pub fn methods_mut(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [("GET", get), ("PUT", put), ("POST", post), ("PATCH", patch), ("DELETE", delete)]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn add_components(components: &mut Components) {
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let mut nested = Vec::new();
    Problem::schemas(&mut nested);
    components.schemas.extend(nested);
    narrow::schemas(components);
    components.responses.extend(problems::components());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("An access token of `POST /v1/auth/login`, or an API key."))
        .build();
    let key = ApiKey::Header(ApiKeyValue::with_description("X-API-Key", "An API key: `mc_live_…`."));
    components.security_schemes.insert(BEARER.to_owned(), SecurityScheme::Http(bearer).into());
    components.security_schemes.insert(API_KEY.to_owned(), SecurityScheme::ApiKey(key).into());
}

/// An operation is public when its handler says `security(())`.
fn is_public(operation: &Operation) -> bool {
    operation.security.as_ref().is_some_and(|all| all.contains(&SecurityRequirement::default()))
}

fn complete(operation: &mut Operation, method: &str, has_id: bool) {
    let public = is_public(operation);
    let requirement = |name| SecurityRequirement::new::<_, [String; 0], String>(name, []);
    operation.security =
        Some(if public { Vec::new() } else { vec![requirement(BEARER), requirement(API_KEY)] });
    narrow::parameters(operation);
    describe_parameters(operation);
    let acts = method == "POST" && !public;
    let checks_revision = matches!(method, "PATCH" | "PUT" | "DELETE");
    if acts && operation.operation_id.as_deref() != Some(LAST) {
        add_parameter(operation, idempotency_key());
    }
    if checks_revision {
        add_parameter(operation, if_match());
    }
    let has_body = operation.request_body.is_some();
    for (name, status, ..) in problems::SHARED {
        let applies = match status {
            // Signing in is public, and refused like this too.
            401 | 403 => !public || has_body,
            404 => has_id,
            408 | 413 | 415 => has_body,
            409 => acts || checks_revision,
            412 => checks_revision,
            // 422 also where no parameter is declared: the guard refuses those that are not.
            _ => true,
        };
        if applies {
            let response = RefOr::Ref(Ref::from_response_name(*name));
            operation.responses.responses.entry(status.to_string()).or_insert(response);
        }
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            let header = || problems::request_id().into();
            response.headers.entry("X-Request-Id".to_owned()).or_insert_with(header);
        }
    }
}

fn add_parameter(operation: &mut Operation, parameter: Parameter) {
    let parameters = operation.parameters.get_or_insert_default();
    let is_same = |known: &RefOr<Parameter>| match known {
        RefOr::T(known) => known.name.eq_ignore_ascii_case(&parameter.name),
        RefOr::Ref(_) => false,
    };
    if !parameters.iter().any(is_same) {
        parameters.push(parameter.into());
    }
}

/// What a parameter's name says already needs no words in each handler.
fn describe_parameters(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        let name = &parameter.name;
        let text = match parameter.parameter_in {
            ParameterIn::Path if name == "id" => "The id of the resource.".to_owned(),
            ParameterIn::Path => format!("The `{name}` of the resource."),
            ParameterIn::Query => format!("Only what has this `{name}`."),
            ParameterIn::QueryString | ParameterIn::Header | ParameterIn::Cookie => continue,
        };
        parameter.description.get_or_insert(text);
    }
}

fn idempotency_key() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some("^[!-~]+$"))
        .build();
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes the request safe to repeat: the same key and body give the first answer again for \
             7 days; another body is 422.",
        ))
        .schema(Some(schema))
        .example(Some(json!("order-4711")))
        .build()
}

fn if_match() -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(r#"^(\*|"[!#-~]*")$"#)).build();
    ParameterBuilder::new()
        .name("If-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The `ETag` of the revision to change; 412 when it is not the current one."))
        .schema(Some(schema))
        .example(Some(json!("*")))
        .build()
}
