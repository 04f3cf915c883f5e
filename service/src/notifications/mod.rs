//! What people are told outside of an answer.

pub mod mails;
