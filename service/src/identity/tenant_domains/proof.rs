//! What proves a domain: a TXT record below it, or a line of a file that its own web server gives away over
//! https, where no redirect leads elsewhere.

use std::time::Duration;

use entity::identity::tenant_domain::{DomainProof, Model};

use crate::core::Core;
use crate::egress::{Egress, Method, Request, Url};
use crate::error::{Error, Result};

/// Before the domain, where the record stands.
const LABEL: &str = "_mission-control";
const PATH: &str = "/.well-known/mission-control-domain.txt";
const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST: usize = 4 << 10;

pub fn value(row: &Model) -> String {
    format!("mission-control-domain={}", row.proof)
}

pub fn record_name(domain: &str) -> String {
    format!("{LABEL}.{domain}")
}

pub fn file_url(domain: &str) -> String {
    format!("https://{domain}{PATH}")
}

/// # Errors
/// 409 `domain_unproved`; 502 `upstream_failed` where the name server does not answer and there is no file.
pub async fn look(core: &Core, row: &Model) -> Result<DomainProof> {
    let value = value(row);
    let texts = core.egress.txt(&record_name(&row.domain), &core.ids).await;
    if texts.as_ref().is_ok_and(|texts| texts.iter().any(|text| text.trim() == value)) {
        return Ok(DomainProof::Dns);
    }
    let url = Url::parse(&file_url(&row.domain)).map_err(Error::internal)?;
    match (has_line(&core.egress, url, &value).await, texts) {
        (true, _) => Ok(DomainProof::File),
        (false, Ok(_)) => {
            let message = "There is neither such a TXT record yet nor such a file: what was just added may take an hour \
                 to be seen.";
            Err(Error::conflict("domain_unproved", message))
        }
        (false, Err(error)) => Err(Error::Upstream {
            code: "upstream_failed",
            detail: format!("The name server does not answer, and there is no such file: {error}"),
        }),
    }
}

/// Whether this very address answers with a text that has the line.
async fn has_line(egress: &Egress, url: Url, line: &str) -> bool {
    let request = Request { timeout: PATIENCE, max_bytes: LARGEST, ..Request::new(Method::GET, url.clone()) };
    let Ok(answer) = egress.send(request).await else { return false };
    let text = String::from_utf8_lossy(&answer.body);
    answer.status == 200 && answer.url == url && text.lines().any(|found| found.trim() == line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::hostile::loopback;
    use crate::egress::hostile::server::{Reply, Server};

    const LINE: &str = "mission-control-domain=5b0e";

    async fn found(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> bool {
        let server = Server::start(answer).await;
        let host = server.at("example.org");
        let url = Url::parse(&format!("http://{host}{PATH}")).unwrap();
        let found = has_line(&loopback(&[host]), url, LINE).await;
        assert!(server.requests()[0].starts_with(&format!("GET {PATH} ")));
        found
    }

    #[tokio::test]
    async fn the_file_has_the_line_and_is_the_domains_own() {
        assert!(found(|_| Reply::ok("mission-control-domain=5b0e")).await);
        assert!(found(|_| Reply::ok("others=1\r\n mission-control-domain=5b0e \r\n")).await);
        assert!(!found(|_| Reply::ok("mission-control-domain=5b0e1")).await);
        assert!(!found(|_| Reply::ok("<p>mission-control-domain=5b0e</p>")).await);
        assert!(!found(|_| Reply::ok(&format!("{}\n{LINE}", "x".repeat(LARGEST)))).await);
        let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 27\r\n\r\nmission-control-domain=5b0e";
        assert!(!found(move |_| Reply::Close(missing.to_owned())).await);
    }

    #[tokio::test]
    async fn a_redirect_proves_nothing() {
        let moved = |request: &str| match request.starts_with(&format!("GET {PATH} ")) {
            true => Reply::redirect(302, "/elsewhere"),
            false => Reply::ok(LINE),
        };
        assert!(!found(moved).await);
    }

    #[test]
    fn the_file_is_asked_for_over_tls() {
        assert_eq!(file_url("example.org"), "https://example.org/.well-known/mission-control-domain.txt");
    }
}
