//! SIGTERM and SIGINT: the first drains, the second ends the process at once. Both are safe: what was
//! acknowledged is stored, and a lease that is not given back runs out.

use std::process;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Failure;

/// A token that the first signal cancels.
pub fn on_signal() -> Result<CancellationToken, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let draining = CancellationToken::new();
    let first = draining.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first.is_cancelled() {
                tracing::warn!("second signal: ending now");
                process::exit(130);
            }
            tracing::info!("draining: finishing what is in flight; a second signal ends at once");
            first.cancel();
        }
    });
    Ok(draining)
}
