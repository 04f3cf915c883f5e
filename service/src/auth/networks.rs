//! The networks that a key may be used from, in CIDR notation. An IPv4 address inside IPv6 is compared as
//! IPv4, however it came.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::error::{Error, FieldError, Result};

pub const MOST: usize = 32;
/// Of one entry: an IPv6 address with its prefix.
pub const LONGEST: usize = 43;

/// Any address where it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Arc<[IpNet]>);

impl Networks {
    /// Reads what a user asks for: networks (`203.0.113.0/24`) and single addresses.
    ///
    /// # Errors
    /// 422 at `/ipAllowList` or `/ipAllowList/N`, with every wrong entry.
    pub fn parse(entries: &[String]) -> Result<Self> {
        if entries.len() > MOST {
            let message = format!("At most {MOST} networks can be given.");
            return Err(Error::invalid("/ipAllowList", "too_many", message));
        }
        let (mut networks, mut errors) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            match network(entry) {
                Some(network) => networks.push(network),
                None => errors.push(FieldError::new(
                    format!("/ipAllowList/{index}"),
                    "network",
                    "must be an address or a network such as 203.0.113.0/24 or 2001:db8::/32",
                )),
            }
        }
        if !errors.is_empty() {
            return Err(Error::Invalid { errors });
        }
        networks.sort();
        networks.dedup();
        Ok(Self(networks.into()))
    }

    /// Reads what was stored. A list that cannot be read lets nobody in.
    pub fn from_stored(stored: serde_json::Value) -> Result<Self> {
        let entries: Vec<String> = serde_json::from_value(stored).map_err(Error::internal)?;
        let read = entries.iter().map(|entry| network(entry)).collect::<Option<Vec<_>>>();
        read.map(|networks| Self(networks.into())).ok_or_else(|| Error::internal("a stored network is none"))
    }

    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    pub fn is_anywhere(&self) -> bool {
        self.0.is_empty()
    }

    pub fn admit(&self, ip: Option<IpAddr>) -> bool {
        let within = |ip: IpAddr| self.0.iter().any(|network| network.contains(&ip));
        self.is_anywhere() || ip.is_some_and(|ip| within(ip.to_canonical()))
    }

    /// Whether these let in no address that `other` does not.
    pub fn are_within(&self, other: &Self) -> bool {
        let is_within = |own: &IpNet| other.0.iter().any(|network| network.contains(own));
        other.is_anywhere() || (!self.is_anywhere() && self.0.iter().all(is_within))
    }
}

fn network(entry: &str) -> Option<IpNet> {
    let network = match entry.parse::<IpAddr>() {
        Ok(ip) => IpNet::from(ip.to_canonical()),
        Err(_) => entry.parse().ok()?,
    };
    // The addresses of callers are canonical: a network of IPv4 inside IPv6 would never match.
    let IpNet::V6(six) = network else { return Some(network.trunc()) };
    match (six.addr().to_ipv4_mapped(), six.prefix_len().checked_sub(96)) {
        (Some(four), Some(prefix)) => Some(ipnet::Ipv4Net::new(four, prefix).ok()?.trunc().into()),
        _ => Some(network.trunc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(entries: &[&str]) -> Result<Networks> {
        Networks::parse(&entries.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn addresses_are_inside_or_not() {
        let list =
            networks(&["203.0.113.9/24", "2001:db8::/32", "10.1.1.1", "::ffff:192.0.2.0/120"]).unwrap();
        for (ip, is_in) in [
            ("203.0.113.255", true),
            ("203.0.114.0", false),
            ("10.1.1.1", true),
            ("10.1.1.2", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::ffff:203.0.113.1", true),
            ("192.0.2.77", true),
            ("::1", false),
        ] {
            assert_eq!(list.admit(Some(ip.parse().unwrap())), is_in, "{ip}");
        }
        assert!(!list.admit(None) && Networks::default().admit(None));
        let stored = serde_json::json!(list.names());
        assert_eq!(Networks::from_stored(stored).unwrap(), list);
    }

    #[test]
    fn what_is_no_network_is_named_by_its_place() {
        let Err(Error::Invalid { errors }) = networks(&["10.0.0.0/8", "10.0.0.0/33", "host", "", "1.2.3.4/"])
        else {
            panic!("accepted");
        };
        let places: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(places, ["/ipAllowList/1", "/ipAllowList/2", "/ipAllowList/3", "/ipAllowList/4"]);
        assert!(networks(&["10.0.0.1"; MOST + 1]).is_err());
    }

    #[test]
    fn a_list_is_within_another_or_not() {
        let wide = networks(&["10.0.0.0/8"]).unwrap();
        assert!(networks(&["10.2.0.0/16", "10.9.9.9"]).unwrap().are_within(&wide));
        for more in [&["10.0.0.0/7"][..], &["10.1.0.0/16", "11.0.0.0/16"], &[]] {
            assert!(!networks(more).unwrap().are_within(&wide), "{more:?}");
        }
        assert!(wide.are_within(&Networks::default()));
    }
}
