-- A column of the type DOUBLE keeps whole numbers as integers, which have no negative zero. One without a type keeps every
-- bit of a double; SQLite changes no column's type in place, so the table is made anew and every row is copied.
CREATE TABLE exact_scores (
    username TEXT PRIMARY KEY NOT NULL,
    -- A double.
    score NOT NULL,
    -- The commit that wrote it, from leaderboard.seq.
    seq BIGINT NOT NULL
) WITHOUT ROWID;

INSERT INTO exact_scores (username, score, seq) SELECT username, score, seq FROM scores;

DROP TABLE scores;
ALTER TABLE exact_scores RENAME TO scores;
