//! Mass assignment: what is stored or shown, and not written, is refused in a body, whoever sends it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};

use super::cases;
use super::positions::{self, resolve};
use super::request::Request;
use super::rows;
use super::world::World;

/// What a caller would like to set, beside all that is shown.
const WISHED: [&str; 12] = [
    "id",
    "tenantId",
    "tenant_id",
    "createdAt",
    "updatedAt",
    "revision",
    "role",
    "platformRole",
    "balance",
    "isAdmin",
    "createdBy",
    "status",
];

on_both! {
    async fn mass_assignment_of_every_column_of_every_writable_resource(app: App) {
        let world = World::of(&app, &app.acme).await;
        let tables = rows::tables(&app).await;
        let mut stored = 0;
        let document = positions::json();
        let mut probes = Vec::new();
        let mut probed = BTreeSet::new();
        for case in cases::all() {
            let Some(body) = &case.body else { continue };
            // What a hook is sent is the sender's.
            if case.operation == "receive_hook" {
                continue;
            }
            let operation = case.of();
            let described = &document["paths"][&operation.path][operation.method.to_lowercase()];
            let writes = fields(&document, &described["requestBody"]["content"]["application/json"]["schema"]);
            assert!(!writes.is_empty(), "{}", case.operation);
            let mut unwritten: BTreeSet<String> = WISHED.map(str::to_owned).into();
            for (status, response) in described["responses"].as_object().unwrap() {
                if status.starts_with('2') {
                    unwritten.extend(fields(&document, &response["content"]["application/json"]["schema"]));
                }
            }
            if !probed.insert(case.operation) {
                continue;
            }
            if let Some(table) = table_of(case.operation, &tables) {
                unwritten.extend(tables[table].iter().map(|column| camel(column)));
                stored += 1;
            }
            let request = case.request(&world, None, true).await;
            for field in unwritten.into_iter().filter(|field| !writes.contains(field)) {
                let mut body = request.body.clone().unwrap_or_else(|| body.clone());
                body.as_object_mut().unwrap().insert(field.clone(), json!("planted"));
                let request = Request { body: Some(body), ..request.clone() };
                probes.push((case.operation, case.is_of_platform(), field, request));
            }
        }
        assert!(probes.len() > 800 && stored > 35, "{} of {stored} tables", probes.len());
        let sent = stream::iter(probes).map(|(operation, of_platform, field, request)| {
            let caller = if of_platform { &app.admin } else { &app.acme.owner };
            async move {
                let answer = request.send(caller).await;
                assert_eq!(answer.status, 422, "{operation} takes {field}: {}", answer.text);
                let errors = answer.body["errors"].as_array().unwrap();
                let named = errors.iter().any(|error| error["pointer"] == json!(format!("/{field}")) && error["code"] == "unknown_field");
                assert!(named, "{operation} {field}: {}", answer.text);
            }
        });
        sent.buffer_unordered(8).collect::<Vec<()>>().await;
    }
}

/// The table that an operation writes to, by its name; one's own account is a person's.
fn table_of<'a>(operation: &str, tables: &'a BTreeMap<String, Vec<String>>) -> Option<&'a str> {
    let named = tables.keys().filter(|table| operation.contains(table.as_str()));
    let own = operation.ends_with("_me").then_some("app_user");
    own.or_else(|| named.max_by_key(|table| table.len()).map(String::as_str))
}

/// A column's name as a field's.
fn camel(column: &str) -> String {
    let mut words = column.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

/// The names of an object's own fields.
fn fields(document: &Value, schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    positions::walk(document, resolve(document, schema), "", &mut Vec::new(), &mut |pointer, schema| {
        if pointer.is_empty() {
            found
                .extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
        }
    });
    found
}
