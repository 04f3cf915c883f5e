CREATE TABLE task_run (
  id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL,
  status text NOT NULL,
  input jsonb NOT NULL,
  output jsonb,
  attempt int NOT NULL DEFAULT 0,
  worker_id text,
  created_at timestamptz NOT NULL DEFAULT now(),
  run_at timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz,
  started_at timestamptz,
  finished_at timestamptz
);
CREATE INDEX task_run_tenant ON task_run (tenant_id, created_at DESC, id);
CREATE INDEX task_run_claim ON task_run (run_at, id) WHERE status = 'queued';
