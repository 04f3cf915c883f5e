//! Revisions: whatever changes or deletes a resource honours `If-Match`, as its document says.

use std::collections::BTreeSet;

use super::cases;
use super::positions;
use super::world::World;

on_both! {
    async fn a_revision_that_is_not_the_current_one_changes_nothing(app: App) {
        let world = World::of(&app, &app.acme).await;
        let document = positions::json();
        let mut probed = BTreeSet::new();
        for case in cases::all() {
            let operation = case.of();
            let changes = matches!(operation.method, "PATCH" | "PUT" | "DELETE");
            let described = &document["paths"][&operation.path][operation.method.to_lowercase()];
            let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
            let told = parameters.iter().any(|parameter| parameter["name"] == "If-Match");
            assert_eq!(changes, told, "{}", operation.id);
            if !changes || !probed.insert(case.operation) {
                continue;
            }
            let request = case.request(&world, None, false).await;
            let caller = if case.is_of_platform() { &app.admin } else { &app.acme.owner };
            let late = request.send_with(caller, &[("if-match", "\"999999999\"")]).await;
            assert_eq!(late.problem(412), "revision_changed", "{}", operation.id);
            let broken = request.send_with(caller, &[("if-match", "7")]).await;
            assert_eq!(broken.status, 422, "{}: {}", operation.id, broken.text);
        }
        assert!(probed.len() > 30, "{}", probed.len());
    }
}
