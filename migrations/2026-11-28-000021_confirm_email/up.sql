-- The address that a user token has set, until the link that is mailed to it confirms it. No other mail is sent there.
ALTER TABLE users ADD COLUMN pending_email TEXT;

-- One row for each confirmation mail of the last 24 hours, by which their number is limited. Older rows are deleted when
-- rows are inserted.
CREATE TABLE email_confirmations (
    id INTEGER PRIMARY KEY NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- In the form in which addresses are compared, so that other spellings of a mailbox have the same limit.
    mailbox TEXT NOT NULL,
    -- In milliseconds since 1970, as all times.
    created_at BIGINT NOT NULL
);

CREATE INDEX email_confirmations_by_user ON email_confirmations (user_id, created_at);
CREATE INDEX email_confirmations_by_mailbox ON email_confirmations (mailbox, created_at);
CREATE INDEX email_confirmations_by_age ON email_confirmations (created_at);

-- The key that signs confirmation links. The row is made by the first process that signs one, since SQL has no random
-- numbers that are meant for keys. Links of another key are not valid.
CREATE TABLE email_confirmation_key (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    secret BLOB NOT NULL CHECK (length(secret) = 32)
);
