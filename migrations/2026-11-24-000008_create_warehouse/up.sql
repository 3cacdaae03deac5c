-- A picture that the warehouse keeps, by its content: however often it was uploaded, it is one asset.
CREATE TABLE assets (
    sha256 TEXT PRIMARY KEY NOT NULL,
    bytes BIGINT NOT NULL,
    format TEXT NOT NULL,
    -- In pixels, as stored.
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    -- When it was taken by its EXIF data, as RFC 3339 without an offset where the camera told none; NULL where unknown.
    captured_at TEXT,
    created_at BIGINT NOT NULL
) WITHOUT ROWID;

-- Which image is which asset.
CREATE TABLE asset_references (
    image_id BIGINT PRIMARY KEY NOT NULL REFERENCES images (id),
    sha256 TEXT NOT NULL REFERENCES assets (sha256),
    user_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX asset_references_by_asset ON asset_references (sha256);

-- Orders that the warehouse has taken on, each once.
CREATE TABLE fulfilments (
    order_id TEXT PRIMARY KEY NOT NULL REFERENCES orders (id),
    placed_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
) WITHOUT ROWID;
