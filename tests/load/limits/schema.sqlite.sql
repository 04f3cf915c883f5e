CREATE TABLE task_run (
  id BLOB PRIMARY KEY,
  tenant_id BLOB NOT NULL,
  status TEXT NOT NULL,
  input TEXT NOT NULL,
  output TEXT,
  attempt INTEGER NOT NULL DEFAULT 0,
  worker_id TEXT,
  created_at INTEGER NOT NULL,
  run_at INTEGER NOT NULL,
  lease_until INTEGER,
  started_at INTEGER,
  finished_at INTEGER
) WITHOUT ROWID;
CREATE INDEX task_run_tenant ON task_run (tenant_id, created_at DESC, id);
CREATE INDEX task_run_claim ON task_run (run_at, id) WHERE status = 'queued';
