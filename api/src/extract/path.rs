//! Parts of the path. A malformed id is the same 404 as a missing one: it becomes a value that nothing
//! has, so that the answer is made by the same look-up.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use uuid::Uuid;

use crate::error::HttpError;

/// The path's parameters in their order: `Path<Uuid>`, `Path<(Uuid, i32)>`.
pub struct Path<T>(pub T);

/// A value in a path. Parsing cannot fail: what is malformed is what nothing has.
pub trait Segment {
    fn parse(text: &str) -> Self;
}

impl Segment for Uuid {
    fn parse(text: &str) -> Self {
        if text.len() == 36 { Self::try_parse(text).unwrap_or(Self::nil()) } else { Self::nil() }
    }
}

impl Segment for i32 {
    fn parse(text: &str) -> Self {
        text.parse().unwrap_or(-1)
    }
}

impl Segment for i64 {
    fn parse(text: &str) -> Self {
        text.parse().unwrap_or(-1)
    }
}

/// Names and slugs; one with a NUL character, which no database row can hold, is empty.
impl Segment for String {
    fn parse(text: &str) -> Self {
        if text.contains('\0') { Self::new() } else { text.to_owned() }
    }
}

/// What [`Path`] can hold: one segment or a tuple of them.
pub trait Segments {
    fn read<'a>(parts: impl Iterator<Item = &'a str>) -> Self;
}

impl<T: Segment> Segments for T {
    fn read<'a>(mut parts: impl Iterator<Item = &'a str>) -> Self {
        T::parse(parts.next().unwrap_or(""))
    }
}

impl<A: Segment, B: Segment> Segments for (A, B) {
    fn read<'a>(mut parts: impl Iterator<Item = &'a str>) -> Self {
        (A::parse(parts.next().unwrap_or("")), B::parse(parts.next().unwrap_or("")))
    }
}

impl<T: Segments> FromRequest for Path<T> {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(T::read(request.match_info().iter().map(|(_, value)| value)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_values_are_values_that_nothing_has() {
        let id = "0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b";
        assert_eq!(<Uuid as Segment>::parse(id).to_string(), id);
        for bad in ["", "junk", "0199a1b27c3d7e4f8a5b6c7d8e9f0a1b", "{0199a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1}"] {
            assert!(<Uuid as Segment>::parse(bad).is_nil(), "{bad}");
        }
        assert_eq!(<i32 as Segment>::parse("99999999999"), -1);
        assert_eq!(<String as Segment>::parse("a\0b"), "");
        let (a, b) = <(Uuid, i32)>::read([id, "3"].into_iter());
        assert_eq!((a.to_string().as_str(), b), (id, 3));
    }
}
