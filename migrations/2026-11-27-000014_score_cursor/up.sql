-- Redis says itself how far it is, by a cursor beside the sorted set. So the scores are kept in the order of their commits,
-- and the notes of what Redis may not have go.
CREATE TABLE scores_by_seq (
    -- The last commit that wrote it, from leaderboard.seq.
    seq INTEGER PRIMARY KEY NOT NULL,
    username TEXT NOT NULL UNIQUE,
    -- A double, in a column without a type, which keeps the sign of zero; NULL once the player was removed.
    score
);

CREATE TABLE leaderboard_by_cursor (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    -- Tells this board from those of other databases on the same Redis.
    board_id TEXT NOT NULL,
    -- The last commit; grows with every change of a score, whichever process makes it.
    seq BIGINT NOT NULL,
    -- The commit that last emptied the board; every score has a later one.
    reset_seq BIGINT NOT NULL
);

-- A reset that Redis has not seen yet comes first.
INSERT INTO leaderboard_by_cursor (id, board_id, seq, reset_seq)
SELECT 1, lower(hex(randomblob(16))), pending, pending FROM (SELECT count(*) > 0 AS pending FROM unsent_scores WHERE reset);

INSERT INTO scores_by_seq (seq, username, score)
SELECT row_number() OVER (ORDER BY scores.seq, username) + leaderboard_by_cursor.seq, username, score
FROM scores, leaderboard_by_cursor;

UPDATE leaderboard_by_cursor SET seq = max(seq, coalesce((SELECT max(seq) FROM scores_by_seq), 0));

DROP TABLE unsent_scores;
DROP TABLE scores;
DROP TABLE leaderboard;
ALTER TABLE scores_by_seq RENAME TO scores;
ALTER TABLE leaderboard_by_cursor RENAME TO leaderboard;
