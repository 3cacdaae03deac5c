-- Requests read the numbers by which new rows are bounded, and never count rows. Triggers keep most of them, also for
-- rows that other programs insert.
CREATE TABLE row_counts (
    -- Of the table.
    name TEXT PRIMARY KEY NOT NULL,
    number BIGINT NOT NULL
) WITHOUT ROWID;

INSERT INTO row_counts (name, number)
VALUES ('users', (SELECT count(*) FROM users)), ('scores', (SELECT count(*) FROM scores));

CREATE TRIGGER users_inserted AFTER INSERT ON users BEGIN
    UPDATE row_counts SET number = number + 1 WHERE name = 'users';
END;
CREATE TRIGGER users_deleted AFTER DELETE ON users BEGIN
    UPDATE row_counts SET number = number - 1 WHERE name = 'users';
END;
CREATE TRIGGER scores_inserted AFTER INSERT ON scores BEGIN
    UPDATE row_counts SET number = number + 1 WHERE name = 'scores';
END;
-- With a trigger for deleted scores, SQLite would empty the board row by row, many seconds for a million players. The
-- code that empties it sets the number.

-- The size of the original; 0 if it was unknown when the image was accepted.
ALTER TABLE images ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
UPDATE images SET bytes = assets.bytes
FROM asset_references JOIN assets ON assets.sha256 = asset_references.sha256
WHERE asset_references.image_id = images.id;

-- The user's images, and the sum of their bytes.
ALTER TABLE users ADD COLUMN image_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN image_bytes BIGINT NOT NULL DEFAULT 0;
UPDATE users SET image_count = used.images, image_bytes = used.bytes
FROM (SELECT user_id, count(*) AS images, sum(bytes) AS bytes FROM images GROUP BY user_id) AS used
WHERE used.user_id = users.id;

CREATE TRIGGER images_inserted AFTER INSERT ON images BEGIN
    UPDATE users SET image_count = image_count + 1, image_bytes = image_bytes + NEW.bytes WHERE id = NEW.user_id;
END;
CREATE TRIGGER images_deleted AFTER DELETE ON images BEGIN
    UPDATE users SET image_count = image_count - 1, image_bytes = image_bytes - OLD.bytes WHERE id = OLD.user_id;
END;

-- The newest keys of a user, and the newest orders of a customer.
CREATE INDEX idempotency_keys_by_user ON idempotency_keys (user_id, created_at);
CREATE INDEX orders_by_customer ON orders (customer_id, placed_at);
