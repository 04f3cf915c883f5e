//! What people are told.

pub mod mail;
pub mod notification;
pub mod notification_inbox;
pub mod notification_preference;
