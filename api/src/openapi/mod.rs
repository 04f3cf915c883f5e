//! The OpenAPI document: made from the registered handlers alone, finished in one pass, without a
//! database. It is also the server's own table of operations.

mod docs;
mod finish;
#[cfg(test)]
pub mod lint;
mod narrow;
mod operations;
mod problems;
mod tags;

use actix_web::App;
use utoipa::openapi::{
    ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Paths, ServerBuilder,
};
use utoipa_actix_web::AppExt as _;

pub use docs::configure as configure_docs;
pub use operations::{Operation, find_operation, not_found, operation_of, operations, refuse_undeclared};

const DESCRIPTION: &str = "A control plane for AI agents: define agents, tools and tasks; runs survive \
crashes; supervision, budgets and audit watch every run.

**Start**: press *Authorize* and give an API key or an access token, then try `GET /v1/whoami`.

**Errors** are `application/problem+json` (RFC 9457) with a stable `code`. **Lists** take `limit` and \
`cursor`. **Idempotency-Key** on a POST makes it safe to repeat. **If-Match** with an `ETag` protects \
a change from overwriting another.";

/// The finished document, made anew: it is large, and nobody needs it for long.
pub fn document() -> OpenApi {
    finish::finish(registered())
}

/// The document as it is committed.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn yaml() -> Result<String, service::error::Error> {
    document().to_yaml().map_err(|error| service::error::Error::internal(error.to_string()))
}

fn registered() -> OpenApi {
    let license = LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0"));
    let info = InfoBuilder::new()
        .title("Mission Control")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license.build()))
        .contact(Some(ContactBuilder::new().name(Some("Mission Control")).build()))
        .build();
    let empty = OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/").description(Some("This server")).build()]))
        .tags(Some(tags::all()))
        .paths(Paths::new())
        .build();
    App::new().into_utoipa_app().openapi(empty).configure(crate::v1::routes).split_for_parts().1
}
