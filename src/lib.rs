//! m3a3: pictures in, thumbnails out, leaderboards live.
//!
//! One binary, one database, one Redis. The database row is the truth; a Redis channel is the doorbell; a periodic sweep
//! hears what the doorbell missed.
//!
//! | what | where |
//! |---|---|
//! | the command line, one file per subcommand, each a composition root | [`cli`] |
//! | pictures: routes, held polls, the thumbnail worker | [`images`] |
//! | the leaderboard: scores, their way to Redis, the board's way to everyone | [`leaderboard`] |
//! | orders: routes, the webhook that reports them | [`orders`] |
//! | the warehouse: assets and fulfilments, each once | [`warehouse`] |
//! | jobs over HTTP, for operators | [`admin`] |
//! | is everything well that m3a3 stands on | [`doctor`] |
//! | comparing rows, files, jobs and the board, and listing what is missing | [`audit`] |
//! | mail: users are told of their pictures and orders | [`email`] |
//! | bytes to bytes: what makes a thumbnail of a picture | [`thumbnail`] |
//! | the leaderboard in a terminal, from a server's Socket.IO (feature `client`) | `client` |
//! | jobs: claim, lease, complete, retry, dead letter, rescue | [`jobs`] |
//! | files: uploads, originals, thumbnails on the disk | [`files`] |
//! | users: who is shown by which thumbnail | [`users`] |
//! | HTTP: server, problems, authentication, health | [`http`] |
//! | Socket.IO: sessions, websockets, broadcasts | [`socketio`] |
//! | Redis channels over fred, and the embedded broker | [`bus`] |
//! | the names and payloads of the channels | [`events`] |
//! | the payloads of jobs whose workers are of another domain than their makers | [`tasks`] |
//! | SQLite: writer thread, readers, migrations, schema | [`db`] |
//! | values that cannot be wrong | [`ids`] |
//! | settings, logs, signals | [`config`], [`telemetry`], [`lifecycle`] |

pub mod admin;
pub mod audit;
pub mod bus;
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
pub mod config;
pub mod db;
pub mod doctor;
pub mod email;
pub mod events;
pub mod files;
pub mod http;
pub mod ids;
pub mod images;
pub mod jobs;
pub mod leaderboard;
pub mod lifecycle;
pub mod orders;
pub mod socketio;
pub mod tasks;
pub mod telemetry;
pub mod thumbnail;
pub mod users;
pub mod warehouse;
