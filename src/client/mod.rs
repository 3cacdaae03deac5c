//! `m3a3 client`: the leaderboard in a terminal, or as JSON lines.
//!
//! Owns the connection to a game server and, while the table is displayed, the terminal. Consumes the Socket.IO events
//! `current_leaderboard` and `update_leaderboard` (Socket.IO v4, `/socket.io/`, over a websocket). Never sends an
//! event, and never reads a database or Redis.
//!
//! - `address`: validation of the URL
//! - `connection`, `refusal`: connecting and reconnecting; the only users of `rust_socketio`
//! - `native-tls/`: a crate of its own, the TLS of `rust_socketio` on rustls
//! - `event_queue`: the bounded queue between the connection and the view
//! - `board`: a leaderboard as received
//! - `json_lines`: events as JSON lines
//! - `standings`, `view_state`: the state of the table, independent of a terminal
//! - `table`, `format`, `sanitize`: rendering of the table
//! - `terminal`: the alternate screen and the keys

mod address;
mod board;
mod connection;
mod event_queue;
mod format;
mod json_lines;
mod refusal;
mod sanitize;
mod standings;
mod table;
mod terminal;
mod view_state;

pub use address::Address;
pub use connection::{ConnectError, Server, stay_connected};
pub use event_queue::{Event, EventQueue};
pub use json_lines::print_json_lines;
pub use terminal::show_table;
