//! Workspaces and their teams. Who leaves the tenant leaves its teams.

crate::tables!(
    "m20261125_000020_workspaces",
    ["workspace", "team_member"],
    "
CREATE TABLE workspace (
    tenant_id UUID NOT NULL REFERENCES tenant (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    isolation TEXT NOT NULL,
    settings JSONB NOT NULL,
    archived_at TIMESTAMPTZ,
    metadata JSONB NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ,
    PRIMARY KEY (tenant_id, id),
    CHECK (isolation IN ('STRICT', 'SHARED'))
);
CREATE UNIQUE INDEX workspace_slug_key ON workspace (tenant_id, slug) WHERE deleted_at IS NULL;

CREATE TABLE team_member (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    user_id UUID NOT NULL,
    role TEXT NOT NULL,
    skills JSONB NOT NULL,
    availability TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, workspace_id) REFERENCES workspace (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES membership (tenant_id, user_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX team_member_key ON team_member (tenant_id, workspace_id, user_id);
CREATE INDEX team_member_of_user ON team_member (tenant_id, user_id);
"
);
