-- Whether another program submitted the image by a message. Every process that hears the message finds by it whether
-- the image is recorded already.
ALTER TABLE images ADD COLUMN from_message BOOLEAN NOT NULL DEFAULT FALSE;

CREATE INDEX images_of_messages ON images (user_id, path, id) WHERE from_message;
