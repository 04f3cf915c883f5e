use super::*;
use crate::clock::Clock;

const PASSWORD: &str = "correct horse battery";

fn passwords(permits: usize) -> Passwords {
    Passwords::new(Ids::seeded(Clock::manual(chrono::DateTime::UNIX_EPOCH), 5), permits).unwrap()
}

#[tokio::test]
async fn only_the_same_password_verifies() {
    let passwords = passwords(2);
    let hash = passwords.hash(PASSWORD.into()).await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert_ne!(hash, passwords.hash(PASSWORD.into()).await.unwrap());
    assert!(passwords.verify(PASSWORD.into(), Some(&hash)).await.unwrap());
    for wrong in ["", "correct horse batter", "correct horse battery ", "Correct horse battery"] {
        assert!(!passwords.verify(wrong.into(), Some(&hash)).await.unwrap());
    }
}

#[tokio::test]
async fn accents_are_compared_as_sent() {
    let passwords = passwords(1);
    let hash = passwords.hash("caf\u{e9} au lait".into()).await.unwrap();
    assert!(passwords.verify("caf\u{e9} au lait".into(), Some(&hash)).await.unwrap());
    assert!(!passwords.verify("cafe\u{301} au lait".into(), Some(&hash)).await.unwrap());
}

#[tokio::test]
async fn an_unknown_user_costs_the_same_and_never_signs_in() {
    let passwords = passwords(1);
    let real = passwords.hash(PASSWORD.into()).await.unwrap();
    let (real, dummy) = (PasswordHash::new(&real).unwrap(), PasswordHash::new(DUMMY_HASH).unwrap());
    assert_eq!(dummy.algorithm, real.algorithm);
    assert_eq!(dummy.version, real.version);
    assert_eq!(dummy.params.to_string(), real.params.to_string());
    assert_eq!(dummy.hash.unwrap().len(), real.hash.unwrap().len());
    assert_eq!(dummy.salt.unwrap().len(), real.salt.unwrap().len());
    assert!(!passwords.verify(PASSWORD.into(), None).await.unwrap());
}

#[tokio::test]
async fn a_password_past_the_bound_never_verifies() {
    let passwords = passwords(1);
    let long = "x".repeat(MAX_CHARS + 1);
    let hash = passwords.hash(long.as_str().into()).await.unwrap();
    assert!(!passwords.verify(long.into(), Some(&hash)).await.unwrap());
}

#[tokio::test]
async fn a_broken_stored_hash_is_an_internal_error() {
    for hash in
        ["", "plain", "$argon2id$v=19$m=19456,t=2,p=1$", "$scrypt$ln=1,r=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAA"]
    {
        let answer = passwords(1).verify(PASSWORD.into(), Some(hash)).await;
        assert!(!matches!(answer, Ok(true)), "{hash}");
        assert!(matches!(answer, Err(Error::Internal(_)) | Ok(false)), "{hash}");
    }
}

#[tokio::test]
async fn too_many_at_once_are_turned_away() {
    let passwords = passwords(1);
    let block = Arc::clone(&passwords.running).acquire_owned().await.unwrap();
    let mut waiting: Vec<_> = (0..=WAITING_PER_PERMIT).map(|_| Box::pin(passwords.run(|| 1))).collect();
    for work in &mut waiting {
        assert!(futures_util::poll!(work).is_pending());
    }
    let refused = passwords.verify(PASSWORD.into(), None).await;
    assert!(matches!(refused, Err(Error::Unavailable { code: "sign_in_busy", .. })));
    drop(block);
    assert_eq!(futures_util::future::try_join_all(waiting).await.unwrap().len(), WAITING_PER_PERMIT + 1);
    assert_eq!(passwords.run(|| 1).await.unwrap(), 1);
}

#[test]
fn the_rules_are_length_in_characters_only() {
    let code = |text: String| rules("/password", &text.into()).err().map(|error| error.code);
    assert_eq!(code("é".repeat(11)).as_deref(), Some("too_short"));
    assert_eq!(code("é".repeat(12)), None);
    assert_eq!(code("é".repeat(128)), None);
    assert_eq!(code("é".repeat(129)).as_deref(), Some("too_long"));
    let error = rules("/owner/password", &"short".into()).unwrap_err();
    assert_eq!(error.pointer, "/owner/password");
    assert!(!error.message.contains("short\""));
}
