DROP INDEX images_of_messages;
ALTER TABLE images DROP COLUMN from_message;
