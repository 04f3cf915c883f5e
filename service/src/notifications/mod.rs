//! What people are told outside of an answer.

pub mod mails;
pub mod notification_preferences;
pub mod notifications;
pub mod notify;
