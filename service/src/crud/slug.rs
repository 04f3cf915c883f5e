//! Slugs: names for addresses, in lower-case letters and digits.

use entity::scope::Record;
use sea_orm::ColumnTrait as _;
use uuid::Uuid;
use validator::ValidationError;

use crate::ctx::Ctx;
use crate::error::Result;

const LONGEST_MADE: usize = 48;

/// For `#[validate(custom(function = "slug::valid"))]`.
pub fn valid(slug: &str) -> Result<(), ValidationError> {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if slug.split('-').all(word) {
        return Ok(());
    }
    Err(ValidationError::new("slug")
        .with_message("must be lower-case letters and digits, in words joined by -".into()))
}

/// A slug made from the name; with the end of the id when another live row has it.
pub(crate) async fn free<E: Record>(
    ctx: &Ctx,
    column: E::Column,
    name: &str,
    id: Uuid,
    fallback: &str,
) -> Result<String> {
    let slug = of(name, fallback);
    let db = ctx.db();
    let mut same = db.everywhere::<E>().filter(column.eq(slug.as_str()));
    if let Some(deleted_at) = E::DELETED_AT {
        same = same.filter(deleted_at.is_null());
    }
    if same.one().await?.is_none() {
        return Ok(slug);
    }
    let id = id.simple().to_string();
    Ok(format!("{slug}-{}", id.get(24..).unwrap_or_default()))
}

fn of(name: &str, fallback: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    match slug.get(..LONGEST_MADE).unwrap_or(&slug).trim_end_matches('-') {
        "" => fallback.to_owned(),
        slug => slug.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_made_from_names() {
        for (name, slug) in [
            ("Support Bot", "support-bot"),
            ("  --A  b!c-- ", "a-b-c"),
            ("Grüße", "gr-e"),
            ("支援", "agent"),
            (&"x".repeat(100), &"x".repeat(48)),
        ] {
            assert_eq!(of(name, "agent"), slug);
            assert!(valid(slug).is_ok());
        }
        assert!(["", "-", "a--b", "A", "a_b", "a-"].iter().all(|slug| valid(slug).is_err()));
    }
}
