-- The key of thumbnail names. The row is made by the first process that stores thumbnails, since SQL has no random numbers
-- that are meant for keys. It must not change, or images that are already stored get further files.
CREATE TABLE thumbnail_name_key (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    secret BLOB NOT NULL CHECK (length(secret) = 32)
);
