//! What the first start on an empty database prints: the only time the password is shown.

use secrecy::ExposeSecret as _;
use service::core::Core;
use service::error::Result;
use service::identity;

#[expect(clippy::print_stdout, reason = "a password must not go through the log")]
pub async fn announce(core: &Core) -> Result<()> {
    let Some(admin) = identity::bootstrap(core).await? else { return Ok(()) };
    println!("First start: made the platform administrator and a tenant.");
    println!("  e-mail:   {}", admin.email);
    match &admin.password {
        Some(password) => println!("  password: {} (shown this once)", password.expose_secret()),
        None => println!("  password: the one in MC_ADMIN_PASSWORD"),
    }
    Ok(())
}
