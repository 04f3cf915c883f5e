//! Secrets at rest: envelope encryption under a versioned master key.
