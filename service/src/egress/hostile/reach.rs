//! Proof: no address that is not public is reached, however it is written or resolved.

use super::*;

/// Hosts that are this machine or a private network, in all the ways URLs can say it.
const PRIVATE: [&str; 34] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.255.255.254",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "0x7f.1",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "%31%32%37.0.0.1",
    "１２７.０.０.１",
    "127。0。0。1",
    "0",
    "0.0.0.0",
    "localhost",
    "LocalHost",
    "localhost.",
    "a.localhost",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "169.254.169.254",
    "0xa9fea9fe",
    "[::ffff:a9fe:a9fe]",
    "[fd00:ec2::254]",
    "10.0.0.1",
    "192.168.0.1",
];

#[tokio::test]
async fn no_spelling_of_a_private_host_is_reached() {
    let server = Server::start(|_| Reply::ok("secret")).await;
    let egress = loopback(&[]);
    for host in PRIVATE {
        let url = format!("http://{}/", server.at(host));
        let blocked = |error| matches!(error, Some(EgressError::Blocked { .. }));
        assert!(blocked(egress.check_url(&Url::parse(&url).unwrap()).err()), "{host}");
        assert!(blocked(egress.send(get(&url)).await.err()), "{host}");
        assert!(blocked(egress.stream(get(&url)).await.err()), "{host}");
    }
    assert_eq!(server.reached().await, 0);
}

#[tokio::test]
async fn no_name_that_resolves_to_a_private_address_is_reached() {
    let server = Server::start(|_| Reply::ok("secret")).await;
    for answer in [
        &["127.0.0.1"][..],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["0.0.0.0"],
        &["169.254.169.254"],
        &["10.1.2.3"],
        &["fd00::1"],
        &["2d00::1", "127.0.0.1"],
        &["127.0.0.1", "2d00::1"],
    ] {
        let names = Names::new(&[answer]);
        let egress = egress(policy(&[]), names.clone());
        for host in ["example.test", "example.test.", "metadata.google.internal"] {
            let error = refusal(&egress, get(&format!("http://{}/", server.at(host)))).await;
            assert_eq!(error, EgressError::Blocked { host: host.into() }, "{answer:?}");
            assert!(!error.sent() && !error.is_retryable());
        }
        assert_eq!(names.asked(), 3);
    }
    assert_eq!(server.reached().await, 0);
}

/// The first answer is an address that IANA has given to nobody, so that nothing is disturbed.
#[tokio::test]
async fn a_name_that_changes_its_mind_is_not_reached() {
    let server = Server::start(|_| Reply::ok("secret")).await;
    let names = Names::new(&[&["2d00::1"], &["127.0.0.1"]]);
    let egress = egress(policy(&[]), names.clone());
    let url = format!("http://{}/", server.at("rebind.test"));
    let first = refusal(&egress, get(&url)).await;
    assert_eq!(first, EgressError::Connect { host: "rebind.test".into() });
    assert_eq!(names.asked(), 1, "the checked look-up is the one that is connected to");
    assert_eq!(refusal(&egress, get(&url)).await, EgressError::Blocked { host: "rebind.test".into() });
    assert_eq!(server.reached().await, 0);
}

#[tokio::test]
async fn listed_hosts_are_reached() {
    let server = Server::start(|_| Reply::ok("hello")).await;
    let egress = loopback(&[server.at("Model.Test"), "127.0.0.1".into(), "localhost".into()]);
    for (count, host) in ["model.test", "127.0.0.1", "2130706433", "localhost"].iter().enumerate() {
        let response = egress.send(get(&format!("http://{}/", server.at(host)))).await.ok().unwrap();
        assert_eq!((response.status, &response.body[..]), (200, &b"hello"[..]));
        assert_eq!(server.reached().await, count + 1);
    }
}

#[tokio::test]
async fn a_list_opens_nothing_but_its_entries() {
    let server = Server::start(|_| Reply::ok("secret")).await;
    let egress = loopback(&["model.test:1".into(), "127.0.0.2".into(), server.at("other.test")]);
    for host in ["model.test", "127.0.0.1", "[::ffff:127.0.0.2]", "a.other.test", "other.test."] {
        let error = refusal(&egress, get(&format!("http://{}/", server.at(host)))).await;
        assert!(matches!(error, EgressError::Blocked { .. }), "{host}: {error}");
    }
    assert_eq!(server.reached().await, 0);
}

#[tokio::test]
async fn a_listed_name_does_not_open_the_metadata_service() {
    for address in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200"] {
        let egress = egress(policy(&["model.test".into()]), Names::new(&[&[address]]));
        let error = refusal(&egress, get("http://model.test/")).await;
        assert_eq!(error, EgressError::Blocked { host: "model.test".into() }, "{address}");
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_not_found() {
    let egress = egress(policy(&[]), Names::new(&[&[]]));
    let error = refusal(&egress, get("http://nowhere.test/")).await;
    assert_eq!(error, EgressError::Resolve { host: "nowhere.test".into() });
}
