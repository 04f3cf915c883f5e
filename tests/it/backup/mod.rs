//! Backups of what is served, and restored copies.

mod cycles;
mod quarantine;
mod refusals;
mod restored;
