CREATE TABLE images (
    -- Also the order in which images were accepted.
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    -- The thumbnail job. Jobs are pruned some day, images are not, so this is no foreign key.
    job_id TEXT NOT NULL UNIQUE,
    user_id BIGINT NOT NULL REFERENCES users (id),
    -- Below the image root.
    path TEXT NOT NULL,
    -- What the client called its file; NULL when it named a path.
    original_name TEXT,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
    thumbnail_url TEXT,
    -- For the uploader.
    failure TEXT,
    -- Milliseconds since 1970, as all times.
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);

CREATE INDEX images_by_user ON images (user_id, id);
CREATE INDEX images_by_finish ON images (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE thumbnails (
    image_id BIGINT PRIMARY KEY NOT NULL REFERENCES images (id),
    -- Content-addressed: SHA-256 of the file, and its extension.
    name TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
