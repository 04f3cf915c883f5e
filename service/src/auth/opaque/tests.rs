use super::*;
use crate::auth::api_keys::API_KEY;
use crate::clock::Clock;

fn ids(seed: u64) -> Ids {
    Ids::seeded(Clock::manual(chrono::DateTime::UNIX_EPOCH), seed)
}

#[test]
fn what_was_generated_parses_to_the_stored_hash() {
    for seed in 0..200 {
        let (secret, hash) = REFRESH_TOKEN.generate(&ids(seed * 1000));
        assert_eq!(secret.expose_secret().len(), REFRESH_TOKEN.length());
        assert!(REFRESH_TOKEN.parse(secret.expose_secret()).unwrap().matches(hash.as_bytes()));
        assert!(API_KEY.parse(secret.expose_secret()).is_err());
    }
}

#[test]
fn the_random_part_differs_and_uses_the_whole_alphabet() {
    let ids = ids(3);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let (secret, _) = API_KEY.generate(&ids);
        let random = secret.expose_secret()[8..8 + RANDOM_CHARS].to_owned();
        assert!(seen.insert(random));
    }
    let used: std::collections::BTreeSet<char> = seen.iter().flat_map(|text| text.chars()).collect();
    assert_eq!(used.len(), 62);
}

#[test]
fn the_checksum_is_the_standard_crc32() {
    // Check value of CRC-32/ISO-HDLC: crc("123456789") = 0xCBF43926.
    let value = checksum("123456789")
        .iter()
        .fold(0_u64, |sum, digit| sum * 62 + BASE62.iter().position(|char| char == digit).unwrap() as u64);
    assert_eq!(value, 0xCBF4_3926);
}

#[test]
fn every_single_typo_swap_and_cut_is_refused() {
    let (secret, _) = API_KEY.generate(&ids(9));
    let text = secret.expose_secret();
    let refused =
        |changed: &[u8]| std::str::from_utf8(changed).is_ok_and(|text| API_KEY.parse(text).is_err());
    for at in 0..text.len() {
        for replacement in (0x20..0x7F).filter(|byte| *byte != text.as_bytes()[at]) {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = replacement;
            assert!(refused(&changed), "{at} {replacement}");
        }
        let mut swapped = text.as_bytes().to_vec();
        swapped.swap(at, (at + 1) % text.len());
        assert!(swapped == text.as_bytes() || refused(&swapped), "swap at {at}");
        assert!(refused(&text.as_bytes()[..at]));
    }
}

#[test]
fn any_text_is_answered_with_the_same_error() {
    let long = "mc_live_".repeat(1000);
    let wide = format!("mc_live_{}", "é".repeat(24));
    for text in ["", "mc_live_", "é", "€", "mc_live_é", &long, &wide, &wide[..wide.len() - 2]] {
        let Err(Error::Unauthenticated { code, .. }) = API_KEY.parse(text) else {
            panic!("accepted {text}");
        };
        assert_eq!(code, "invalid_api_key");
    }
}

#[test]
fn hashes_match_only_the_same_bytes() {
    let hash = Sha256Hash::of("abc");
    let hex: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert!(hash.matches(hash.as_bytes()));
    assert!(!hash.matches(&hash.as_bytes()[..31]));
    assert!(!hash.matches(Sha256Hash::of("abd").as_bytes()));
    assert!(equal(&SecretString::from("a"), &SecretString::from("a")));
    assert!(!equal(&SecretString::from("a"), &SecretString::from("ab")));
}
