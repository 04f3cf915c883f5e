//! Keys, while they change: the master key and those of access tokens.

mod kill;
mod rotation;
mod signing_keys;
