//! The terminal's view of the leaderboard: what `m3a3 client` shows.
//!
//! Owns the connection to a game server and, while the table is shown, the terminal. Consumes the Socket.IO events
//! `current_leaderboard` and `update_leaderboard` (Socket.IO v4, `/socket.io/`, over a WebSocket). Never sends anything,
//! never reads a database or Redis: it knows what every other client of the game server knows.
//!
//! - `address`: which URLs may be watched
//! - `connection`: one connection after the other, for ever; the only place that knows `rust_socketio`
//! - `queue`: the bounded queue between the connection and what shows it
//! - `board`: a leaderboard as it came
//! - `lines`: each event as a line of JSON
//! - `standings`, `view`: what the table shows, without a terminal
//! - `screen`, `wording`, `table`: the drawing of it, how it is written, and the terminal that it is drawn on

mod address;
mod board;
mod connection;
mod event_queue;
mod format;
mod json_lines;
mod sanitize;
mod standings;
mod table;
mod terminal;
mod view_state;

pub use address::Address;
pub use connection::{ConnectError, stay_connected};
pub use event_queue::{Event, EventQueue};
pub use json_lines::print_json_lines;
pub use terminal::show_table;
