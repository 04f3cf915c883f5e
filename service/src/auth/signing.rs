//! The keys that sign access tokens: shared by all nodes through the database, sealed there.

use entity::identity::signing_key::{ActiveModel, Column, Entity, Model};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _,
};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use super::access_tokens::{AccessTokens, SigningKey, SigningKeys, VerifyingKey};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::{Db, Reason};
use crate::error::Result;
use crate::ids::Ids;
use crate::secrets::{MasterKeys, Place};

/// The newest key signs; the others still verify. The first node to start makes the first key.
#[expect(clippy::disallowed_methods, reason = "signing keys belong to no tenant")]
pub async fn load(
    db: &Db,
    keys: &MasterKeys,
    clock: &Clock,
    ids: &Ids,
    config: &Config,
) -> Result<AccessTokens> {
    let tx = db.system(Reason::SignIn).begin().await?;
    tx.lock("signing keys").await?;
    let stored = Entity::find()
        .filter(Column::RetiredAt.is_null())
        .order_by_desc(Column::CreatedAt)
        .all(tx.connection())
        .await?;
    let mut opened = Vec::with_capacity(stored.len());
    for row in stored {
        opened.push(SigningKey::from_pkcs8(keys.open(&place(row.id), &row.sealed)?.expose_secret())?);
    }
    if opened.is_empty() {
        let key = SigningKey::generate(ids)?;
        let id = ids.next();
        let sealed = keys.seal(&place(id), key.to_pkcs8().expose_secret())?;
        let row = Model { id, kid: key.kid().to_owned(), sealed, created_at: clock.now(), retired_at: None };
        let row: ActiveModel = row.into_active_model().reset_all();
        row.insert(tx.connection()).await?;
        opened.push(key);
    }
    tx.commit().await?;
    let current = opened.remove(0);
    let others: Vec<VerifyingKey> = opened.iter().map(|key| key.verifying().clone()).collect();
    Ok(AccessTokens::new(config.issuer.clone(), config.issuer.clone(), SigningKeys::new(current, others)?))
}

fn place(row: Uuid) -> Place {
    Place { tenant: Uuid::nil(), table: "signing_key", column: "sealed", row }
}
