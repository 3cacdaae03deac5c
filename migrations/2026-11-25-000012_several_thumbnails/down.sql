-- An image keeps the thumbnail that it is shown by. The files of the others stay.
CREATE TABLE thumbnails_by_image (
    image_id BIGINT PRIMARY KEY NOT NULL REFERENCES images (id),
    name TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

INSERT INTO thumbnails_by_image (image_id, name, width, height, bytes, created_at)
SELECT image_id, name, width, height, bytes, created_at FROM thumbnails WHERE position = 0;

DROP TABLE thumbnails;
ALTER TABLE thumbnails_by_image RENAME TO thumbnails;
