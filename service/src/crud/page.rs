//! Keyset paging: a page costs the same at any depth.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::scope::Record;
use sea_orm::sea_query::{Expr, ExprTrait as _, LikeExpr};
use sea_orm::{ColumnTrait as _, Condition, ConnectionTrait, Order};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use uuid::Uuid;

use super::cursor::Cursor;
use super::metadata_is;
use crate::ctx::Ctx;
use crate::db::Query;
use crate::db::rows::time_text;
use crate::error::{Error, Result};

pub const DEFAULT_LIMIT: u64 = 50;
/// `count=true` counts no further.
pub const COUNT_CAP: u64 = 10_000;
pub const MOST_METADATA_FILTERS: usize = 8;

/// The parameters that every list takes.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// How many rows a page holds.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<u64>,
    /// `nextCursor` of the page before.
    #[param(max_length = 2048)]
    pub cursor: Option<String>,
    /// The order; descending with a leading `-`.
    #[param(default = "-createdAt", max_length = 32)]
    pub sort: Option<String>,
    /// Adds `total`, counted up to 10,000.
    pub count: Option<bool>,
    /// Only what was created at or after this time.
    #[serde(default, deserialize_with = "crate::crud::time::optional")]
    pub created_after: Option<DateTime<Utc>>,
    /// Only what was created before this time.
    #[serde(default, deserialize_with = "crate::crud::time::optional")]
    pub created_before: Option<DateTime<Utc>>,
    /// Only what has this text in its name, in any case.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Only what has these metadata values: `metadata[team]=blue`.
    #[param(style = DeepObject, explode, value_type = Option<Object>)]
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// One page and the way to the next.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub data: Vec<T>,
    pub next_cursor: Option<String>,
    pub has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl<T> Page<T> {
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page {
            data: self.data.into_iter().map(convert).collect(),
            next_cursor: self.next_cursor,
            has_more: self.has_more,
            total: self.total,
        }
    }
}

/// Declares the page of one view: utoipa would inline the parameter of a generic.
#[macro_export]
macro_rules! page {
    ($name:ident, $view:ty) => {
        /// One page, in the order asked for.
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            pub data: Vec<$view>,
            /// Give it as `cursor` to get the next page; null on the last one.
            #[schema(required)]
            pub next_cursor: Option<String>,
            pub has_more: bool,
            /// With `count=true`: how many there are, counted up to 10,000.
            #[serde(skip_serializing_if = "Option::is_none")]
            #[schema(nullable = false)]
            pub total: Option<u64>,
        }

        impl From<$crate::crud::Page<$view>> for $name {
            fn from(page: $crate::crud::Page<$view>) -> Self {
                let $crate::crud::Page { data, next_cursor, has_more, total } = page;
                Self { data, next_cursor, has_more, total }
            }
        }
    };
}
pub use page;

impl Paging {
    pub fn limit(&self) -> u64 {
        self.limit.unwrap_or(DEFAULT_LIMIT)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Created,
    Updated,
    Name,
}

impl Key {
    fn parse<E: Record>(sort: &str) -> Option<(Self, Order)> {
        let (name, order) = sort.strip_prefix('-').map_or((sort, Order::Asc), |name| (name, Order::Desc));
        let key = match name {
            "createdAt" => Self::Created,
            "updatedAt" if E::SORTS_BY_UPDATE => Self::Updated,
            "name" if E::NAME.is_some() => Self::Name,
            _ => return None,
        };
        Some((key, order))
    }

    /// The sort column beside the id; ids alone are in the order of creation.
    fn column<E: Record>(self) -> Option<E::Column> {
        match self {
            Self::Created => None,
            Self::Updated => Some(E::UPDATED_AT),
            Self::Name => E::NAME,
        }
    }

    fn value_of<E: Record>(self, row: &E::Model) -> Option<String> {
        match self {
            Self::Created => None,
            Self::Updated => Some(time_text(E::updated_at(row))),
            Self::Name => E::name(row).map(str::to_owned),
        }
    }

    fn bind(self, text: String) -> Result<sea_orm::Value> {
        if self != Self::Updated {
            return Ok(text.into());
        }
        let time = DateTime::parse_from_rfc3339(&text).map_err(Error::internal)?;
        Ok(time.with_timezone(&Utc).into())
    }
}

/// One page of the tenant's live rows that fulfil `filter`.
pub(crate) async fn rows<E: Record>(ctx: &Ctx, paging: &Paging, filter: Condition) -> Result<Page<E::Model>> {
    let db = ctx.db();
    rows_of(ctx, paging, filter, || db.list::<E>()).await
}

/// One page of the rows that `find` sees.
pub(crate) async fn rows_of<'a, E: Record, C: ConnectionTrait + 'a>(
    ctx: &Ctx,
    paging: &Paging,
    filter: Condition,
    find: impl Fn() -> Query<'a, C, E>,
) -> Result<Page<E::Model>> {
    let limit = paging.limit();
    let sort = paging.sort.as_deref().unwrap_or("-createdAt");
    let (key, order) = Key::parse::<E>(sort).ok_or_else(|| {
        let names = if E::NAME.is_some() { "createdAt, updatedAt or name" } else { "createdAt or updatedAt" };
        Error::invalid("sort", "enum", format!("sort must be {names}, with a leading - for descending."))
    })?;
    let filter = filter.add(shared_filter::<E>(paging)?);
    let place = format!("{} {sort}", E::KIND);

    let total = match paging.count {
        Some(true) => Some(find().filter(filter.clone()).count(COUNT_CAP).await?),
        _ => None,
    };
    let mut query = find().filter(filter).limit(limit + 1);
    if let Some(text) = &paging.cursor {
        let Cursor { value, id } = Cursor::open(ctx, &place, text)?;
        query = query.filter(after::<E>(key, &order, value, id)?);
    }
    if let Some(column) = key.column::<E>() {
        query = query.order_by(column, order.clone());
    }
    let mut data = query.order_by(E::ID, order).all().await?;

    let has_more = data.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    data.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = match data.last().filter(|_| has_more) {
        None => None,
        Some(last) => Some(Cursor { value: key.value_of::<E>(last), id: E::id(last) }.seal(ctx, &place)?),
    };
    Ok(Page { data, next_cursor, has_more, total })
}

/// The rows behind the cursor in the given order.
fn after<E: Record>(key: Key, order: &Order, value: Option<String>, id: Uuid) -> Result<Condition> {
    let ascending = *order == Order::Asc;
    let behind = |column: E::Column, value: sea_orm::Value| {
        if ascending { column.gt(value) } else { column.lt(value) }
    };
    let Some((column, value)) = key.column::<E>().zip(value) else {
        return Ok(Condition::all().add(behind(E::ID, id.into())));
    };
    let value = key.bind(value)?;
    Ok(Condition::any()
        .add(behind(column, value.clone()))
        .add(Condition::all().add(column.eq(value)).add(behind(E::ID, id.into()))))
}

fn shared_filter<E: Record>(paging: &Paging) -> Result<Condition> {
    let mut all = Condition::all();
    if let Some(deleted_at) = E::DELETED_AT {
        all = all.add(deleted_at.is_null());
    }
    if let Some(time) = paging.created_after {
        all = all.add(E::CREATED_AT.gte(time));
    }
    if let Some(time) = paging.created_before {
        all = all.add(E::CREATED_AT.lt(time));
    }
    if let Some(text) = &paging.q {
        let name =
            E::NAME.ok_or_else(|| Error::invalid("q", "unsupported", "This list cannot be searched."))?;
        let pattern = LikeExpr::new(format!("%{}%", like_escape(&text.to_lowercase()))).escape('\\');
        all = all.add(Expr::expr(sea_orm::sea_query::Func::lower(Expr::col(name))).like(pattern));
    }
    if paging.metadata.len() > MOST_METADATA_FILTERS {
        return Err(Error::invalid(
            "metadata",
            "max_items",
            format!("At most {MOST_METADATA_FILTERS} metadata filters."),
        ));
    }
    for (key, value) in &paging.metadata {
        let column = E::METADATA
            .ok_or_else(|| Error::invalid("metadata", "unsupported", "This list has no metadata."))?;
        all = all.add(metadata_is(column, key, value));
    }
    Ok(all)
}

fn like_escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
