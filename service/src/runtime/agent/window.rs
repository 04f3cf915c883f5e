//! What is left out of a request when the model's context window is too small for all of it.
//!
//! Invariant: how much is left out follows from the journal: each time a provider said that a request
//! is too long, the next one is shorter, until nothing is left to take away.

use crate::runtime::models::Message;

const RESULT_LEFT_OUT: &str = "(This result was left out to make room. Call the tool again if you need it.)";
const CHAT_LEFT_OUT: &str = "Earlier messages of this conversation were left out to make room.";

/// Characters of the newest result that stay in any case.
const NEWEST: usize = 4_000;

/// The messages that fit better, of which the first `opening` are the system prompt and the input: of
/// the results of tools and of the chat that the run was given, the newer half stays; then a quarter of
/// them, and so on.
pub(super) fn shortened(mut messages: Vec<Message>, opening: usize, too_long: u32) -> Vec<Message> {
    if too_long == 0 {
        return messages;
    }
    let share = |count: usize| count.checked_shr(too_long).unwrap_or(0);
    let mut results: Vec<&mut String> = messages.iter_mut().rev().filter_map(result).collect();
    let whole = share(results.len());
    for (nth, content) in results.iter_mut().enumerate().skip(whole) {
        shorten(content, if nth == 0 { NEWEST } else { 0 });
    }
    let instructions = messages.iter().position(|message| !matches!(message, Message::System { .. }));
    let begins = instructions.unwrap_or(opening).min(opening);
    let stays = share(opening - begins).max(1);
    let ends = opening.saturating_sub(stays);
    if ends > begins {
        let note = Message::System { content: CHAT_LEFT_OUT.to_owned() };
        drop(messages.splice(begins..ends, [note]));
    }
    messages
}

fn result(message: &mut Message) -> Option<&mut String> {
    match message {
        Message::Tool { content, .. } => Some(content),
        _ => None,
    }
}

fn shorten(content: &mut String, longest: usize) {
    let Some((end, _)) = content.char_indices().nth(longest) else { return };
    if content.len() - end <= RESULT_LEFT_OUT.len() {
        return;
    }
    content.truncate(end);
    if end > 0 {
        content.push_str("… ");
    }
    content.push_str(RESULT_LEFT_OUT);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(content: &str) -> Message {
        Message::User { content: content.to_owned() }
    }

    fn told(content: &str) -> Message {
        Message::Tool { call_id: "a".to_owned(), name: "f".to_owned(), content: content.to_owned() }
    }

    fn lengths(mut messages: Vec<Message>) -> Vec<usize> {
        messages.iter_mut().filter_map(result).map(|content| content.chars().count()).collect()
    }

    #[test]
    fn older_results_go_first_and_the_newest_is_cut_last() {
        let (long, left_out) = ("ü".repeat(10_000), RESULT_LEFT_OUT.chars().count());
        let mut messages = vec![user("go")];
        messages.extend((0..4).map(|_| told(&long)));
        assert_eq!(shortened(messages.clone(), 1, 0), messages);
        assert_eq!(lengths(shortened(messages.clone(), 1, 1)), [left_out, left_out, 10_000, 10_000]);
        assert_eq!(lengths(shortened(messages.clone(), 1, 2)), [left_out, left_out, left_out, 10_000]);
        let floor = shortened(messages.clone(), 1, 3);
        assert_eq!(lengths(floor.clone()), [left_out, left_out, left_out, NEWEST + 2 + left_out]);
        assert_eq!(shortened(messages.clone(), 1, 4), floor);
        assert_eq!(shortened(messages, 1, 400), floor);
    }

    #[test]
    fn short_results_stay() {
        let messages: Vec<Message> = (0..20).map(|_| told("ok")).collect();
        assert_eq!(shortened(messages.clone(), 0, 3), messages);
    }

    #[test]
    fn a_chat_loses_its_oldest_messages_but_neither_its_instructions_nor_its_last() {
        let mut messages = vec![Message::System { content: "Be brief.".to_owned() }];
        messages.extend((0..20).map(|n| user(&n.to_string())));
        let half = shortened(messages.clone(), 21, 1);
        assert_eq!((half.len(), &half[0], &half[2]), (12, &messages[0], &user("10")));
        let last = shortened(messages.clone(), 21, 30);
        assert_eq!((last.len(), &last[0], &last[2]), (3, &messages[0], &user("19")));
        let one = vec![user("x")];
        assert_eq!(shortened(one.clone(), 1, 9), one);
    }
}
