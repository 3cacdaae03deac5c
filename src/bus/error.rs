//! The errors of the bus.

use std::error::Error;
use std::io;

use fred::error::ErrorKind;

use super::reason::reason;

/// A failed operation of the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The URL is invalid.
    #[error("the Redis URL cannot be used: {0}")]
    Url(String),
    /// The credentials contain characters that the client library cannot send.
    #[error("the user and the password in the Redis URL must not contain spaces, quotes or control characters")]
    Credentials,
    /// The relay to a broker cannot open its port.
    #[error("cannot open a port for connections to the broker")]
    Relay(#[source] io::Error),
    /// There is no connection at the moment. The bus keeps trying to connect.
    #[error("Redis is not connected")]
    Disconnected,
    /// Redis did not reply in time.
    #[error("Redis did not reply in time")]
    Timeout,
    /// Redis replied with this error.
    #[error("Redis refused the command: {0}")]
    Refused(String),
    /// The command failed in another way, for example because the connection was lost.
    #[error("the Redis command failed")]
    Command(#[source] Box<dyn Error + Send + Sync>),
}

impl BusError {
    /// Whether Redis replied with an error.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// An error of the client library.
    pub(super) fn client(error: fred::error::Error) -> Self {
        Self::Command(reason(&error).into())
    }

    /// The error of a command.
    pub(super) fn command(error: fred::error::Error) -> Self {
        match error.kind() {
            // Temporary: Redis is loading its data.
            ErrorKind::Unknown if error.details().starts_with("LOADING") => Self::Command(reason(&error).into()),
            // The library has kinds of its own for only a few error replies.
            ErrorKind::InvalidArgument | ErrorKind::InvalidCommand | ErrorKind::Unknown => {
                Self::Refused(error.details().to_owned())
            }
            _ => Self::client(error),
        }
    }

    pub(super) fn unexpected_reply() -> Self {
        Self::Refused("the reply has an unexpected form".to_owned())
    }
}
