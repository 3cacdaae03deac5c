//! The terminal's view of the leaderboard: what `m3a3 client` shows.
//!
//! Owns the connection to a game server and, while the table is shown, the terminal. Consumes the Socket.IO events
//! `current_leaderboard` and `update_leaderboard` (Socket.IO v4, `/socket.io/`, over a WebSocket). Never sends anything,
//! never reads a database or Redis: it knows what every other client of the game server knows.
//!
//! - `address`: which URLs may be watched
//! - `connection`: one connection after the other, for ever; the only place that knows `rust_socketio`
//! - `feed`: the bounded queue between the connection and what shows it
//! - `board`: a leaderboard as it came
//! - `lines`: each event as a line of JSON
//! - `standings`, `watch`: what the table shows, without a terminal
//! - `screen`, `wording`, `table`: the drawing of it, how it is written, and the terminal that it is drawn on

mod address;
mod board;
mod connection;
mod feed;
mod lines;
mod screen;
mod standings;
mod table;
mod text;
mod watch;
mod wording;

pub use address::Address;
pub use connection::{ConnectError, keep};
pub use feed::{Event, Feed};
pub use lines::print;
pub use table::show;
