//! What people are told.

pub mod mail;
