-- The sign of zero is lost.
CREATE TABLE scores_as_double (
    username TEXT PRIMARY KEY NOT NULL,
    score DOUBLE NOT NULL,
    seq BIGINT NOT NULL
) WITHOUT ROWID;

INSERT INTO scores_as_double (username, score, seq) SELECT username, score, seq FROM scores;

DROP TABLE scores;
ALTER TABLE scores_as_double RENAME TO scores;
