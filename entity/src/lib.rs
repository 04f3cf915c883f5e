//! Tables as sea-orm entities: one file a table. A `Model` is never serialised; views live in `service`.

pub mod agents;
pub mod governance;
pub mod identity;
pub mod integrations;
pub mod money;
pub mod notifications;
pub mod scope;
pub mod tasks;
pub mod usage;
