//! What there is to tell, and its words: the same in the list, the stream and the mail.

use chrono::{DateTime, SecondsFormat, Utc};
use entity::identity::membership::Role;
use entity::notifications::notification::{NotificationType, Severity};
use serde_json::{Value, json};
use uuid::Uuid;

use NotificationType::{
    ApprovalRequested, EmailChanged, EmergencyStop, InviteReceived, KeyCreated, KeyExpiring, NewDevice,
    PasswordChanged, SecondFactorChanged, TenantClosing, TenantSuspended,
};

/// Something to tell one person or several.
#[derive(Clone, Debug)]
pub struct Notice {
    pub(super) kind: NotificationType,
    /// The tenant it is of; none for the person's own account.
    pub(super) tenant: Option<Uuid>,
    pub(super) resource: Option<(&'static str, Uuid)>,
    pub(super) data: Value,
}

impl Notice {
    fn of_tenant(kind: NotificationType, tenant: Uuid, data: Value) -> Self {
        Self { kind, tenant: Some(tenant), resource: Some(("tenant", tenant)), data }
    }

    pub fn tenant_suspended(tenant: Uuid, name: &str, reason: Option<&str>) -> Self {
        Self::of_tenant(TenantSuspended, tenant, json!({ "name": name, "reason": reason }))
    }

    pub fn tenant_closing(tenant: Uuid, name: &str, erase_at: DateTime<Utc>) -> Self {
        Self::of_tenant(TenantClosing, tenant, json!({ "name": name, "eraseAt": to_second(erase_at) }))
    }

    pub fn emergency_stop(tenant: Uuid, name: &str, reason: Option<&str>) -> Self {
        Self::of_tenant(EmergencyStop, tenant, json!({ "name": name, "reason": reason }))
    }

    fn of_account(kind: NotificationType, data: Value) -> Self {
        Self { kind, tenant: None, resource: None, data }
    }

    /// To a person who has an account and is no member yet: it is of their account, because they see no
    /// more of the tenant than its name.
    pub fn invite_received(tenant: &str, inviter: Option<&str>, role: Role) -> Self {
        Self::of_account(InviteReceived, json!({ "tenant": tenant, "inviter": inviter, "role": role }))
    }

    pub fn approval_requested(
        tenant: Uuid,
        approval: Uuid,
        tool: Option<&str>,
        expires: DateTime<Utc>,
    ) -> Self {
        let data = json!({ "tool": tool, "expiresAt": to_second(expires) });
        Self { kind: ApprovalRequested, tenant: Some(tenant), resource: Some(("approval", approval)), data }
    }

    pub fn key_expiring(tenant: Uuid, key: Uuid, name: &str, expires: DateTime<Utc>) -> Self {
        let data = json!({ "name": name, "expiresAt": to_second(expires) });
        Self { kind: KeyExpiring, tenant: Some(tenant), resource: Some(("api-key", key)), data }
    }

    pub fn key_created(tenant: Uuid, key: Uuid, name: &str) -> Self {
        let data = json!({ "name": name });
        Self { kind: KeyCreated, tenant: Some(tenant), resource: Some(("api-key", key)), data }
    }

    pub fn new_device(device: Option<&str>, ip: Option<&str>) -> Self {
        Self::of_account(NewDevice, json!({ "device": device, "ip": ip }))
    }

    pub fn password_changed() -> Self {
        Self::of_account(PasswordChanged, json!({}))
    }

    pub fn email_changed() -> Self {
        Self::of_account(EmailChanged, json!({}))
    }

    /// A second factor was set up, or taken away.
    pub fn second_factor_changed(is_on: bool) -> Self {
        Self::of_account(SecondFactorChanged, json!({ "isOn": is_on }))
    }
}

fn to_second(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub fn severity(kind: NotificationType) -> Severity {
    match kind {
        InviteReceived | KeyCreated => Severity::Info,
        ApprovalRequested | KeyExpiring | NewDevice | PasswordChanged | EmailChanged
        | SecondFactorChanged | TenantSuspended => Severity::Warning,
        TenantClosing | EmergencyStop => Severity::Critical,
    }
}

/// Notices of the safety of an account, or of all that a tenant has, cannot be turned off or put off.
pub fn is_fixed(kind: NotificationType) -> bool {
    match kind {
        KeyCreated | NewDevice | PasswordChanged | EmailChanged | SecondFactorChanged | TenantClosing => true,
        InviteReceived | ApprovalRequested | KeyExpiring | TenantSuspended | EmergencyStop => false,
    }
}

/// What has a mail of its own, written where it happens.
pub fn has_own_mail(kind: NotificationType) -> bool {
    matches!(kind, InviteReceived | PasswordChanged | EmailChanged | SecondFactorChanged)
}

/// A line, and what there is to say beside it.
pub fn words(kind: NotificationType, data: &Value) -> (String, String) {
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let name = || text("name").unwrap_or("?");
    let expiry = || text("expiresAt").unwrap_or("soon");
    let not_you = "If it was not you, choose a new password and look at your devices and keys.";
    let (title, rest) = match kind {
        InviteReceived => {
            let tenant = text("tenant").unwrap_or("a tenant");
            let inviter = text("inviter").unwrap_or("Somebody");
            let role = text("role").unwrap_or("member").to_lowercase();
            (
                format!("Invitation to “{tenant}”"),
                format!("{inviter} invites you as {role}. The mail to you has the link."),
            )
        }
        ApprovalRequested => {
            let title = match text("tool") {
                Some(tool) => format!("A run asks whether it may call “{tool}”"),
                None => "A run waits for a decision".to_owned(),
            };
            (title, format!("Decide until {}.", expiry()))
        }
        KeyExpiring => (
            format!("The API key “{}” expires", name()),
            format!("It stops working at {}. Make a new one before, and revoke this one.", expiry()),
        ),
        KeyCreated => (
            format!("The API key “{}” was made in your name", name()),
            format!("It can do no more than you. {not_you}"),
        ),
        NewDevice => {
            let device = text("device").unwrap_or("an unknown device");
            let from = text("ip").map(|ip| format!(" at {ip}")).unwrap_or_default();
            ("New sign-in to your account".to_owned(), format!("From {device}{from}. {not_you}"))
        }
        PasswordChanged => {
            ("Your password was changed".to_owned(), "Your other devices were signed out.".to_owned())
        }
        EmailChanged => (
            "Your e-mail address was changed".to_owned(),
            "If it was not you, tell your administrator at once.".to_owned(),
        ),
        SecondFactorChanged => {
            let is_on = data.get("isOn").and_then(Value::as_bool).unwrap_or_default();
            let done = if is_on { "set up" } else { "taken away" };
            (format!("A second factor was {done}"), not_you.to_owned())
        }
        TenantSuspended => (
            format!("“{}” was suspended", name()),
            format!("It can be read; nothing new starts.{}", because(text("reason"))),
        ),
        TenantClosing => (
            format!("“{}” was closed", name()),
            format!(
                "Everything in it is erased from {} on. Until then an owner can reopen it.",
                text("eraseAt").unwrap_or("soon")
            ),
        ),
        EmergencyStop => (
            format!("Emergency stop of “{}”", name()),
            format!("Every agent is paused until the stop is released.{}", because(text("reason"))),
        ),
    };
    (title, rest)
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(" Reason: {reason}")).unwrap_or_default()
}
