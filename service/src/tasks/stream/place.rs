//! How far a reader is: `position-taken-milliseconds` as text. Everything of lesser positions was passed, of this
//! one as many events as were taken, and the time tells how long ago that was. It names no run: the events between
//! those that a reader sees are not for them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub position: i64,
    pub taken: i64,
    /// When the event was made, or the reader was at the end.
    pub at: i64,
}

impl Place {
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('-').map(|part| part.parse().ok().filter(|number: &i64| *number >= 0));
        let place = Self { position: numbers.next()??, taken: numbers.next()??, at: numbers.next()?? };
        numbers.next().is_none().then_some(place)
    }

    pub fn text(self) -> String {
        format!("{}-{}-{}", self.position, self.taken, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let place = Place { position: 42, taken: 3, at: 1_764_311_223_000 };
        assert_eq!(Place::parse(&place.text()), Some(place));
        for wrong in ["", "1", "1-2", "1-2-3-4", "-1-2-3", "1--3", "a-b-c"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
