CREATE TABLE orders (
    -- The shop's own id. It is also the dedup key of the order's jobs.
    id TEXT PRIMARY KEY NOT NULL,
    customer_id TEXT NOT NULL,
    -- Milliseconds since 1970, as all times.
    placed_at BIGINT NOT NULL
) WITHOUT ROWID;
