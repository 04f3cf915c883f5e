//! Integrations, tools, agents, their versions and tool bindings.

crate::tables!(
    "m20261123_000002_agents",
    ["integration", "tool", "agent", "agent_version", "agent_tool"],
    "
CREATE TABLE integration (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    config JSONB NOT NULL,
    credentials BYTEA,
    status TEXT NOT NULL,
    last_checked_at TIMESTAMPTZ,
    last_error TEXT,
    metadata JSONB NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX integration_name_key ON integration (tenant_id, name) WHERE deleted_at IS NULL;

CREATE TABLE tool (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    type TEXT NOT NULL,
    config JSONB NOT NULL,
    schema JSONB NOT NULL,
    side_effect TEXT NOT NULL,
    timeout_seconds INTEGER NOT NULL,
    cost_per_call_nanos BIGINT NOT NULL,
    metadata JSONB NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX tool_name_key ON tool (tenant_id, name) WHERE deleted_at IS NULL;

CREATE TABLE agent (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    status_reason TEXT,
    current_version INTEGER NOT NULL,
    config JSONB NOT NULL,
    provider_id UUID,
    max_concurrent INTEGER,
    metadata JSONB NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, provider_id) REFERENCES integration (tenant_id, id)
);
CREATE UNIQUE INDEX agent_slug_key ON agent (tenant_id, slug) WHERE deleted_at IS NULL;

CREATE TABLE agent_version (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    agent_id UUID NOT NULL,
    number INTEGER NOT NULL,
    snapshot JSONB NOT NULL,
    note TEXT,
    labels JSONB NOT NULL,
    author TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agent (tenant_id, id)
);
CREATE UNIQUE INDEX agent_version_number_key ON agent_version (tenant_id, agent_id, number);

CREATE TABLE agent_tool (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    agent_id UUID NOT NULL,
    tool_id UUID NOT NULL,
    config JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agent (tenant_id, id),
    FOREIGN KEY (tenant_id, tool_id) REFERENCES tool (tenant_id, id)
);
CREATE UNIQUE INDEX agent_tool_pair_key ON agent_tool (tenant_id, agent_id, tool_id);
"
);
