-- Whether Redis has every score is forgotten; the next Redis that comes without a board is filled.
CREATE TABLE scores_by_name (
    username TEXT PRIMARY KEY NOT NULL,
    score NOT NULL,
    seq BIGINT NOT NULL
) WITHOUT ROWID;

INSERT INTO scores_by_name (username, score, seq) SELECT username, score, seq FROM scores WHERE score IS NOT NULL;

CREATE TABLE leaderboard_by_run_id (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    seq BIGINT NOT NULL,
    met_redis TEXT,
    filled_redis TEXT
);

INSERT INTO leaderboard_by_run_id (id, seq) SELECT id, seq FROM leaderboard;

DROP TABLE scores;
DROP TABLE leaderboard;
ALTER TABLE scores_by_name RENAME TO scores;
ALTER TABLE leaderboard_by_run_id RENAME TO leaderboard;

CREATE TABLE unsent_scores (
    owner TEXT PRIMARY KEY NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    reset BOOLEAN NOT NULL,
    changed_at BIGINT NOT NULL
) WITHOUT ROWID;
