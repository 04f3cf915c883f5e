//! The operator's SMTP server. What it says is reduced to a code: its words may quote what it was sent.

use std::time::Duration;

use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::{Error as SmtpError, PoolConfig};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;
use uuid::Uuid;

use crate::clock::Clock;
use crate::error::{Error, Result};

/// Mails under way to the server at once.
pub const CONNECTIONS: u32 = 4;
/// For each command.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How mails leave.
#[derive(Clone)]
pub struct MailSettings {
    /// The sender, as in `Mission Control <no-reply@example.com>`.
    pub from: String,
    /// `smtps://user:password@host` or `smtp://host?tls=required`; without it mails are kept.
    pub smtp_url: Option<SecretString>,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self { from: "Mission Control <no-reply@localhost>".to_owned(), smtp_url: None }
    }
}

pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Why the server has not taken a mail.
#[derive(Debug)]
pub struct Refusal {
    pub reason: String,
    /// Trying again does not help.
    pub is_final: bool,
}

/// A mail that is ready to go.
pub struct Outgoing<'a> {
    pub id: Uuid,
    pub recipient: &'a str,
    pub subject: &'a str,
    pub text: &'a SecretString,
}

impl Smtp {
    /// `None` when no server is configured.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the setting.
    pub fn new(settings: &MailSettings) -> Result<Option<Self>> {
        let MailSettings { from, smtp_url } = settings;
        let Some(url) = smtp_url else { return Ok(None) };
        let wrong = |name: &str| {
            let name = name.to_owned();
            move |message| Error::invalid(name, "setting", message)
        };
        let from = parse_from(from).map_err(wrong("MC_MAIL_FROM"))?;
        check_url(url).map_err(wrong("MC_SMTP_URL"))?;
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret());
        // The library's error may repeat the URL, and with it the password.
        let builder = builder.map_err(|_| wrong("MC_SMTP_URL")("is not an SMTP URL".to_owned()))?;
        let pool = PoolConfig::new().max_size(CONNECTIONS).idle_timeout(Duration::from_secs(30));
        Ok(Some(Self { transport: builder.timeout(Some(TIMEOUT)).pool_config(pool).build(), from }))
    }

    pub async fn send(&self, clock: &Clock, mail: &Outgoing<'_>) -> Result<(), Refusal> {
        let unusable = |reason: &str| Refusal { reason: reason.to_owned(), is_final: true };
        let address: Address = mail.recipient.parse().map_err(|_| unusable("ADDRESS"))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .date(clock.now().into())
            // One id however often it is sent: a server that took it twice can tell.
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.email.domain())))
            .subject(mail.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.expose_secret().to_owned())
            .map_err(|_| unusable("MESSAGE"))?;
        match tokio::time::timeout(3 * TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(refusal(&error)),
            Err(_) => Err(Refusal { reason: "TIMEOUT".to_owned(), is_final: false }),
        }
    }
}

fn refusal(error: &SmtpError) -> Refusal {
    let reason = match error.status() {
        Some(code) => format!("SMTP_{code}"),
        None if error.is_timeout() => "TIMEOUT".to_owned(),
        None if error.is_tls() => "TLS".to_owned(),
        None => "CONNECTION".to_owned(),
    };
    Refusal { reason, is_final: error.is_permanent() }
}

/// # Errors
/// A sentence that says what is wrong, without the URL.
pub fn check_url(url: &SecretString) -> Result<(), String> {
    let parsed = Url::parse(url.expose_secret()).map_err(|_| "is not a URL".to_owned())?;
    let tls = parsed.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
    let is_encrypted = match (parsed.scheme(), tls.as_deref()) {
        ("smtps", None) | ("smtp", Some("required")) => true,
        ("smtp", None) => false,
        _ => return Err("must begin with smtps://, or with smtp:// and end in ?tls=required".to_owned()),
    };
    let host = parsed.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err("names no host".to_owned());
    }
    let is_here = host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
    if !is_encrypted && !is_here {
        return Err("sends mails unencrypted: use smtps://, or add ?tls=required".to_owned());
    }
    Ok(())
}

/// # Errors
/// A sentence that says what is wrong.
pub fn check_from(from: &str) -> Result<(), String> {
    parse_from(from).map(|_| ())
}

fn parse_from(from: &str) -> Result<Mailbox, String> {
    from.parse().map_err(|_| "must be a sender such as `Mission Control <no-reply@example.com>`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_leave_encrypted_or_stay_on_this_machine() {
        let fits = |url: &str| check_url(&SecretString::from(url)).is_ok();
        for good in
            ["smtps://u:p@mail.example.com", "smtp://mail.example.com?tls=required", "smtp://127.0.0.1:1025"]
        {
            assert!(fits(good), "{good}");
        }
        for bad in [
            "",
            "mail.example.com",
            "smtp://mail.example.com",
            "smtp://10.0.0.1",
            "smtp://mail.example.com?tls=opportunistic",
            "https://mail.example.com",
            "smtps:///",
        ] {
            assert!(!fits(bad), "{bad}");
        }
    }

    #[test]
    fn senders_are_addresses() {
        assert!(check_from("Mission Control <no-reply@example.com>").is_ok());
        assert!(check_from("no-reply@example.com").is_ok());
        for bad in ["", "example.com", "a@b\r\nBcc: c@d"] {
            assert!(check_from(bad).is_err(), "{bad}");
        }
    }
}
