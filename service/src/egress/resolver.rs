//! Names to addresses, and the check between. The client asks this resolver once a connection and
//! connects to what it answers, so a name cannot change its mind after the check.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address;
use super::target::Targets;

/// Where addresses come from; tests bring their own.
#[async_trait]
pub(crate) trait Lookup: Send + Sync {
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
pub(super) struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Why a name was not connected to; found again in the client's error.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Blocked,
    Unresolved,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked => "resolves to an address that is not public",
            Self::Unresolved => "has no address",
        })
    }
}

impl std::error::Error for Refused {}

/// A look-up that answers checked addresses only.
#[derive(Clone)]
pub(super) struct Checked {
    pub lookup: Arc<dyn Lookup>,
    /// Of the client whose targets are all listed: private addresses pass, metadata does not
    /// unless it is listed as an address.
    pub listed: Option<Targets>,
}

impl Checked {
    /// One bad address refuses the name: an honest name has no reason to mix the two.
    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, Refused> {
        let addresses = self.lookup.addresses(name).await.map_err(|_| Refused::Unresolved)?;
        if addresses.is_empty() {
            return Err(Refused::Unresolved);
        }
        if !addresses.iter().all(|address| self.allows(*address)) {
            return Err(Refused::Blocked);
        }
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }

    fn allows(&self, address: IpAddr) -> bool {
        match &self.listed {
            Some(targets) => !address::is_metadata(address) || targets.names_address(address),
            None => address::is_public(address),
        }
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let addresses = Checked::resolve(&this, name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
