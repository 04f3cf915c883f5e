//! The role matrix: each operation with every role, credential and scope, and what the one table of
//! permissions says about it. What acts on a resource beside its own verbs (retry, replay, invoke,
//! test, diff, activate) stands in it like any other operation.

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use service::auth::permissions::{self, Needs, PermissionRow};

use super::cases::{self, Case, Takes};
use super::request::Request;
use super::world::World;
use crate::support::{Answer, App, Client, people};

/// Cases under way at once.
const AT_ONCE: usize = 8;
/// In the order of their power.
const ROLES: [&str; 5] = ["VIEWER", "OPERATOR", "MANAGER", "ADMIN", "OWNER"];
/// Open to the world; the document must agree.
const PUBLIC: [&str; 23] = [
    "accept_invite",
    "complete_sign_in",
    "confirm_email_change",
    "decide_by_link",
    "decline_invite",
    "finish_oidc_sign_in",
    "get_approval_link",
    "get_jwks",
    "get_livez",
    "get_metrics",
    "get_readyz",
    "list_oidc_providers",
    "log_in",
    "log_out",
    "preview_invite",
    "receive_hook",
    "refresh_session",
    "request_magic_link",
    "request_password_reset",
    "reset_password",
    "sign_in_by_magic_link",
    "start_oidc_sign_in",
    "verify_email",
];
const AUTHENTICATED: &str = "authenticated";

#[test]
fn every_operation_is_public_or_has_a_permission_of_the_table() {
    for operation in api::openapi::operations() {
        assert_eq!(operation.public, PUBLIC.contains(&operation.id.as_str()), "{}", operation.id);
        match operation.permission.as_deref() {
            None => assert!(operation.public, "{}", operation.id),
            Some(AUTHENTICATED) => {}
            Some(name) => assert!(permissions::find(name).is_some(), "{}: {name}", operation.id),
        }
        assert!(
            cases::all().iter().any(|case| case.operation == operation.id),
            "no case for {}",
            operation.id
        );
    }
    for row in permissions::ALL {
        let mut operations = api::openapi::operations().iter();
        let is_used = operations.any(|operation| operation.permission.as_deref() == Some(row.name));
        assert!(is_used, "{} is needed by no operation", row.name);
    }
}

/// One who calls, and what they hold.
struct Caller {
    client: Client,
    name: String,
    holds: Holds,
}

#[derive(Clone, Copy)]
enum Holds {
    Role(usize),
    Platform,
    /// A key of an owner with this scope alone.
    Scope(&'static PermissionRow),
    /// A valid key of the other tenant.
    Elsewhere,
    /// No credential, or one that is refused.
    Nothing,
}

on_both! {
    async fn every_cell_of_the_table(app: App) {
        let world = World::of(&app, &app.acme).await;
        let callers = callers(&app).await;
        let cases = cases::all();
        assert!(callers.len() > permissions::ALL.len() + ROLES.len());
        let cells = stream::iter(&cases).map(|case| {
            let (world, callers) = (&world, &callers);
            async move {
                for caller in callers {
                    check(world, case, caller).await;
                }
            }
        });
        cells.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }
}

async fn callers(app: &App) -> Vec<Caller> {
    let mut callers = vec![
        Caller { client: app.anyone(), name: "nobody".to_owned(), holds: Holds::Nothing },
        Caller { client: app.admin.clone(), name: "platform admin".to_owned(), holds: Holds::Platform },
        Caller { client: revoked(app).await, name: "revoked key".to_owned(), holds: Holds::Nothing },
        Caller {
            client: app.rival.key(app, &["*"]).await,
            name: "other's key".to_owned(),
            holds: Holds::Elsewhere,
        },
    ];
    let members = ROLES.iter().enumerate().map(|(rank, role)| async move {
        Caller { client: member(app, role).await, name: (*role).to_owned(), holds: Holds::Role(rank) }
    });
    callers.extend(join_all(members).await);
    for row in permissions::ALL {
        let maker = if row.needs == Needs::PlatformAdmin { &app.admin } else { &app.acme.owner };
        let made =
            maker.post("/v1/api-keys", json!({ "name": row.name, "scopes": [row.name] })).await.expect(201);
        let client = app.anyone().with_key(made["key"].as_str().unwrap());
        callers.push(Caller { client, name: format!("key for {}", row.name), holds: Holds::Scope(row) });
    }
    callers
}

/// A person who accepted an invitation by signing in, and proved their address.
async fn member(app: &App, role: &str) -> Client {
    let email = format!("member-{}@acme.example.com", role.to_lowercase());
    people::verified(app, &app.acme.owner, &email, role).await
}

async fn revoked(app: &App) -> Client {
    let made =
        app.acme.owner.post("/v1/api-keys", json!({ "name": "old", "scopes": ["*"] })).await.expect(201);
    app.acme.owner.delete(&format!("/v1/api-keys/{}", made["id"].as_str().unwrap())).await;
    app.anyone().with_key(made["key"].as_str().unwrap())
}

/// What the table says of one cell.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Success,
    /// With this status and code.
    Refused(u16, &'static str),
    /// 403 that names the permission.
    Missing(&'static PermissionRow),
    /// The caller may, and what is asked is refused.
    Void,
}

fn expected(case: &Case, holds: Holds) -> Option<Expected> {
    let operation = case.of();
    if operation.public {
        return matches!(holds, Holds::Nothing).then_some(Expected::Success);
    }
    let name = operation.permission.as_deref().unwrap();
    let is_key = matches!(holds, Holds::Scope(_) | Holds::Elsewhere);
    let may = match (permissions::find(name), holds) {
        (_, Holds::Nothing) => return Some(Expected::Refused(401, "")),
        (None, Holds::Elsewhere | Holds::Platform) => return None,
        (None, _) => {
            let own =
                ["accept_my_membership", "end_my_session", "unlink_my_account", "mark_notification_read"]
                    .contains(&case.operation);
            let others = matches!(holds, Holds::Role(_)) && own;
            return Some(match case.takes {
                Takes::Person | Takes::Nothing if is_key => Expected::Refused(403, "person_only"),
                _ if others => Expected::Refused(404, "not_found"),
                Takes::Nothing => Expected::Void,
                _ => Expected::Success,
            });
        }
        (Some(row), Holds::Role(rank)) => match row.needs {
            Needs::Role(needed) => needed as usize <= rank,
            Needs::PlatformAdmin => false,
        },
        (Some(row), Holds::Platform) => match row.needs {
            Needs::PlatformAdmin => true,
            Needs::Role(_) => return None,
        },
        (Some(row), Holds::Scope(scope)) => row.name == scope.name,
        (Some(row), Holds::Elsewhere) => {
            let named = case.places().iter().any(|place| place.position.starts_with("path:"));
            return match row.needs {
                Needs::PlatformAdmin => Some(Expected::Missing(row)),
                Needs::Role(_) if case.takes == Takes::Nothing => Some(Expected::Void),
                Needs::Role(_) => named.then_some(Expected::Refused(404, "not_found")),
            };
        }
    };
    let row = permissions::find(name).unwrap();
    Some(match case.takes {
        _ if !may => Expected::Missing(row),
        Takes::Cover if is_key => Expected::Refused(403, "role_above_own"),
        Takes::Person | Takes::ReachInPerson if is_key => Expected::Refused(403, "person_only"),
        Takes::Grant if is_key => Expected::Void,
        Takes::Reach | Takes::ReachInPerson if matches!(holds, Holds::Role(rank) if rank + 1 < ROLES.len()) => {
            Expected::Refused(403, "role_above_own")
        }
        Takes::Nothing => Expected::Void,
        _ => Expected::Success,
    })
}

async fn check(world: &World<'_>, case: &Case, caller: &Caller) {
    let Some(expected) = expected(case, caller.holds) else { return };
    let request = case.request(world, None, expected != Expected::Success).await;
    // A page that was begun by another caller is that caller's to go on with where it spans tenants.
    let query = if case.is_list() && !case.places().iter().any(|place| place.position.ends_with("Id")) {
        Vec::new()
    } else {
        request.query.clone()
    };
    let answer = Request { query, ..request }.send(&caller.client).await;
    let cell = format!("{} by {}: {} {}", case.operation, caller.name, answer.status, answer.text);
    assert!(fits(&expected, &answer), "{expected:?}, not {cell}");
}

fn fits(expected: &Expected, answer: &Answer) -> bool {
    let code = answer.body["code"].as_str().unwrap_or_default();
    match expected {
        Expected::Success => (200..300).contains(&answer.status),
        Expected::Void => matches!(answer.status, 404 | 409 | 422),
        Expected::Refused(status, wanted) => {
            answer.status == *status && (wanted.is_empty() || code == *wanted)
        }
        Expected::Missing(row) => {
            answer.status == 403
                && code == "permission_missing"
                && answer.body["detail"].as_str().unwrap().contains(row.name)
        }
    }
}
