//! The texts of mails: plain, short, and without anything that others wrote beside a few names, which
//! are stripped of what a mail program would make a link of.
//!
//! Invariant: every link begins with the configured public address, and a token stands behind `#`, which
//! browsers send to no server.

use entity::identity::membership::Role;
use entity::notifications::mail::MailKind;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

const LONGEST_NAME: usize = 80;

/// What a mail says.
pub enum Letter<'a> {
    VerifyEmail {
        token: &'a SecretString,
        hours: u32,
    },
    ResetPassword {
        token: &'a SecretString,
        minutes: u32,
    },
    MagicLink {
        token: &'a SecretString,
        minutes: u32,
    },
    ChangeEmail {
        token: &'a SecretString,
        hours: u32,
    },
    /// To an address that somebody else's account should get, and that has an account already.
    AddressInUse,
    TeamInvite {
        token: &'a SecretString,
        tenant: &'a str,
        inviter: Option<&'a str>,
        role: Role,
        days: u32,
    },
    PasswordChanged,
    /// To the old address.
    EmailChanged,
    AccountDeleted,
    SecondFactorEnabled,
    SecondFactorDisabled,
    AccountLinked {
        provider: &'a str,
    },
    AccountUnlinked {
        provider: &'a str,
    },
    /// By an administrator of the platform.
    AccountDeactivated,
    AccountReactivated,
    /// A notification, in its own words.
    Notice {
        title: &'a str,
        text: &'a str,
        is_security: bool,
    },
    /// Several, a line each.
    Digest {
        lines: &'a [Line],
    },
}

/// A line of a digest.
pub struct Line {
    pub text: String,
    /// Of ours: where to go from here.
    pub link: Option<String>,
}

impl Letter<'_> {
    pub fn kind(&self) -> MailKind {
        match self {
            Self::VerifyEmail { .. } => MailKind::VerifyEmail,
            Self::ResetPassword { .. } => MailKind::ResetPassword,
            Self::MagicLink { .. } => MailKind::MagicLink,
            Self::ChangeEmail { .. } | Self::AddressInUse => MailKind::ChangeEmail,
            Self::TeamInvite { .. } => MailKind::TeamInvite,
            Self::PasswordChanged
            | Self::EmailChanged
            | Self::AccountDeleted
            | Self::SecondFactorEnabled
            | Self::SecondFactorDisabled
            | Self::AccountLinked { .. }
            | Self::AccountUnlinked { .. }
            | Self::AccountDeactivated
            | Self::AccountReactivated
            | Self::Notice { is_security: true, .. } => MailKind::SecurityNotice,
            Self::Notice { is_security: false, .. } | Self::Digest { .. } => MailKind::Notification,
        }
    }

    pub fn subject(&self) -> String {
        match self {
            Self::VerifyEmail { .. } => "Confirm your e-mail address".to_owned(),
            Self::ResetPassword { .. } => "Choose a new password".to_owned(),
            Self::MagicLink { .. } => "Your link to sign in".to_owned(),
            Self::ChangeEmail { .. } | Self::AddressInUse => "Your new e-mail address".to_owned(),
            Self::TeamInvite { tenant, .. } => format!("Invitation to {}", plain(tenant)),
            Self::PasswordChanged => "Your password was changed".to_owned(),
            Self::EmailChanged => "Your e-mail address was changed".to_owned(),
            Self::AccountDeleted => "Your account was deleted".to_owned(),
            Self::SecondFactorEnabled => "Your account has a second factor".to_owned(),
            Self::SecondFactorDisabled => "Your account has no second factor any more".to_owned(),
            Self::AccountLinked { .. } => "Your account has another way to sign in".to_owned(),
            Self::AccountUnlinked { .. } => "Your account has one way less to sign in".to_owned(),
            Self::AccountDeactivated => "Your account was deactivated".to_owned(),
            Self::AccountReactivated => "Your account is active again".to_owned(),
            Self::Notice { title, .. } => plain(title),
            Self::Digest { lines } => match lines.len() {
                1 => "A notification for you".to_owned(),
                _ => "Notifications for you".to_owned(),
            },
        }
    }

    /// `base` is the public address.
    pub fn text(&self, base: &Url) -> SecretString {
        let text = match self {
            Self::VerifyEmail { token, hours } => format!(
                "Please confirm that this address is yours, and choose a password of your own:\n\n{}\n\n\
                 The link works once, within {hours} hours. If you do not know what this is about, do nothing.",
                link(base, "verify-email", token)
            ),
            Self::ResetPassword { token, minutes } => format!(
                "Somebody, hopefully you, asked for a new password. Choose one here:\n\n{}\n\n\
                 The link works once, within {minutes} minutes. If it was not you, do nothing: your password \
                 stays as it is.",
                link(base, "reset-password", token)
            ),
            Self::MagicLink { token, minutes } => format!(
                "Sign in with this link:\n\n{}\n\n\
                 It works once, within {minutes} minutes. If you did not ask for it, do nothing, and give it \
                 to nobody.",
                link(base, "magic-link", token)
            ),
            Self::ChangeEmail { token, hours } => format!(
                "Please confirm that this shall be the new address of your account:\n\n{}\n\n\
                 The link works once, within {hours} hours. If you did not ask for it, do nothing.",
                link(base, "change-email", token)
            ),
            Self::AddressInUse => {
                "Somebody, hopefully you, asked to use this address for an account. It has \
                 an account of its own already, so nothing was changed."
                    .to_owned()
            }
            Self::TeamInvite { token, tenant, inviter, role, days } => format!(
                "{} invites you to join \"{}\" as {}.\n\nAccept or decline here:\n\n{}\n\n\
                 The invitation is for this address only and ends in {days} days.",
                inviter.map_or_else(|| "Somebody".to_owned(), |name| format!("\"{}\"", plain(name))),
                plain(tenant),
                role_name(*role),
                link(base, "invite", token)
            ),
            Self::PasswordChanged => format!(
                "The password of your account was changed, and your other devices were signed out.\n\n\
                 If it was not you, choose a new one at once:\n\n{}",
                page(base, "forgot-password")
            ),
            Self::EmailChanged => {
                "Your account now has another e-mail address. If it was not you, tell your \
                 administrator at once."
                    .to_owned()
            }
            Self::AccountDeactivated => {
                "An administrator deactivated your account: you were signed out everywhere, and your API keys \
                 no longer work. If this is a mistake, tell your administrator."
                    .to_owned()
            }
            Self::AccountReactivated => {
                "An administrator reactivated your account: you can sign in again. API keys that had ended \
                 stay so."
                    .to_owned()
            }
            Self::AccountDeleted => {
                "Your account was deleted as you asked. Thank you for having been here.".to_owned()
            }
            Self::SecondFactorEnabled => {
                "From now on signing in takes a code of your authenticator as well. Keep the recovery codes \
                 where you find them without it. If it was not you, tell your administrator at once."
                    .to_owned()
            }
            Self::SecondFactorDisabled => format!(
                "Signing in takes no code any more.\n\nIf it was not you, choose a new password at once:\n\n{}",
                page(base, "forgot-password")
            ),
            Self::AccountLinked { provider } => format!(
                "An account of {} now signs in as you. If it was not you, unlink it and choose a new \
                 password at once:\n\n{}",
                plain(provider),
                page(base, "forgot-password")
            ),
            Self::AccountUnlinked { provider } => format!(
                "An account of {} does not sign in as you any more. If it was not you, choose a new password \
                 at once:\n\n{}",
                plain(provider),
                page(base, "forgot-password")
            ),
            Self::Notice { title, text, .. } => format!("{}.\n\n{}", linkless(title), linkless(text)),
            Self::Digest { lines } => {
                let lines: Vec<String> = lines.iter().map(item).collect();
                lines.join("\n\n")
            }
        };
        SecretString::from(format!("Hello,\n\n{text}\n\nMission Control\n{base}\n"))
    }
}

fn item(line: &Line) -> String {
    let link = line.link.as_ref().map(|link| format!("\n  {link}")).unwrap_or_default();
    format!("- {}{link}", linkless(&line.text))
}

fn page(base: &Url, name: &str) -> String {
    format!("{}/{name}", base.as_str().trim_end_matches('/'))
}

fn link(base: &Url, name: &str, token: &SecretString) -> String {
    format!("{}#token={}", page(base, name), token.expose_secret())
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Manager => "manager",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

/// A name that no mail program takes for a link, in one line.
fn plain(name: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || "-'&,()".contains(c) { c } else { ' ' };
    let words: String = name.chars().take(LONGEST_NAME).map(keep).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A sentence with names in it that others chose: no mail program finds an address in it.
fn linkless(text: &str) -> String {
    let keep = |c: char| if c.is_control() || "/@<>\\".contains(c) { ' ' } else { c };
    let text: String = text.chars().map(keep).collect();
    let words =
        text.split_whitespace().map(|word| match word.trim_end_matches(['.', ',', '”']).contains('.') {
            true => word.replace('.', " "),
            false => word.to_owned(),
        });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_make_no_links_and_no_headers() {
        for (name, shown) in [
            ("Ada Lovelace", "Ada Lovelace"),
            ("Win at https://evil.example/x", "Win at https evil example x"),
            ("a\r\nBcc: b@example.org", "a Bcc b example org"),
            ("Müller & Söhne (Bonn)", "Müller & Söhne (Bonn)"),
            ("<b>", "b"),
        ] {
            assert_eq!(plain(name), shown);
        }
        assert!(plain(&"x".repeat(500)).len() <= LONGEST_NAME);
    }

    #[test]
    fn sentences_make_no_links() {
        for (text, shown) in [
            ("The API key “a” expires. Make one.", "The API key “a” expires. Make one."),
            ("“https://evil.example/x”", "“https: evil example x”"),
            ("see evil.example.", "see evil example "),
            ("a@evil.example", "a evil example"),
            ("at 2026-01-01T00:00:00Z.\nBcc: b", "at 2026-01-01T00:00:00Z. Bcc: b"),
        ] {
            assert_eq!(linkless(text), shown);
        }
    }

    #[test]
    fn links_begin_with_the_public_address() {
        let token = SecretString::from("mc_vt_secret");
        for base in ["https://console.example.com", "https://console.example.com/app/"] {
            let base: Url = base.parse().unwrap();
            let text = Letter::ResetPassword { token: &token, minutes: 30 }.text(&base);
            let expected =
                format!("{}/reset-password#token=mc_vt_secret\n", base.as_str().trim_end_matches('/'));
            assert!(text.expose_secret().contains(&expected));
        }
    }
}
