-- A database of the service that m3a3 replaces brings its own users table, with the same four columns under constraints
-- of its own. Both cases end the same: the table is made anew and every row is copied. (SQLite's documented procedure;
-- migrations run with foreign keys off, so references of other tables to users stay as they are.)
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY NOT NULL,
    username TEXT,
    profile_image TEXT,
    thumbnail_image TEXT
);

CREATE TABLE users_of_m3a3 (
    id INTEGER PRIMARY KEY NOT NULL,
    username TEXT,
    profile_image TEXT,
    -- The newest finished thumbnail, as its thumbnailUrl.
    thumbnail_image TEXT,
    -- Which image that thumbnail shows; NULL for one of the replaced service. An older image never replaces a newer.
    thumbnail_image_id BIGINT,
    -- The image that was accepted last.
    newest_image_id BIGINT,
    -- Why that image has no thumbnail, for the uploader; NULL while it may still get one.
    failure TEXT
);

INSERT INTO users_of_m3a3 (id, username, profile_image, thumbnail_image)
SELECT id, username, profile_image, thumbnail_image FROM users;

DROP TABLE users;
ALTER TABLE users_of_m3a3 RENAME TO users;
