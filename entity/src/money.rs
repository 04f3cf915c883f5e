//! Money as whole nano-units (10⁻⁹) of a currency, because SQLite would store a decimal as a float.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use rust_decimal::Decimal;
use sea_orm::DeriveValueType;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// An amount in nano-units; in JSON a decimal string (`"0.000150"`) without exponent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType)]
pub struct Nanos(pub i64);

const SCALE: u32 = 9;

impl Nanos {
    pub const ZERO: Self = Self(0);

    /// `None` when the amount has more than nine decimals or does not fit.
    pub fn from_decimal(amount: Decimal) -> Option<Self> {
        let scaled = amount.checked_mul(Decimal::from(1_000_000_000_i64))?;
        if !scaled.is_integer() {
            return None;
        }
        i64::try_from(scaled.mantissa() / 10_i128.checked_pow(scaled.scale())?).ok().map(Self)
    }

    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, SCALE).normalize()
    }

    pub fn saturating_mul(self, count: i64) -> Self {
        Self(self.0.saturating_mul(count))
    }
}

impl Add for Nanos {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Nanos {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.to_decimal())
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom("a decimal string with at most nine decimals is expected");
        let plain =
            text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte));
        let amount = plain.then(|| text.parse::<Decimal>().ok()).flatten().ok_or_else(wrong)?;
        Self::from_decimal(amount).ok_or_else(wrong)
    }
}

impl PartialSchema for Nanos {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::String))
            .pattern(Some(r"^\d{1,9}(\.\d{1,9})?$"))
            .description(Some("A decimal amount as a string, at most nine decimals."))
            .examples([serde_json::json!("0.00015")])
            .into()
    }
}

impl ToSchema for Nanos {
    fn name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }
}
