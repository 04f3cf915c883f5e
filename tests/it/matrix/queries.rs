//! Limits of query parameters, generated from the document: what it states is what is refused.

use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use uuid::Uuid;

use super::positions::{self, resolve};

on_both! {
    async fn what_the_document_excludes_is_refused(app: App) {
        let document = positions::json();
        let mut probes = Vec::new();
        for operation in api::openapi::operations() {
            let described = &document["paths"][&operation.path][operation.method.to_lowercase()];
            for parameter in described["parameters"].as_array().into_iter().flatten() {
                let (name, schema) = (parameter["name"].as_str().unwrap(), resolve(&document, &parameter["schema"]));
                if parameter["in"] != "query" {
                    continue;
                }
                for outside in [schema["minimum"].as_i64().map(|least| least - 1), schema["maximum"].as_i64().map(|most| most + 1)] {
                    let Some(outside) = outside else { continue };
                    let encoded: String = outside.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
                    probes.extend([outside.to_string(), encoded].map(|value| (operation, name, value, "range")));
                }
                if let Some(most) = schema["maxLength"].as_u64() {
                    probes.push((operation, name, "x".repeat(most as usize + 1), "length"));
                }
            }
        }
        assert!(probes.len() > 100, "{}", probes.len());
        let sent = stream::iter(probes).map(|(operation, name, value, code)| {
            let caller = if operation.permission.as_deref().is_some_and(|needed| needed.starts_with("platform")) { &app.admin } else { &app.acme.owner };
            async move {
                let path = operation.path.split('/').map(|part| match part.starts_with('{') {
                    true => Uuid::nil().to_string(),
                    false => part.to_owned(),
                });
                let path = path.collect::<Vec<_>>().join("/");
                let answer = caller.send(caller.request(operation.method, &format!("{path}?{name}={value}"))).await;
                assert_eq!(answer.status, 422, "{} {name}={value}: {}", operation.id, answer.text);
                assert_eq!(answer.body["errors"][0]["code"], json!(code), "{} {name}={value}: {}", operation.id, answer.text);
                assert_eq!(answer.body["errors"][0]["pointer"], json!(name), "{}: {}", operation.id, answer.text);
            }
        });
        sent.buffer_unordered(8).collect::<Vec<()>>().await;
    }
}
