-- SQLite changes no primary key in place: the table is made anew and every row is copied. What was an image's only
-- thumbnail is its first, under the name that the defaults give it.
CREATE TABLE thumbnails_by_variant (
    image_id BIGINT NOT NULL REFERENCES images (id),
    -- What the configuration calls it.
    variant TEXT NOT NULL,
    -- In the configuration's order when it was made; 0 is the one that the image is shown by.
    position INTEGER NOT NULL,
    -- Content-addressed: SHA-256 of the file, and its extension.
    name TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (image_id, variant)
) WITHOUT ROWID;

INSERT INTO thumbnails_by_variant (image_id, variant, position, name, width, height, bytes, created_at)
SELECT image_id, 'thumb', 0, name, width, height, bytes, created_at FROM thumbnails;

DROP TABLE thumbnails;
ALTER TABLE thumbnails_by_variant RENAME TO thumbnails;
