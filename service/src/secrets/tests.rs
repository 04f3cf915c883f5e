use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::*;
use crate::clock::Clock;

const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const TWO: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn ids() -> Ids {
    Ids::seeded(Clock::manual(chrono::DateTime::UNIX_EPOCH), 7)
}

fn keys(text: &str) -> MasterKeys {
    MasterKeys::parse(&SecretString::from(text), "MC_MASTER_KEY").unwrap()
}

fn place() -> Place {
    Place { tenant: Uuid::from_u128(1), table: "integration", column: "credentials", row: Uuid::from_u128(2) }
}

#[test]
fn a_value_opens_at_its_place() {
    let keys = keys(ONE);
    for value in ["", "sk-live-secret", &"x".repeat(100_000)] {
        let sealed = keys.seal(&place(), value.as_bytes()).unwrap();
        assert_eq!(sealed.len(), 4 + WRAPPED_KEY_BYTES + NONCE_LEN + value.len() + TAG_BYTES);
        assert_eq!(keys.open_text(&place(), &sealed).unwrap().expose_secret(), value);
    }
}

#[test]
fn sealing_twice_gives_different_text() {
    let keys = keys(ONE);
    assert_ne!(keys.seal(&place(), b"same").unwrap(), keys.seal(&place(), b"same").unwrap());
}

#[test]
fn a_value_opens_nowhere_else() {
    let keys = keys(ONE);
    let sealed = keys.seal(&place(), b"secret").unwrap();
    let elsewhere = [
        Place { tenant: Uuid::from_u128(3), ..place() },
        Place { table: "webhook", ..place() },
        Place { column: "credential", ..place() },
        Place { row: Uuid::from_u128(3), ..place() },
        Place { table: "integrationc", column: "redentials", ..place() },
        Place { tenant: place().row, row: place().tenant, ..place() },
    ];
    for place in &elsewhere {
        assert!(keys.open(place, &sealed).is_err());
    }
}

#[test]
fn every_changed_missing_or_added_byte_is_noticed() {
    let keys = keys(&format!("v1:{ONE},v2:{TWO},v3:{ONE}"));
    let sealed = keys.seal(&place(), b"secret").unwrap();
    assert!(keys.open(&place(), &sealed).is_ok());
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(keys.open(&place(), &changed).is_err(), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(keys.open(&place(), &sealed[..length]).is_err(), "cut at {length}");
    }
    assert!(keys.open(&place(), &[&sealed[..], &[0]].concat()).is_err());
}

#[test]
fn the_version_is_bound_even_when_two_versions_are_the_same_key() {
    let keys = keys(&format!("v1:{ONE},v3:{ONE}"));
    let mut sealed = keys.seal(&place(), b"secret").unwrap();
    sealed[3] = 3;
    assert!(keys.open(&place(), &sealed).is_err());
}

#[test]
fn the_parts_of_two_values_cannot_be_mixed() {
    let keys = keys(ONE);
    let one = keys.seal(&place(), b"one").unwrap();
    let two = keys.seal(&place(), b"two").unwrap();
    let cut = 4 + WRAPPED_KEY_BYTES;
    assert!(keys.open(&place(), &[&one[..cut], &two[cut..]].concat()).is_err());
}

#[test]
fn rotation_keeps_the_value_and_retires_the_old_key() {
    let old = keys(&format!("v1:{ONE}"));
    let both = keys(&format!("v2:{TWO}, v1:{ONE}"));
    let new = keys(&format!("v2:{TWO}"));
    let sealed = old.seal(&place(), b"secret").unwrap();
    assert!(new.open(&place(), &sealed).is_err());

    let rewrapped = both.rewrap(&place(), &sealed).unwrap().unwrap();
    assert!(rewrapped.starts_with(&[0, 0, 0, 2]));
    assert_eq!(new.open(&place(), &rewrapped).unwrap().expose_secret(), b"secret");
    assert!(old.open(&place(), &rewrapped).is_err());
    assert!(both.rewrap(&place(), &rewrapped).unwrap().is_none());
    let elsewhere = Place { row: Uuid::nil(), ..place() };
    assert!(both.rewrap(&elsewhere, &sealed).is_err());
}

#[test]
fn derived_keys_are_hkdf_sha256_and_differ_by_purpose_and_key() {
    let mac = |key: &[u8], message: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(message);
        mac.finalize().into_bytes()
    };
    let master: Vec<u8> = (0..32).collect();
    let expected = mac(&mac(&[0; 32], &master), b"derive cursors\x01");
    let derived = |text, purpose| *keys(text).derive(purpose).unwrap()[0].expose_secret();
    assert_eq!(derived(ONE, "cursors").as_slice(), expected.as_slice());
    assert_ne!(derived(ONE, "cursors"), derived(ONE, "cursor"));
    assert_ne!(derived(ONE, "cursors"), derived(TWO, "cursors"));
}

#[test]
fn bad_keys_are_refused_without_showing_them() {
    let short = &ONE[..62];
    let repeated = format!("v1:{ONE},v1:{TWO}");
    let seventeen = (1..=17).map(|version| format!("v{version}:{ONE}")).collect::<Vec<_>>().join(",");
    let weak = "00".repeat(32);
    let cases = ["", "secret", short, &repeated, &seventeen, &weak, "v1:", "1:x", "v0:x", "v1:a,,", "é"];
    let versions = ["v01", "v+1", "v-1", "V1", "v", "v4294967296", "v2147483648", ""]
        .map(|version| format!("{version}:{ONE}"));
    let cases = cases.into_iter().chain(versions.iter().map(String::as_str));
    for text in cases {
        let Err(error) = MasterKeys::parse(&SecretString::from(text), "MC_MASTER_KEY") else {
            panic!("accepted {text:?}");
        };
        assert!(matches!(&error, Error::Invalid { errors } if errors[0].pointer == "MC_MASTER_KEY"));
        assert!(text.len() < 20 || !error.to_string().contains(&text[4..20]), "{error}");
    }
}

#[test]
fn hex_and_both_base64_alphabets_mean_the_same_key() {
    let raw: Vec<u8> = (0..32).map(|byte| 255 - byte * 3).collect();
    let hex: String = raw.iter().map(|byte| format!("{byte:02X}")).collect();
    let standard = base64::engine::general_purpose::STANDARD.encode(&raw);
    let url = URL_SAFE_NO_PAD.encode(&raw);
    assert_ne!(standard.trim_end_matches('='), url);
    let sealed = keys(&hex).seal(&place(), b"secret").unwrap();
    for text in [standard, url, format!(" v1:{hex}\n")] {
        assert!(keys(&text).open(&place(), &sealed).is_ok());
    }
}

#[test]
fn the_key_file_is_private_and_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let sealed =
        MasterKeys::from_env_or_file(None, &path, &ids()).unwrap().seal(&place(), b"secret").unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = MasterKeys::from_env_or_file(None, &path, &ids()).unwrap();
    assert!(again.open(&place(), &sealed).is_ok());

    let given = MasterKeys::from_env_or_file(Some(&SecretString::from(ONE)), &path, &ids()).unwrap();
    assert!(given.open(&place(), &sealed).is_err());
}

#[test]
fn an_unsafe_key_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let refused = || MasterKeys::from_env_or_file(None, &path, &ids()).err().unwrap().to_string();
    for mode in [0o640, 0o604, 0o622] {
        std::fs::write(&path, ONE).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert!(refused().contains("chmod 600"));
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    for text in ["", "tooshort", &ONE.repeat(100)] {
        std::fs::write(&path, text).unwrap();
        refused();
    }
    assert!(MasterKeys::from_env_or_file(None, folder.path(), &ids()).is_err());
    assert!(MasterKeys::from_env_or_file(None, &folder.path().join("no/such"), &ids()).is_err());
}

#[test]
fn what_was_derived_before_a_rotation_is_still_known_after_it() {
    let both = keys(&format!("v2:{TWO},v1:{ONE}"));
    let derived = |keys: &MasterKeys| -> Vec<[u8; KEY_BYTES]> {
        keys.derive("cursors").unwrap().iter().map(|key| *key.expose_secret()).collect()
    };
    let (old, new) = (derived(&keys(ONE))[0], derived(&keys(&format!("v2:{TWO}")))[0]);
    assert_eq!(derived(&both), [new, old]);
    assert!(both.seal_with(1));
    assert_eq!(derived(&both), [old, new]);
    assert!(!both.seal_with(3));
    assert_eq!(both.seals_with(), 1);
}

#[test]
fn a_key_that_is_put_into_the_file_becomes_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let server = MasterKeys::from_env_or_file(None, &path, &ids()).unwrap();
    let sealed = server.seal(&place(), b"old").unwrap();
    let fingerprint = server.fingerprint(1).unwrap();

    let other = MasterKeys::from_env_or_file(None, &path, &ids()).unwrap();
    other.add_to_file(&Ids::seeded(Clock::manual(chrono::DateTime::UNIX_EPOCH), 8)).unwrap();
    assert_eq!((other.first(), other.seals_with(), other.versions()), (2, 1, vec![1, 2]));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    assert_eq!(server.versions(), [1]);
    server.read_again().unwrap();
    assert_eq!((server.versions(), server.seals_with()), (vec![1, 2], 1));
    assert_eq!(server.fingerprint(1).unwrap(), fingerprint);
    assert_eq!(server.fingerprint(2), other.fingerprint(2));
    assert_ne!(server.fingerprint(2).unwrap(), fingerprint);
    assert!(server.seal_with(2));
    let rewrapped = server.rewrap(&place(), &sealed).unwrap().unwrap();
    assert_eq!(other.open(&place(), &rewrapped).unwrap().expose_secret(), b"old");

    // A file that has lost the sealing key is not taken over.
    std::fs::write(&path, format!("v1:{ONE}")).unwrap();
    assert!(server.read_again().is_err());
    assert_eq!(server.versions(), [1, 2]);
}
