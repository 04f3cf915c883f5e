//! Domains of tenants. A claim is free; a proved domain is one tenant's.

crate::tables!(
    "m20261125_000042_tenant_domains",
    ["tenant_domain"],
    "
CREATE TABLE tenant_domain (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    domain TEXT NOT NULL,
    join_role TEXT NOT NULL,
    proof TEXT NOT NULL,
    verified_at TIMESTAMPTZ,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX tenant_domain_claim_key ON tenant_domain (tenant_id, domain);
CREATE UNIQUE INDEX tenant_domain_proved_key ON tenant_domain (domain) WHERE verified_at IS NOT NULL;
"
);
