-- Jobs of one kind are claimed round-robin among users: by round, then by rowid. A user has at most one job in a round.
-- Rows with a user are known by their payload; 0 stands for every job without a user.
ALTER TABLE jobs ADD COLUMN user_id BIGINT NOT NULL DEFAULT 0;
-- NULL until a worker has admitted the job, and while it waits for a retry. A claimed job keeps its round, and with it
-- its place in the queue if its worker dies.
ALTER TABLE jobs ADD COLUMN round BIGINT;

-- The round of the last claim of each kind; never moves back.
CREATE TABLE job_rounds (
    kind TEXT PRIMARY KEY NOT NULL,
    round BIGINT NOT NULL
) WITHOUT ROWID;

UPDATE jobs
SET user_id = CASE WHEN json_valid(payload) THEN
        iif(json_type(payload, '$.userId') = 'integer', max(json_extract(payload, '$.userId'), 0), 0)
    ELSE 0 END
WHERE state <> 'done';

-- Within a user, the order is still that of the due times. Jobs that are not due wait to be admitted.
UPDATE jobs SET round = numbered.round
FROM (
    SELECT rowid AS row, row_number() OVER (PARTITION BY kind, user_id ORDER BY run_at, id) AS round
    FROM jobs WHERE state = 'queued' AND run_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)
) AS numbered
WHERE jobs.rowid = numbered.row;
-- Before every queued job, should their worker be dead.
UPDATE jobs SET round = 0 WHERE state = 'running';

CREATE INDEX jobs_by_round ON jobs (kind, round) WHERE state = 'queued' AND round IS NOT NULL;
CREATE INDEX jobs_by_user ON jobs (user_id, kind, round) WHERE state = 'queued' AND round IS NOT NULL;
-- With the columns of its condition, so that SQLite prefers it to jobs_by_state, which has the admitted jobs as well.
CREATE INDEX jobs_waiting ON jobs (kind, state, round, run_at) WHERE state = 'queued' AND round IS NULL;

-- Claims do not use it any more, so it needs no id, which was most of its size.
DROP INDEX jobs_by_state;
CREATE INDEX jobs_by_state ON jobs (kind, state, run_at);
