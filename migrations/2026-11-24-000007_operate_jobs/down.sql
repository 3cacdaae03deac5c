DROP TABLE job_attempts;
CREATE TABLE jobs_without_notes (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    dedup TEXT,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'dead')),
    run_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    lease_owner TEXT,
    lease_until BIGINT,
    lease_token BIGINT NOT NULL DEFAULT 0,
    started_at BIGINT,
    error TEXT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);

INSERT INTO jobs_without_notes (id, kind, payload, dedup, state, run_at, attempts, crashes, lease_owner, lease_until,
    lease_token, started_at, error, created_at, finished_at)
SELECT id, kind, payload, dedup, iif(state = 'cancelled', 'dead', state), run_at, attempts, crashes, lease_owner,
    lease_until, lease_token, started_at, error, created_at, finished_at
FROM jobs;

DROP TABLE jobs;
ALTER TABLE jobs_without_notes RENAME TO jobs;
CREATE INDEX jobs_by_state ON jobs (kind, state, run_at, id);
CREATE INDEX jobs_by_owner ON jobs (lease_owner) WHERE lease_owner IS NOT NULL;
CREATE UNIQUE INDEX jobs_by_dedup ON jobs (kind, dedup) WHERE dedup IS NOT NULL;
