//! Security headers. Swagger UI may load its own files; nothing else may load anything.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

const STRICT: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const DOCS: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                    frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The page of an approval's link is one form.
const FORM: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; \
                    form-action 'self'";

pub fn secure(path: &str, headers: &mut HeaderMap) {
    let policy = match path {
        path if path == "/docs" || path.starts_with("/docs/") => DOCS,
        path if path.starts_with("/v1/approval-links/") => FORM,
        _ => STRICT,
    };
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
