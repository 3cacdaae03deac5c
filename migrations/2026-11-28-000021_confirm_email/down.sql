-- Addresses that are not confirmed are lost, and so are the links to confirm them.
DROP TABLE email_confirmation_key;
DROP TABLE email_confirmations;
ALTER TABLE users DROP COLUMN pending_email;
