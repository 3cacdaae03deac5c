//! What can be wrong with the configuration, told so that it can be put right.

use std::io;
use std::net::IpAddr;

/// Why the configuration cannot be used. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key that no section has.
    #[error("{origin} sets the unknown key {key}; the nearest known one is {suggestion}")]
    UnknownKey {
        /// The key, spelled as it came.
        key: String,
        /// Which layer it came from.
        origin: String,
        /// The known key most like it, in the same spelling.
        suggestion: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{key} ({origin}): got {got}, expected {expected}")]
    Invalid {
        /// The key.
        key: String,
        /// Which layer the value came from.
        origin: String,
        /// What came; for a secret, only that.
        got: String,
        /// What is allowed.
        expected: String,
    },
    /// A file that cannot be parsed.
    #[error("{file}, line {line}: {problem}")]
    Syntax {
        /// The file's name.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong, without the line's text, which may hold a secret.
        problem: String,
    },
    /// A file that cannot be read, or that `M3A3_ENV` names and that is not there.
    #[error("cannot read {file}{why}")]
    Unreadable {
        /// The file's name.
        file: String,
        /// Why it is wanted, where that is not plain.
        why: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A variable that is not text.
    #[error("the environment variable {name} is not UTF-8")]
    NotText {
        /// The variable's name.
        name: String,
    },
    /// A key that has no default: a mistake in m3a3 itself.
    #[error("{key} is missing in the embedded defaults")]
    NoDefault {
        /// The key.
        key: String,
    },
    /// The layers cannot be put on top of each other.
    #[error("the layers of the configuration do not fit together")]
    Layers(#[source] config::ConfigError),
    /// An address that others can reach, with nothing that keeps them out.
    #[error(
        "refusing to listen on {host}, which others can reach, without auth.token; \
         set M3A3_AUTH__TOKEN, or auth.allow_anonymous = true"
    )]
    Anonymous {
        /// The address.
        host: IpAddr,
    },
}
