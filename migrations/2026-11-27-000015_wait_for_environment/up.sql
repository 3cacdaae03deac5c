-- The jobs that wait because the environment (storage, the database) failed, which counts as no attempt.
CREATE TABLE job_delays (
    job_id TEXT PRIMARY KEY NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    -- How often in a row; it spaces the repetitions out.
    failures INTEGER NOT NULL,
    -- What failed last, for the operator.
    cause TEXT NOT NULL,
    -- Since when, in milliseconds since 1970.
    since BIGINT NOT NULL
) WITHOUT ROWID;
