//! What serde says of a value that does not fit, in words that a caller of the API understands: no names
//! and types of this code.

/// What serde says of a value, as a code and in words that a caller understands.
pub fn in_words(message: &str) -> (&'static str, String) {
    const MOST: usize = 300;
    let text = message.rsplit_once(" at line ").map_or(message, |(text, _)| text);
    let expected = text.split_once(", expected ").map(|(_, expected)| expected);
    if text.starts_with("unknown variant") {
        let names = expected.unwrap_or_default().trim_start_matches("one of ").replace('`', "");
        return ("enum", format!("must be one of {}", names.replace(" or ", ", ")));
    }
    let words = match expected {
        _ if text.starts_with("UUID parsing failed") => "a UUID",
        _ if TIMES.iter().any(|begin| text.starts_with(begin)) => {
            "an RFC 3339 time, as in 2026-01-31T10:00:00Z"
        }
        Some("u8" | "u16" | "u32" | "u64" | "usize") => "a whole number that is not negative",
        Some("i8" | "i16" | "i32" | "i64") => "a whole number",
        Some("f32" | "f64") => "a number",
        Some("a boolean") => "true or false",
        Some("a map") => "an object",
        Some("a sequence") => "an array",
        Some(kind) if kind.starts_with("struct ") => "an object",
        Some(kind) if kind.starts_with("a ") || kind.starts_with("an ") => kind,
        _ => return ("type", text.chars().take(MOST).collect()),
    };
    ("type", format!("must be {words}").chars().take(MOST).collect())
}

/// How chrono begins its complaints.
const TIMES: [&str; 4] =
    ["premature end of input", "input contains invalid", "input is out of range", "trailing input"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serdes_words_become_ours() {
        for (message, code, words) in [
            (
                "invalid type: floating point `1.5`, expected u32 at line 1 column 9",
                "type",
                "must be a whole number that is not negative",
            ),
            ("invalid value: integer `99999999999`, expected i32", "type", "must be a whole number"),
            ("invalid type: string \"x\", expected f64", "type", "must be a number"),
            ("invalid type: integer `1`, expected a string", "type", "must be a string"),
            ("invalid type: sequence, expected struct CreateAgent", "type", "must be an object"),
            ("UUID parsing failed: invalid character: found `z` at 0", "type", "must be a UUID"),
            ("premature end of input", "type", "must be an RFC 3339 time, as in 2026-01-31T10:00:00Z"),
            ("invalid type: sequence, expected an object at line 1 column 1", "type", "must be an object"),
            ("unknown variant `X`, expected one of `A`, `B`", "enum", "must be one of A, B"),
            ("unknown variant `X`, expected `A` or `B`", "enum", "must be one of A, B"),
            ("a decimal string is expected", "type", "a decimal string is expected"),
        ] {
            assert_eq!(in_words(message), (code, words.to_owned()));
        }
    }
}
