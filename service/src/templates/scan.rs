//! Splits a string into literal text and `{{ expressions }}`.

use std::iter::Peekable;
use std::str::CharIndices;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'s> {
    Literal(&'s str),
    Expression(&'s str),
}

/// Operators that are refused: repetition, and concatenation of anything, which quotes quotes when
/// it is nested. Either makes a short template exponentially large before its output is measured.
const REFUSED: [char; 2] = ['*', '~'];

pub(super) fn split(source: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = source;
    while let Some((literal, opened)) = rest.split_once("{{") {
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        let end = expression_end(opened)?;
        let (expression, closed) = opened.split_at(end);
        pieces.push(Piece::Expression(expression.trim()));
        rest = closed.strip_prefix("}}").unwrap_or(closed);
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    Ok(pieces)
}

/// The offset of the closing braces, past string literals and object literals.
fn expression_end(opened: &str) -> Result<usize, String> {
    let mut depth = 0_usize;
    let mut chars = opened.char_indices().peekable();
    if chars.peek().is_some_and(|(_, c)| *c == '-') {
        return Err("{{- is not supported: put a space after the braces".to_owned());
    }
    while let Some((at, c)) = chars.next() {
        match c {
            '"' | '\'' => skip_string(&mut chars, c),
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' if chars.peek().is_some_and(|(_, next)| *next == '}') => return Ok(at),
            c if REFUSED.contains(&c) => return Err(format!("the operator {c} is not supported")),
            _ => {}
        }
    }
    Err("{{ is not closed".to_owned())
}

/// The expression without the first `[start:stop:step]` that closes in it; none if it has none.
pub(super) fn without_slice(expression: &str) -> Option<String> {
    // Where each bracket opened, and whether a colon stands right in it.
    let mut open: Vec<(char, usize, bool)> = Vec::new();
    let mut chars = expression.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' | '\'' => skip_string(&mut chars, c),
            '[' | '(' | '{' => open.push((c, at, false)),
            ':' => open.last_mut()?.2 = true,
            ']' | ')' | '}' => {
                if let ('[', from, true) = open.pop()? {
                    return Some([&expression[..from], &expression[at + 1..]].concat());
                }
            }
            _ => {}
        }
    }
    None
}

fn skip_string(chars: &mut Peekable<CharIndices<'_>>, quote: char) {
    while let Some((_, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            break;
        }
    }
}
