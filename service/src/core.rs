//! Everything one process shares: opened once, cloned cheaply, handed to every call.

use std::ops::Deref;
use std::sync::Arc;

use crate::agents::SnapshotCache;
use crate::auth::access_tokens::AccessTokens;
use crate::auth::key_usage::KeyUsage;
use crate::auth::last_used::LastUsed;
use crate::auth::passwords::Passwords;
use crate::auth::principal::PrincipalCache;
use crate::backup::Quarantine;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::governance::audit_logs::Refusals;
use crate::governance::tenant_retention::Rounds;
use crate::identity::accounts::Directory;
use crate::identity::sessions::throttle::SignInThrottle;
use crate::ids::Ids;
use crate::notifications::mails::Smtp;
use crate::runtime::ToolCache;
use crate::schema::SchemaCache;
use crate::secrets::{self, MasterKeys};
use crate::tasks::alarm::Alarm;
use crate::tasks::hooks::HookRates;
use crate::tasks::targets::TargetCache;
use crate::usage::PriceCache;

#[derive(Clone)]
pub struct Core(Arc<Parts>);

pub struct Parts {
    pub config: Config,
    pub clock: Clock,
    pub ids: Ids,
    pub db: Db,
    pub keys: MasterKeys,
    pub passwords: Passwords,
    pub access_tokens: AccessTokens,
    pub sign_ins: SignInThrottle,
    pub second_factors: SignInThrottle,
    pub oidc: Directory,
    pub principals: PrincipalCache,
    pub last_used: LastUsed,
    pub key_usage: KeyUsage,
    pub refusals: Refusals,
    pub retention: Rounds,
    pub egress: Egress,
    /// None where no server is configured.
    pub smtp: Option<Smtp>,
    pub schemas: SchemaCache,
    pub snapshots: SnapshotCache,
    pub prices: PriceCache,
    pub targets: TargetCache,
    pub tools: ToolCache,
    pub hook_rates: HookRates,
    pub engine: Engine,
    /// Wake this node's looks for what is due.
    pub schedules: Alarm,
    pub batches: Alarm,
    /// Whether this is a restored copy that may do no work yet.
    pub quarantine: Quarantine,
}

impl Deref for Core {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Time and ids, which tests replace.
#[derive(Clone)]
pub struct World {
    pub clock: Clock,
    pub ids: Ids,
}

impl World {
    pub fn real() -> Self {
        let clock = Clock::system();
        Self { ids: Ids::random(clock.clone()), clock }
    }
}

impl Core {
    /// Opens the database, brings its schema up to date and loads the keys. Nothing runs yet.
    pub async fn open(config: Config, world: World) -> Result<Self> {
        let World { clock, ids } = world;
        std::fs::create_dir_all(&config.data_dir).map_err(|cause| {
            let folder = config.data_dir.display();
            Error::internal(format!(
                "{folder} cannot be made: {cause}. Name a folder in MC_DATA_DIR that this user may write."
            ))
        })?;
        let db = Db::connect(&config.database).await?;
        db.migrate().await?;
        let keys = MasterKeys::from_env_or_file(config.master_key.as_ref(), &config.master_key_file(), &ids)?;
        secrets::known::adopt(&db, &keys, &clock).await?;
        let access_tokens = crate::auth::signing::load(&db, &keys, &clock, &ids, &config).await?;
        let quarantine = Quarantine::default();
        quarantine.look(&db).await?;
        let parts = Parts {
            passwords: Passwords::new(ids.clone(), config.password_permits)?,
            sign_ins: SignInThrottle::of_passwords(&clock),
            second_factors: SignInThrottle::of_codes(&clock),
            oidc: Directory::new(&config.oidc),
            principals: PrincipalCache::new(&clock),
            last_used: LastUsed::default(),
            key_usage: KeyUsage::default(),
            refusals: Refusals::default(),
            retention: Rounds::default(),
            egress: Egress::new(config.egress.clone(), clock.clone())?,
            smtp: Smtp::new(&config.mail)?,
            schemas: SchemaCache::default(),
            snapshots: SnapshotCache::default(),
            prices: PriceCache::default(),
            targets: TargetCache::default(),
            tools: ToolCache::default(),
            hook_rates: HookRates::default(),
            engine: Engine::new(
                db.clone(),
                clock.clone(),
                ids.clone(),
                config.engine.clone(),
                config.plans.clone(),
                quarantine.clone(),
            ),
            schedules: Alarm::default(),
            batches: Alarm::default(),
            quarantine,
            config,
            clock,
            ids,
            db,
            keys,
            access_tokens,
        };
        Ok(Self(Arc::new(parts)))
    }
}
