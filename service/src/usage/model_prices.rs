//! Prices of models: the tenant's own, effective-dated, and the built-in list. A past price is
//! history; it may be corrected, but runs keep the cost they were billed.

use chrono::{DateTime, Utc};
use entity::money::Nanos;
use entity::usage::model_price::{ActiveModel, Column, Entity, Model};
use sea_orm::{ColumnTrait as _, Condition, Set};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use super::{Price, price_list};
use crate::crud::{self, Expected, Page, Paging, Patch, Resource};
use crate::ctx::Ctx;
use crate::error::{Error, Result};

pub struct ModelPrices;

impl Resource for ModelPrices {
    type Entity = Entity;
    type View = ModelPriceView;

    fn taken() -> Error {
        Error::conflict("price_exists", "The model has a price from this very moment on.")
    }
}

/// The currency of all prices: costs of different models are added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    #[default]
    Usd,
}

/// For a million tokens of each kind. Each token is billed in one kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenPrices {
    pub input: Nanos,
    pub cache_read: Nanos,
    pub cache_write: Nanos,
    pub output: Nanos,
    pub reasoning: Nanos,
}

/// Of the kinds that are absent, those of the cache cost what input costs, and reasoning what output
/// costs.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetTokenPrices {
    pub input: Nanos,
    #[serde(default, deserialize_with = "crud::patch::required")]
    #[schema(nullable = false)]
    pub cache_read: Option<Nanos>,
    #[serde(default, deserialize_with = "crud::patch::required")]
    #[schema(nullable = false)]
    pub cache_write: Option<Nanos>,
    pub output: Nanos,
    #[serde(default, deserialize_with = "crud::patch::required")]
    #[schema(nullable = false)]
    pub reasoning: Option<Nanos>,
}

impl SetTokenPrices {
    fn checked(self) -> Result<Price> {
        let Self { input, cache_read, cache_write, output, reasoning } = self;
        let price = Price {
            input,
            cache_read: cache_read.unwrap_or(input),
            cache_write: cache_write.unwrap_or(input),
            output,
            reasoning: reasoning.unwrap_or(output),
        };
        let kinds = [
            ("input", price.input),
            ("cacheRead", price.cache_read),
            ("cacheWrite", price.cache_write),
            ("output", price.output),
            ("reasoning", price.reasoning),
        ];
        match kinds.into_iter().find(|(_, amount)| *amount < Nanos::ZERO) {
            None => Ok(price),
            Some((kind, _)) => {
                Err(Error::invalid(format!("/perMillionTokens/{kind}"), "range", "must not be negative"))
            }
        }
    }
}

#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateModelPrice {
    /// As agents name it.
    #[validate(length(min = 1, max = 200))]
    #[schema(min_length = 1, max_length = 200)]
    pub model: String,
    #[serde(default)]
    pub currency: Currency,
    pub per_million_tokens: SetTokenPrices,
    /// Now, when absent.
    #[serde(default, deserialize_with = "crud::time::required")]
    #[schema(nullable = false)]
    pub effective_from: Option<DateTime<Utc>>,
    #[validate(length(max = 500))]
    #[schema(max_length = 500)]
    pub note: Option<String>,
}

/// Absent keeps, null clears.
#[derive(Clone, Debug, Deserialize, ToSchema, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateModelPrice {
    /// Replaced as a whole.
    #[serde(default, deserialize_with = "crud::patch::required")]
    #[schema(nullable = false)]
    pub per_million_tokens: Option<SetTokenPrices>,
    #[serde(default, deserialize_with = "crud::time::required")]
    #[schema(nullable = false)]
    pub effective_from: Option<DateTime<Utc>>,
    #[serde(default)]
    #[validate(length(max = 500))]
    #[schema(value_type = Option<String>, max_length = 500)]
    pub note: Patch<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelPriceView {
    pub id: Uuid,
    pub source: PriceSource,
    pub model: String,
    pub currency: Currency,
    pub per_million_tokens: TokenPrices,
    pub effective_from: DateTime<Utc>,
    #[schema(required)]
    pub note: Option<String>,
    pub revision: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

crud::page!(ModelPricePage, ModelPriceView);

/// Who set a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PriceSource {
    BuiltIn,
    Tenant,
}

/// A price of the built-in list: it holds where the tenant has none of its own.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuiltInPrice {
    pub source: PriceSource,
    pub provider: &'static str,
    pub model: &'static str,
    pub currency: Currency,
    pub per_million_tokens: TokenPrices,
    /// Where the provider publishes it.
    pub reference: &'static str,
    /// The day from which it is believed to hold.
    #[schema(format = Date)]
    pub as_of: &'static str,
}

/// The whole list: it is short.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BuiltInPrices {
    pub data: Vec<BuiltInPrice>,
}

impl From<Price> for TokenPrices {
    fn from(price: Price) -> Self {
        let Price { input, cache_read, cache_write, output, reasoning } = price;
        Self { input, cache_read, cache_write, output, reasoning }
    }
}

impl From<Model> for ModelPriceView {
    fn from(row: Model) -> Self {
        let per_million_tokens = Price::from(&row).into();
        let Model {
            tenant_id: _,
            id,
            model,
            currency: _,
            input_nanos: _,
            cache_read_nanos: _,
            cache_write_nanos: _,
            output_nanos: _,
            reasoning_nanos: _,
            effective_from,
            note,
            revision,
            created_at,
            updated_at,
        } = row;
        Self {
            id,
            source: PriceSource::Tenant,
            model,
            currency: Currency::Usd,
            per_million_tokens,
            effective_from,
            note,
            revision,
            created_at,
            updated_at,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ModelPriceFilter {
    #[param(max_length = 200)]
    pub model: Option<String>,
}

pub async fn list(ctx: &Ctx, paging: &Paging, filter: &ModelPriceFilter) -> Result<Page<ModelPriceView>> {
    let ModelPriceFilter { model } = filter;
    let condition = Condition::all().add_option(model.as_deref().map(|model| Column::Model.eq(model)));
    crud::list::<ModelPrices>(ctx, paging, condition).await
}

pub fn built_in() -> BuiltInPrices {
    let listed = price_list::SOURCES.iter().flat_map(|source| source.models.iter().map(move |m| (source, m)));
    let data = listed.map(|(source, listed)| BuiltInPrice {
        source: PriceSource::BuiltIn,
        provider: source.provider,
        model: listed.model,
        currency: Currency::Usd,
        per_million_tokens: listed.price().into(),
        reference: source.url,
        as_of: source.as_of,
    });
    BuiltInPrices { data: data.collect() }
}

pub async fn get(ctx: &Ctx, id: Uuid) -> Result<ModelPriceView> {
    crud::get::<ModelPrices>(ctx, id).await
}

pub async fn create(ctx: &Ctx, body: CreateModelPrice) -> Result<ModelPriceView> {
    let CreateModelPrice { model, currency: Currency::Usd, per_million_tokens, effective_from, note } = body;
    let Price { input, cache_read, cache_write, output, reasoning } = per_million_tokens.checked()?;
    let now = ctx.core.clock.now();
    let row = Model {
        tenant_id: ctx.tenant,
        id: ctx.core.ids.next(),
        model,
        currency: "USD".to_owned(),
        input_nanos: input,
        cache_read_nanos: cache_read,
        cache_write_nanos: cache_write,
        output_nanos: output,
        reasoning_nanos: reasoning,
        effective_from: effective_from.unwrap_or(now),
        note,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    crud::create::<ModelPrices>(ctx, row).await
}

pub async fn update(
    ctx: &Ctx,
    id: Uuid,
    expected: Expected,
    body: UpdateModelPrice,
) -> Result<ModelPriceView> {
    let UpdateModelPrice { per_million_tokens, effective_from, note } = body;
    let price = per_million_tokens.map(SetTokenPrices::checked).transpose()?;
    crud::update::<ModelPrices>(ctx, id, expected, |row| {
        let mut changes = ActiveModel::default();
        if let Some(Price { input, cache_read, cache_write, output, reasoning }) =
            price.filter(|price| *price != Price::from(row))
        {
            changes.input_nanos = Set(input);
            changes.cache_read_nanos = Set(cache_read);
            changes.cache_write_nanos = Set(cache_write);
            changes.output_nanos = Set(output);
            changes.reasoning_nanos = Set(reasoning);
        }
        if let Some(from) = effective_from.filter(|from| *from != row.effective_from) {
            changes.effective_from = Set(from);
        }
        let noted = note.clone().over(row.note.clone());
        if noted != row.note {
            changes.note = Set(noted);
        }
        Ok(changes)
    })
    .await
}

pub async fn delete(ctx: &Ctx, id: Uuid, expected: Expected) -> Result<()> {
    crud::delete::<ModelPrices>(ctx, id, expected).await
}
