//! The keys that sign access tokens: shared by all nodes through the database, sealed there.
//!
//! A new key is published before it signs, for longer than anybody may keep `/.well-known/jwks.json`, and an
//! old one stays there until the last token that it signed has ended. Then its private half is forgotten;
//! the public one is kept for the checkpoints that it signed.

use chrono::{DateTime, TimeDelta, Utc};
use entity::identity::signing_key::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveModelTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, QueryOrder as _,
};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use super::access_tokens::{
    AccessTokens, LEEWAY_SECONDS, LIFETIME_SECONDS, MAX_KEYS, SigningKey, SigningKeys, VerifyingKey,
};
use crate::clock::Clock;
use crate::config::Config;
use crate::core::Core;
use crate::db::{Db, Reason, SystemTx};
use crate::error::{Error, Result};
use crate::ids::Ids;
use crate::secrets::{MasterKeys, Place};

/// From publication to the first signature: twice as long as the key set may be kept.
const PUBLISHED_BEFORE: TimeDelta = TimeDelta::minutes(10);
/// From the last signature to the end of the last token, and a minute for clocks and slow nodes.
const LAST_TOKEN: TimeDelta = TimeDelta::seconds(LIFETIME_SECONDS + LEEWAY_SECONDS + 60);
const LOCK: &str = "signing keys";

/// Who makes a key needs no running node.
pub struct Signing<'a> {
    pub db: &'a Db,
    pub keys: &'a MasterKeys,
    pub clock: &'a Clock,
    pub ids: &'a Ids,
}

/// A key that was made.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub kid: String,
    pub signs_from: DateTime<Utc>,
}

/// The first node to start makes the first key.
pub async fn load(
    db: &Db,
    keys: &MasterKeys,
    clock: &Clock,
    ids: &Ids,
    config: &Config,
) -> Result<AccessTokens> {
    let signing = Signing { db, keys, clock, ids };
    let tx = signing.begin().await?;
    let mut stored = all(tx.connection()).await?;
    if stored.iter().all(|row| row.retired_at.is_some()) {
        signing.insert(&tx, clock.now()).await?;
        stored = all(tx.connection()).await?;
    }
    tx.commit().await?;
    let opened = open(keys, &stored)?;
    Ok(AccessTokens::new(config.issuer.clone(), config.issuer.clone(), opened))
}

/// What every node does now and then: makes a key where the newest is old, retires what has no tokens any
/// more, and takes over what others did.
pub async fn follow(core: &Core) -> Result<()> {
    let now = core.clock.now();
    let signing = Signing { db: &core.db, keys: &core.keys, clock: &core.clock, ids: &core.ids };
    let system = core.db.system(Reason::SignIn);
    let mut stored = all(system.connection()).await?;
    let newest = live(&stored).next().map(signs_from);
    if newest.is_some_and(|from| from + core.config.signing_key_age <= now) {
        if let Some(key) = signing.renew(core.config.signing_key_age).await? {
            tracing::info!(kid = key.kid, signs_from = %key.signs_from, "a new key will sign access tokens");
        }
        stored = all(system.connection()).await?;
    }
    let over: Vec<_> = live(&stored)
        .zip(live(&stored).skip(1))
        .filter(|(next, _)| signs_from(next) + LAST_TOKEN <= now)
        .map(|(_, row)| row.clone())
        .collect();
    if !over.is_empty() {
        let tx = system.begin().await?;
        for row in &over {
            signing.retire(&tx, row).await?;
        }
        tx.commit().await?;
        stored = all(system.connection()).await?;
    }
    let known = core.access_tokens.keys();
    let known: Vec<&str> = known.kids().collect();
    if !known.iter().copied().eq(live(&stored).map(|row| row.kid.as_str())) {
        core.access_tokens.take_over(open(&core.keys, &stored)?);
    }
    Ok(())
}

impl Signing<'_> {
    /// Makes a key that signs after it was published long enough, or, `at_once`, from now on: then every
    /// token that was signed before is refused, which is for a key that somebody else may have.
    ///
    /// # Errors
    /// [`Error::Conflict`] while too many earlier rotations are under way.
    pub async fn rotate(&self, at_once: bool) -> Result<NewKey> {
        let now = self.clock.now();
        let tx = self.begin().await?;
        let stored = all(tx.connection()).await?;
        if at_once {
            for row in live(&stored) {
                self.retire(&tx, row).await?;
            }
        } else if live(&stored).count() + 1 >= MAX_KEYS {
            let message =
                "Too many keys are still published: wait until the last token of the oldest has ended.";
            return Err(Error::conflict("rotation_in_progress", message));
        }
        let from = if at_once { now } else { now + PUBLISHED_BEFORE };
        let key = self.insert(&tx, from).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// The same, if it is still true that the newest key is older than `age`.
    async fn renew(&self, age: TimeDelta) -> Result<Option<NewKey>> {
        let now = self.clock.now();
        let tx = self.begin().await?;
        let stored = all(tx.connection()).await?;
        if live(&stored).next().is_some_and(|newest| signs_from(newest) + age > now) {
            return Ok(None);
        }
        let key = self.insert(&tx, now + PUBLISHED_BEFORE).await?;
        tx.commit().await?;
        Ok(Some(key))
    }

    /// One node at a time.
    async fn begin(&self) -> Result<SystemTx> {
        let tx = self.db.system(Reason::SignIn).begin().await?;
        tx.lock(LOCK).await?;
        Ok(tx)
    }

    async fn insert(&self, tx: &SystemTx, signs_from: DateTime<Utc>) -> Result<NewKey> {
        let key = SigningKey::generate(self.ids)?;
        let id = self.ids.next();
        let row = Model {
            id,
            kid: key.kid().to_owned(),
            sealed: self.keys.seal(&place(id), key.to_pkcs8().expose_secret())?,
            created_at: self.clock.now(),
            retired_at: None,
            signs_from: Some(signs_from),
            public_key: None,
        };
        let row: ActiveModel = row.into_active_model().reset_all();
        row.insert(tx.connection()).await?;
        Ok(NewKey { kid: key.kid().to_owned(), signs_from })
    }

    async fn retire(&self, tx: &SystemTx, row: &Model) -> Result<()> {
        let key = signing_key(self.keys, row)?;
        let sql = "UPDATE signing_key SET retired_at = $2, public_key = $3, sealed = $4
            WHERE id = $1 AND retired_at IS NULL";
        let public = key.verifying().public()?.to_vec();
        let values = vec![row.id.into(), self.clock.now().into(), public.into(), Vec::<u8>::new().into()];
        tx.execute(sql, values).await?;
        Ok(())
    }
}

/// Every key there ever was, the one that signs last first.
#[expect(clippy::disallowed_methods, reason = "signing keys belong to no tenant")]
async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>> {
    Ok(Entity::find().order_by_desc(Column::SignsFrom).order_by_desc(Column::Id).all(connection).await?)
}

fn live(stored: &[Model]) -> impl Iterator<Item = &Model> {
    stored.iter().filter(|row| row.retired_at.is_none())
}

fn signs_from(row: &Model) -> DateTime<Utc> {
    row.signs_from.unwrap_or(row.created_at)
}

fn open(keys: &MasterKeys, stored: &[Model]) -> Result<SigningKeys> {
    let mut signing = Vec::new();
    let mut retired = Vec::new();
    for row in stored {
        match (row.retired_at, &row.public_key) {
            (None, _) => signing.push((signs_from(row), signing_key(keys, row)?)),
            (Some(_), Some(public)) => retired.push(VerifyingKey::from_public(public)?),
            (Some(_), None) => {}
        }
    }
    SigningKeys::scheduled(signing, retired)
}

fn signing_key(keys: &MasterKeys, row: &Model) -> Result<SigningKey> {
    SigningKey::from_pkcs8(keys.open(&place(row.id), &row.sealed)?.expose_secret())
}

fn place(row: Uuid) -> Place {
    Place { tenant: Uuid::nil(), table: "signing_key", column: "sealed", row }
}
