CREATE TABLE jobs (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    -- JSON, of the kind's own form.
    payload TEXT NOT NULL,
    -- No two jobs of a kind share it; NULL where nothing is to be told apart.
    dedup TEXT,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'dead')),
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
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);

CREATE INDEX jobs_by_state ON jobs (kind, state, run_at, id);
CREATE INDEX jobs_by_owner ON jobs (lease_owner) WHERE lease_owner IS NOT NULL;
CREATE UNIQUE INDEX jobs_by_dedup ON jobs (kind, dedup) WHERE dedup IS NOT NULL;
