//! Whether a URL may be called, as far as that can be said without the network; and the
//! operator's list of private hosts.

use std::net::IpAddr;
use std::sync::Arc;

use url::{Host, Url};

use super::address;
use super::error::EgressError;
use crate::error::Error;

/// Ports where an HTTP request could be read as another protocol (WHATWG Fetch, "bad port").
const BAD_PORTS: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103,
    104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514,
    515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723,
    2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

/// A URL that passed the check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Host and port, the key of bulkheads and breakers.
    pub authority: String,
    /// The host alone, for messages.
    pub host: String,
    /// Named by the operator, so it may be private.
    pub listed: bool,
}

/// The hosts that the operator opened.
#[derive(Clone)]
pub(super) struct Targets(Arc<[(Host, Option<u16>)]>);

impl Targets {
    pub fn new(entries: &[String]) -> Result<Self, Error> {
        entries.iter().map(|entry| parse_entry(entry)).collect::<Result<_, _>>().map(Self)
    }

    /// Errors: `InvalidUrl` for what may never be called, `Blocked` for a private host.
    pub fn check(&self, url: &Url) -> Result<Target, EgressError> {
        let invalid = |reason| EgressError::InvalidUrl { reason };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("only http and https are"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it holds a user name or password"));
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(invalid("it has no host"));
        };
        let host = host.to_owned();
        let listed = self.0.iter().any(|(name, only)| *name == host && only.is_none_or(|only| only == port));
        if !listed && BAD_PORTS.contains(&port) {
            return Err(invalid("its port belongs to another protocol"));
        }
        if !listed && !may_be_public(&host) {
            return Err(EgressError::Blocked { host: host.to_string() });
        }
        Ok(Target { authority: format!("{host}:{port}"), host: host.to_string(), listed })
    }

    /// Whether the operator listed this very address.
    pub fn names_address(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(host, _)| match (host, address) {
            (Host::Ipv4(listed), IpAddr::V4(address)) => *listed == address,
            (Host::Ipv6(listed), IpAddr::V6(address)) => *listed == address,
            _ => false,
        })
    }
}

/// Names are decided when they are resolved, but for the ones that are loopback by definition
/// (RFC 6761).
fn may_be_public(host: &Host) -> bool {
    match host {
        Host::Ipv4(address) => address::is_public(IpAddr::V4(*address)),
        Host::Ipv6(address) => address::is_public(IpAddr::V6(*address)),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name != "localhost" && !name.ends_with(".localhost")
        }
    }
}

fn parse_entry(entry: &str) -> Result<(Host, Option<u16>), Error> {
    let refuse = || {
        Error::invalid(
            "MC_ALLOW_PRIVATE_HOSTS",
            "invalid_host",
            format!("{entry:?} is no host or host:port."),
        )
    };
    if let Ok(address) = entry.parse() {
        return Ok((Host::Ipv6(address), None));
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !entry.ends_with(']') => (host, Some(port.parse().map_err(|_| refuse())?)),
        _ => (entry, None),
    };
    Ok((Host::parse(host).map_err(|_| refuse())?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(entries: &[&str]) -> Targets {
        Targets::new(&entries.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    fn check(entries: &[&str], url: &str) -> Result<Target, EgressError> {
        targets(entries).check(&Url::parse(url).unwrap())
    }

    #[test]
    fn entries_match_exactly() {
        let open = ["Models.Local:8080", "10.0.0.5", "[fd00::1]:81", "::1", "gpu"];
        for url in [
            "http://models.local:8080/v1",
            "http://10.0.0.5/",
            "https://10.0.0.5:8443/",
            "http://[fd00::1]:81/",
            "http://[::1]:99/",
            "http://GPU/",
        ] {
            assert!(check(&open, url).unwrap().listed, "{url}");
        }
        for url in
            ["http://models.local:8081/", "http://a.models.local:8080/", "http://gpu./", "http://gpux/"]
        {
            assert!(!check(&open, url).unwrap().listed, "{url}");
        }
        assert!(matches!(check(&open, "http://[fd00::1]:82/"), Err(EgressError::Blocked { .. })));
        assert!(matches!(check(&open, "http://10.0.0.6/"), Err(EgressError::Blocked { .. })));
    }

    #[test]
    fn unclear_entries_are_refused() {
        for entry in
            ["", "http://gpu", "gpu:", "gpu:http", "gpu:99999", "10.0.0.0/8", "*.local/x", "[::1", "a b"]
        {
            assert!(Targets::new(&[entry.to_owned()]).is_err(), "{entry}");
        }
    }

    #[test]
    fn other_schemes_users_and_ports_are_invalid() {
        for url in [
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://example.com/",
            "data:text/plain,x",
            "http://user@example.com/",
            "http://:secret@example.com/",
            "http://example.com@10.0.0.1/",
            "http://example.com:25/",
            "http://example.com:0/",
        ] {
            assert!(matches!(check(&[], url), Err(EgressError::InvalidUrl { .. })), "{url}");
        }
        assert_eq!(
            check(&[], "https://example.com/a?b").unwrap(),
            Target { authority: "example.com:443".into(), host: "example.com".into(), listed: false }
        );
    }
}
