//! How many runs each tenant created, by calendar month. No foreign key: it is written beside the creation
//! of runs, and a tenant that goes takes its rows along.

crate::tables!(
    "m20261125_000010_run_usage",
    ["run_usage"],
    "
CREATE TABLE run_usage (
    tenant_id UUID NOT NULL,
    month TIMESTAMPTZ NOT NULL,
    runs BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, month)
);
"
);
