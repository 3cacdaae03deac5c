// The database of the peer, one SQLite file for both processes: the status of each user's newest upload.
//
// libsql has the interface of better-sqlite3, and its package contains the binary: nothing is compiled or downloaded.

import Database from "libsql";

const database = new Database("peer.db");
database.pragma("busy_timeout = 5000");
database.pragma("journal_mode = WAL");
// The usual setting with WAL: a commit does not wait for the disk.
database.pragma("synchronous = NORMAL");
database.exec("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, status TEXT NOT NULL) STRICT");

const put = database.prepare(
    "INSERT INTO users (id, status) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET status = excluded.status",
);
const get = database.prepare("SELECT status FROM users WHERE id = ?");

/** The status is the response body. */
export function setStatus(userId, status) {
    put.run(userId, JSON.stringify(status));
}

export function statusOf(userId) {
    const row = get.get(userId);
    return row && JSON.parse(row.status);
}
