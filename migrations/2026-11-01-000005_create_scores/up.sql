-- What m3a3 wrote to the leaderboard: the truth that Redis is filled from.
CREATE TABLE scores (
    username TEXT PRIMARY KEY NOT NULL,
    score DOUBLE NOT NULL,
    -- The commit that wrote it, from leaderboard.seq; grows with every commit, whichever process makes it.
    seq BIGINT NOT NULL
) WITHOUT ROWID;

-- One row: how far the scores are, and on which Redis they were last seen.
CREATE TABLE leaderboard (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    -- The last commit of a score.
    seq BIGINT NOT NULL,
    -- The run_id of the Redis that was last found to hold the board; NULL before the first.
    redis_run_id TEXT
);
INSERT INTO leaderboard (id, seq) VALUES (1, 0);

-- Commits that Redis may not have yet: written with them, removed once Redis has confirmed them.
CREATE TABLE unsent_scores (
    id INTEGER PRIMARY KEY NOT NULL,
    -- The commits, from leaderboard.seq, both ends included; the later ones hold what the earlier ones wrote over.
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    -- Whether the board is to be emptied first.
    reset BOOLEAN NOT NULL DEFAULT FALSE,
    created_at BIGINT NOT NULL
);
