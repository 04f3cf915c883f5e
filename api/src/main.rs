//! The binary `mission-control`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // Before anything may use TLS. An error means that a provider is there already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    api::cli::main().await
}
