//! What every test uses: a real server on a database of its own, and clients that assert.

pub mod accounts;
mod app;
mod browser;
mod client;
pub mod database;
pub mod event_stream;
mod eventually;
pub mod mails;
pub mod model_server;
pub mod name_server;
pub mod oidc_provider;
pub mod oidc_server;
pub mod people;
pub mod process;
pub mod receiver;
pub mod second_factors;
pub mod smtp;
mod tenant;
pub mod workers;

pub use app::{App, PASSWORD, first_tenant};
pub use browser::Browser;
pub use client::{Answer, Client};
pub use database::{Backend, fresh};
pub use eventually::eventually;
pub use tenant::Tenant;

/// Declares a test that runs on both databases: `on_both! { async fn name(app: App) { … } }`, or with
/// `idle;` in front, on a server whose engine does not run, with `manual;`, on one whose clock the test moves, or
/// with `leasing;`, on one whose leases end when it does.
macro_rules! on_both {
    (idle; $($test:tt)+) => { on_both!(@start start_idle $($test)+); };
    (leasing; $($test:tt)+) => { on_both!(@start start_leasing $($test)+); };
    (manual; $($test:tt)+) => { on_both!(@start start_manual $($test)+); };
    (async $($test:tt)+) => { on_both!(@start start async $($test)+); };
    (@start $start:ident $(async fn $name:ident($app:ident: App) $body:block)+) => {
        $(
            async fn $name($app: $crate::support::App) $body

            mod $name {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn sqlite() {
                    super::$name($crate::support::App::$start($crate::support::Backend::Sqlite).await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn postgres() {
                    super::$name($crate::support::App::$start($crate::support::Backend::Postgres).await).await;
                }
            }
        )+
    };
}
