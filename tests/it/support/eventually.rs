//! Waiting for a condition instead of for time.

use std::time::Duration;

/// Asks until the answer is yes.
///
/// # Panics
/// After a minute of noes.
pub async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let asked = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), asked).await;
    assert!(done.is_ok(), "waited for a minute: {what}");
}
