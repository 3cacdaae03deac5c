CREATE TABLE idempotency_keys (
    user_id BIGINT NOT NULL,
    idempotency_key TEXT NOT NULL,
    -- What was sent (a path, or an upload's SHA-256), to tell a repeat from another request under the same key.
    content TEXT NOT NULL,
    image_id BIGINT NOT NULL REFERENCES images (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, idempotency_key)
) WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
