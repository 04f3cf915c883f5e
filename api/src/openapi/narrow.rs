//! Narrows what types shared by many operations say too widely: lists that cannot be searched or
//! filtered by metadata do not take those parameters, and metadata has its limits wherever it stands.

use service::crud::metadata::{LONGEST_NAME, LONGEST_VALUE, MOST_ENTRIES};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType};
use utoipa::openapi::{Components, RefOr, Schema, Type};

/// Lists of what has no name.
const NOT_SEARCHED: &[&str] = &[
    "list_agent_versions",
    "list_approvals",
    "list_audit_logs",
    "list_bulk_action_items",
    "list_bulk_actions",
    "list_events",
    "list_hook_deliveries",
    "list_mails",
    "list_memberships",
    "list_model_prices",
    "list_my_memberships",
    "list_notifications",
    "list_privacy_requests",
    "list_run_waits",
    "list_schedule_fires",
    "list_task_runs",
    "list_task_targets",
    "list_team_activity_logs",
    "list_team_invites",
    "list_team_members",
    "list_tenant_domains",
    "list_tenant_erasures",
    "list_users",
];

/// Lists of what has no metadata.
const NOT_LABELLED: &[&str] = &[
    "list_agent_versions",
    "list_approvals",
    "list_audit_logs",
    "list_bulk_action_items",
    "list_bulk_actions",
    "list_events",
    "list_hook_deliveries",
    "list_mails",
    "list_memberships",
    "list_model_prices",
    "list_my_memberships",
    "list_notifications",
    "list_privacy_requests",
    "list_run_waits",
    "list_schedule_fires",
    "list_task_targets",
    "list_team_activity_logs",
    "list_team_invites",
    "list_team_members",
    "list_tenant_domains",
    "list_tenant_erasures",
    "list_tenants",
    "list_users",
    "list_workers",
];

/// Lists of what has no time of its last change, or is not sorted by it.
const NOT_UPDATED: &[&str] = &[
    "list_audit_logs",
    "list_bulk_action_items",
    "list_events",
    "list_hook_deliveries",
    "list_notifications",
    "list_schedule_fires",
    "list_task_runs",
    "list_task_targets",
    "list_team_activity_logs",
];

/// In a query the brackets are around the name.
const QUERY_NAME: &str = r"^[^\[\]]+$";

pub fn parameters(operation: &mut Operation) {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    let lacks = |name: &str| match name {
        "q" => NOT_SEARCHED.contains(&id),
        "metadata" => NOT_LABELLED.contains(&id),
        _ => false,
    };
    let Some(parameters) = &mut operation.parameters else { return };
    parameters.retain(|parameter| !matches!(parameter, RefOr::T(known) if lacks(&known.name)));
    for parameter in parameters {
        let RefOr::T(known) = parameter else { continue };
        if known.name == "sort" {
            known.schema = Some(order(id).into());
        }
        if known.name == "metadata" {
            let name = text(LONGEST_NAME).min_length(Some(1)).pattern(Some(QUERY_NAME));
            let labels = ObjectBuilder::new()
                .property_names(Some(name))
                .additional_properties(Some(Schema::from(text(LONGEST_VALUE).build())))
                .max_properties(Some(service::crud::MOST_METADATA_FILTERS));
            known.schema = Some(labels.into());
        }
    }
}

/// What the list may be sorted by.
fn order(id: &str) -> ObjectBuilder {
    let mut keys = vec!["createdAt"];
    if !NOT_UPDATED.contains(&id) {
        keys.push("updatedAt");
    }
    if !NOT_SEARCHED.contains(&id) {
        keys.push("name");
    }
    let both = keys.into_iter().flat_map(|key| [key.to_owned(), format!("-{key}")]);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(both.collect::<Vec<_>>()))
        .default(Some("-createdAt".into()))
}

/// The library calls every map by the name of its Rust type, so that one would overwrite the other.
pub fn schemas(components: &mut Components) {
    components.schemas.remove(MAP);
    for (name, schema) in &mut components.schemas {
        let target = if name.starts_with("Update") { "MetadataPatch" } else { "Metadata" };
        if let RefOr::T(schema) = schema {
            point_to(schema, target);
        }
    }
    let value = || text(LONGEST_VALUE);
    let labels = "A user's own labels: text by name.";
    components.schemas.insert("Metadata".to_owned(), metadata(labels, value()));
    let nullable = value().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
    let patch = "Labels to set; null removes one.";
    components.schemas.insert("MetadataPatch".to_owned(), metadata(patch, nullable));
}

const MAP: &str = "BTreeMap";

fn point_to(schema: &mut Schema, target: &str) {
    let all = match schema {
        Schema::Object(object) => object.properties.values_mut().collect(),
        Schema::AllOf(all) => all.items.iter_mut().collect(),
        Schema::OneOf(one) => one.items.iter_mut().collect(),
        _ => Vec::new(),
    };
    for inner in all {
        match inner {
            RefOr::Ref(reference) if reference.ref_location.ends_with(MAP) => {
                reference.ref_location = format!("#/components/schemas/{target}");
            }
            RefOr::Ref(_) => {}
            RefOr::T(schema) => point_to(schema, target),
        }
    }
}

fn metadata(description: &str, value: ObjectBuilder) -> RefOr<Schema> {
    ObjectBuilder::new()
        .description(Some(description))
        .property_names(Some(text(LONGEST_NAME).min_length(Some(1))))
        .additional_properties(Some(Schema::from(value.build())))
        .max_properties(Some(MOST_ENTRIES))
        .into()
}

fn text(longest: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).max_length(Some(longest))
}
