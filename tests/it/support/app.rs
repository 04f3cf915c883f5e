//! A real server in this process, with a database, a data folder and an engine of its own.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use secrecy::SecretString;
use serde_json::json;
use service::clock::Clock;
use service::config::Config;
use service::core::{Core, World};
use service::db::Reason;
use service::egress;
use service::engine::{EngineSettings, Executor, Running};
use service::governance::tenant_erasures;
use service::identity::plans::Plans;
use service::ids::Ids;
use service::notifications::mails::MailSettings;
use service::runtime::Runtime;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::database;
use super::name_server::NameServer;
use super::oidc_server::OidcServer;
use super::{Backend, Client, Tenant};

pub const PASSWORD: &str = "correct horse battery staple";

pub struct App {
    pub core: Core,
    pub url: String,
    pub backend: Backend,
    pub admin: Client,
    /// Two tenants: what is done in one must not be seen in the other.
    pub acme: Tenant,
    pub rival: Tenant,
    engine: Option<Running>,
    stop: CancellationToken,
    _folder: TempDir,
}

impl App {
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend, World::real(), |_| {}).await
    }

    /// A server whose engine does not run.
    pub async fn start_idle(backend: Backend) -> Self {
        Self::start_with(backend, World::real(), |config| config.engine.concurrency = 0).await
    }

    /// A server whose time stands still until the test moves its clock. No lease ends by that.
    pub async fn start_manual(backend: Backend) -> Self {
        let clock = Clock::manual(DateTime::from_timestamp(1_900_000_000, 0).unwrap());
        let world = World { ids: Ids::random(clock.clone()), clock };
        Self::start_with(backend, world, |config| config.engine.lease = Duration::from_secs(1 << 30)).await
    }

    /// The same, whose leases end by that: after a minute.
    pub async fn start_leasing(backend: Backend) -> Self {
        let clock = Clock::manual(DateTime::from_timestamp(1_900_000_000, 0).unwrap());
        let world = World { ids: Ids::random(clock.clone()), clock };
        Self::start_with(backend, world, |config| config.engine.lease = Duration::from_secs(60)).await
    }

    /// A server in the given world, on a changed configuration; its engine runs unless it may execute nothing.
    pub async fn start_with(backend: Backend, world: World, adjust: impl FnOnce(&mut Config)) -> Self {
        Self::start_executing(backend, world, adjust, Arc::new(Runtime)).await
    }

    /// The same, with another executor than the product's.
    pub async fn start_executing(
        backend: Backend,
        world: World,
        adjust: impl FnOnce(&mut Config),
        executor: Arc<dyn Executor>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(backend, &folder).await;
        adjust(&mut config);
        let runs = config.engine.concurrency > 0;
        let core = Core::open(config, world).await.unwrap();
        service::identity::bootstrap(&core).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(api::server::run(core.clone(), listener, options(), stop.clone()));
        let anyone = Client::new(&url);
        let admin = login(&anyone, "admin@example.com").await;
        let acme = tenant(&anyone, &admin, "acme").await;
        let rival = tenant(&anyone, &admin, "rival").await;
        let mut app = Self { core, url, backend, admin, acme, rival, engine: None, stop, _folder: folder };
        if runs {
            app.engine = Some(app.core.engine.start(&app.core, executor).await.unwrap());
        }
        app
    }

    /// One more tenant.
    pub async fn tenant(&self, slug: &str) -> Tenant {
        tenant(&self.anyone(), &self.admin, slug).await
    }

    /// The address of one more server on this app's core, with other options; it ends with the app.
    pub fn serve(&self, adjust: impl FnOnce(&mut api::server::Options)) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut options = options();
        adjust(&mut options);
        tokio::spawn(api::server::run(self.core.clone(), listener, options, self.stop.clone()));
        url
    }

    /// The time of a closed tenant is over; the next sweep, which is made here, begins to erase it.
    pub async fn erase_now(&self, tenant: &str) {
        let system = self.core.db.system(Reason::Operations);
        let tx = system.begin().await.unwrap();
        let id: uuid::Uuid = tenant.parse().unwrap();
        let sql = "UPDATE tenant SET erase_at = closed_at WHERE id = $1 AND status = 'CLOSING'";
        let due = tx.execute(sql, vec![id.into()]).await.unwrap();
        assert_eq!(due.rows_affected(), 1, "{tenant} is not closed");
        tx.commit().await.unwrap();
        tenant_erasures::sweep(&self.core).await.unwrap();
    }

    /// A caller without a credential.
    pub fn anyone(&self) -> Client {
        Client::new(&self.url)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn options() -> api::server::Options {
    let defaults = api::server::Options::default();
    // Client and server share a busy machine: who is slow is not the server's enemy here.
    api::server::Options {
        workers: 1,
        head: Duration::from_secs(120),
        drain: Duration::from_millis(100),
        ..defaults
    }
}

async fn config(backend: Backend, folder: &TempDir) -> Config {
    Config {
        database: database::fresh(backend, folder.path()).await,
        data_dir: folder.path().to_owned(),
        master_key: None,
        admin_email: Some("admin@example.com".to_owned()),
        admin_password: Some(SecretString::from(PASSWORD)),
        password_permits: 2,
        issuer: "mission-control".to_owned(),
        signing_key_age: chrono::TimeDelta::days(90),
        engine: EngineSettings {
            concurrency: 16,
            lease: Duration::from_secs(600),
            heartbeat: Duration::from_secs(10),
            sweep: Duration::from_millis(200),
        },
        plans: Plans::default(),
        egress: egress::Policy {
            allow_private_hosts: vec!["127.0.0.1".to_owned()],
            name_servers: vec![NameServer::of_this_process().address],
            ..Default::default()
        },
        model_silence: Duration::from_secs(60),
        public_url: "https://console.example.com".parse().unwrap(),
        mail: MailSettings::default(),
        oidc: OidcServer::of_this_process().settings(),
        openai: None,
        anthropic: None,
    }
}

/// A tenant of a server in a process of its own.
pub async fn first_tenant(url: &str) -> Tenant {
    let anyone = Client::new(url);
    let admin = login(&anyone, "admin@example.com").await;
    tenant(&anyone, &admin, "acme").await
}

async fn login(anyone: &Client, email: &str) -> Client {
    let answer =
        anyone.post("/v1/auth/login", json!({ "email": email, "password": PASSWORD })).await.expect(200);
    anyone.with_token(answer["accessToken"].as_str().unwrap())
}

async fn tenant(anyone: &Client, admin: &Client, slug: &str) -> Tenant {
    let owner_email = format!("owner@{slug}.example.com");
    let owner = json!({ "email": owner_email, "password": PASSWORD });
    let made = admin
        .post("/v1/tenants", json!({ "name": slug, "slug": slug, "plan": "ENTERPRISE", "owner": owner }))
        .await
        .expect(201);
    Tenant {
        id: made["id"].as_str().unwrap().to_owned(),
        owner: login(anyone, &owner_email).await,
        owner_email,
    }
}
