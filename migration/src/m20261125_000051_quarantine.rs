//! Restored copies: since when one does no work, and when an operator confirmed it.

crate::tables!(
    "m20261125_000051_quarantine",
    ["quarantine"],
    "
CREATE TABLE quarantine (
    id UUID PRIMARY KEY,
    generation BIGINT NOT NULL,
    began_at TIMESTAMPTZ NOT NULL,
    sealed_off_at TIMESTAMPTZ,
    confirmed_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX quarantine_generation_key ON quarantine (generation);
"
);
