//! JSON merge patch (RFC 7396) for one field: absent keeps, `null` clears, a value sets.

use serde::{Deserialize, Deserializer, Serialize};

/// A field of a PATCH body that may be cleared. Use with `#[serde(default)]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Patch<T> {
    /// The new value of a field that now has `current`.
    pub fn over(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Keep => current,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// [`Patch::over`] by reference.
    pub fn apply(&self, current: &mut Option<T>)
    where
        T: Clone,
    {
        *current = self.clone().over(current.take());
    }

    pub fn as_set(&self) -> Option<&T> {
        if let Self::Set(value) = self { Some(value) } else { None }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|value| value.map_or(Self::Clear, Self::Set))
    }
}

impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_set().serialize(serializer)
    }
}

/// For a field that cannot be cleared: absent keeps, `null` is refused.
/// Use as `#[serde(default, deserialize_with = "patch::required")]` on an `Option`.
pub fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<T: PartialOrd> validator::ValidateRange<T> for Patch<T> {
    fn greater_than(&self, max: T) -> Option<bool> {
        self.as_set().map(|value| *value > max)
    }

    fn less_than(&self, min: T) -> Option<bool> {
        self.as_set().map(|value| *value < min)
    }
}

impl validator::ValidateLength<u64> for Patch<String> {
    fn length(&self) -> Option<u64> {
        self.as_set().and_then(|text| u64::try_from(text.chars().count()).ok())
    }
}
