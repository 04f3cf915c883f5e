//! What a valid document is not allowed to lack.
