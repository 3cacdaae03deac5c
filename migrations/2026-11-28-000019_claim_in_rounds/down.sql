DROP INDEX jobs_by_round;
DROP INDEX jobs_by_user;
DROP INDEX jobs_waiting;
DROP INDEX jobs_by_state;
CREATE INDEX jobs_by_state ON jobs (kind, state, run_at, id);
DROP TABLE job_rounds;
ALTER TABLE jobs DROP COLUMN round;
ALTER TABLE jobs DROP COLUMN user_id;
