-- What became of each mail, for as long as its job is kept. Whom it went to is known by the user, not by an address.
CREATE TABLE mails (
    job_id TEXT PRIMARY KEY NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    notice TEXT NOT NULL,
    -- NULL for an order of somebody who is no user.
    user_id BIGINT,
    state TEXT NOT NULL CHECK (state IN ('sent', 'skipped', 'failed')),
    -- As the mail carries it; NULL where there is no mail.
    message_id TEXT,
    -- When that came to pass, in milliseconds since 1970, as all times.
    created_at BIGINT NOT NULL
) WITHOUT ROWID;
