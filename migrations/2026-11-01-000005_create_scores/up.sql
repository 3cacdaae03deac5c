-- What m3a3 wrote to the leaderboard: the truth that Redis is filled from.
CREATE TABLE scores (
    username TEXT PRIMARY KEY NOT NULL,
    score DOUBLE NOT NULL,
    -- The commit that wrote it, from leaderboard.seq.
    seq BIGINT NOT NULL
) WITHOUT ROWID;

-- One row: how far the scores are, and which Redis they are on. A Redis is known by the run_id of its INFO.
CREATE TABLE leaderboard (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    -- The last commit; grows with every change of a score, whichever process makes it.
    seq BIGINT NOT NULL,
    -- The one that was last met; NULL before the first.
    met_redis TEXT,
    -- The one that was last filled anew, since it had come back without the board; NULL before the first.
    filled_redis TEXT
);
INSERT INTO leaderboard (id, seq) VALUES (1, 0);

-- For each process, the commits of its own that Redis may not have yet: written with them, removed once Redis has them.
CREATE TABLE unsent_scores (
    -- The process; a process that starts anew has another name.
    owner TEXT PRIMARY KEY NOT NULL,
    -- The first of these commits, from leaderboard.seq.
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    -- Whether the board has to be emptied before they are sent.
    reset BOOLEAN NOT NULL,
    -- When the last of them was made.
    changed_at BIGINT NOT NULL
) WITHOUT ROWID;
