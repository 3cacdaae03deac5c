-- A job can be cancelled and may have a note. SQLite changes no constraint of
-- a table that is there, so it is made anew and every row is copied.
CREATE TABLE jobs_with_notes (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    -- JSON, of the kind's own form; `userId` in it is a number wherever it is known whose job it is.
    payload TEXT NOT NULL,
    -- No two jobs of a kind share it; NULL where nothing is to be told apart.
    dedup TEXT,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'dead', 'cancelled')),
    -- Not before, in milliseconds since 1970, as all times.
    run_at BIGINT NOT NULL,
    -- Attempts that ended in an error or in an expired lease.
    attempts INTEGER NOT NULL DEFAULT 0,
    -- Leases lost by a worker that died after the job had started.
    crashes INTEGER NOT NULL DEFAULT 0,
    lease_owner TEXT,
    lease_until BIGINT,
    -- Grows with every claim; what is written under an older token is refused (a fencing token).
    lease_token BIGINT NOT NULL DEFAULT 0,
    -- When the attempt under this lease began; NULL until it does.
    started_at BIGINT,
    -- What went wrong last, for the operator.
    error TEXT,
    -- What the operator should know of a job that is done, such as why nothing was sent.
    note TEXT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);

INSERT INTO jobs_with_notes (id, kind, payload, dedup, state, run_at, attempts, crashes, lease_owner,
    lease_until, lease_token, started_at, error, created_at, finished_at)
SELECT id, kind, payload, dedup, state, run_at,
    attempts, crashes, lease_owner, lease_until, lease_token, started_at, error, created_at, finished_at
FROM jobs;

DROP TABLE jobs;
ALTER TABLE jobs_with_notes RENAME TO jobs;
CREATE INDEX jobs_by_state ON jobs (kind, state, run_at, id);
CREATE INDEX jobs_by_owner ON jobs (lease_owner) WHERE lease_owner IS NOT NULL;
CREATE INDEX jobs_by_finish ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_by_dedup ON jobs (kind, dedup) WHERE dedup IS NOT NULL;

-- Every attempt that has ended; one that goes on stands in its job's row.
CREATE TABLE job_attempts (
    id INTEGER PRIMARY KEY NOT NULL,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    worker TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'failed', 'crashed', 'expired', 'cancelled')),
    error TEXT
);
CREATE INDEX job_attempts_by_job ON job_attempts (job_id);
