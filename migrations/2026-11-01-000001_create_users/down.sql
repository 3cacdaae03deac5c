-- The four columns and every row stay: they may have been another service's before, and can be again.
ALTER TABLE users DROP COLUMN failure;
ALTER TABLE users DROP COLUMN newest_image_id;
ALTER TABLE users DROP COLUMN thumbnail_image_id;
