//! Which domains a tenant may claim. The proof is what protects others: nobody puts a record under a
//! registry's suffix or a mail provider's domain. Refusing the common ones only says so sooner.

use crate::error::{Error, Result};

/// Where anybody gets an address.
const FREE_MAIL: [&str; 42] = [
    "126.com",
    "163.com",
    "aol.com",
    "daum.net",
    "duck.com",
    "fastmail.com",
    "free.fr",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hey.com",
    "hotmail.co.uk",
    "hotmail.com",
    "hotmail.fr",
    "icloud.com",
    "laposte.net",
    "libero.it",
    "live.com",
    "mac.com",
    "mail.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "naver.com",
    "orange.fr",
    "outlook.com",
    "pm.me",
    "posteo.de",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "t-online.de",
    "tutanota.com",
    "web.de",
    "yahoo.co.uk",
    "yahoo.com",
    "yandex.ru",
    "zoho.com",
];
/// The second level under which registries of countries register.
const REGISTERED_UNDER: [&str; 11] =
    ["ac", "co", "com", "edu", "gob", "gov", "mil", "ne", "net", "or", "org"];

/// The domain in lower case and Punycode.
///
/// # Errors
/// 422 at `/domain`.
pub fn own(text: &str) -> Result<String> {
    let refuse = |code, message| Err(Error::invalid("/domain", code, message));
    let domain = match url::Host::parse(text) {
        Ok(url::Host::Domain(name)) if name.contains('.') && !name.ends_with('.') && is_plain(&name) => name,
        _ => return refuse("domain", "must be a host name such as example.org"),
    };
    if FREE_MAIL.contains(&domain.as_str()) {
        return refuse("free_mail", "anybody gets an address there: claim a domain of your own");
    }
    match domain.split('.').collect::<Vec<_>>().as_slice() {
        [second, country] if country.len() == 2 && REGISTERED_UNDER.contains(second) => {
            refuse("public_suffix", "anybody registers names under it: claim a domain of your own")
        }
        _ => Ok(domain),
    }
}

fn is_plain(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= 200 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_of_ones_own() {
        for (text, expected) in [
            ("Example.ORG", "example.org"),
            ("mail.example.co.uk", "mail.example.co.uk"),
            ("example.co.uk", "example.co.uk"),
            ("bücher.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(own(text).unwrap(), expected);
        }
        for bad in [
            "",
            "org",
            "example.org.",
            "1.2.3.4",
            "[::1]",
            "a b.c",
            "a_b.example.org",
            "gmail.com",
            "GMail.com",
            "co.uk",
            "com.au",
            "example..org",
            "*.example.org",
            "example.org/x",
            "user@example.org",
        ] {
            assert!(own(bad).is_err(), "{bad}");
        }
    }
}
