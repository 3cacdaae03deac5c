//! Configuration errors, which name the key, the origin of the value, and what is allowed.

use std::io;
use std::net::IpAddr;

/// An invalid configuration. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// An unknown key.
    #[error("{origin} sets the unknown key {key}; did you mean {suggestion}?")]
    UnknownKey {
        /// The key, in the spelling of its source.
        key: String,
        /// The layer that sets it.
        origin: String,
        /// The most similar known key, in the same spelling.
        suggestion: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{key} ({origin}): got {got}, expected {expected}")]
    Invalid {
        /// The key.
        key: String,
        /// The layer that sets the value.
        origin: String,
        /// The value; for a secret, only its type.
        got: String,
        /// The allowed values.
        expected: String,
    },
    /// A file that cannot be parsed.
    #[error("{file}, line {line}: {problem}")]
    Syntax {
        /// The file's name.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The problem, without the text of the line, which may hold a secret.
        problem: String,
    },
    /// A file that cannot be read, or a missing file that `M3A3_ENV` selects.
    #[error("cannot read {file}{why}")]
    Unreadable {
        /// The file's name.
        file: String,
        /// The reason why the file is required, if it is not obvious.
        why: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// A variable that is not UTF-8.
    #[error("the environment variable {name} is not UTF-8")]
    NotText {
        /// The variable's name.
        name: String,
    },
    /// A key without a default, which is a bug in m3a3.
    #[error("{key} is missing in the embedded defaults")]
    NoDefault {
        /// The key.
        key: String,
    },
    /// The layers cannot be merged.
    #[error("cannot merge the layers of the configuration")]
    Layers(#[source] config::ConfigError),
    /// A database of Prisma that would not be found.
    #[error(
        "{origin} names {found} for Prisma, whose paths are relative to schema.prisma, but {path} for m3a3, whose paths \
         are relative to the working directory, and {path} does not exist; set M3A3_DATABASE__URL=file:{found} to use \
         that database, or M3A3_DATABASE__URL=file:{path} for a new one"
    )]
    PrismaDatabase {
        /// The layer that sets the URL.
        origin: String,
        /// The file for m3a3.
        path: String,
        /// The file for Prisma.
        found: String,
    },
    /// Two sources of keys for user tokens.
    #[error("auth.jwt.secret and auth.jwt.jwks are both set; unset the one that does not verify your tokens")]
    TwoKeySources,
    /// A board that nobody could read.
    #[error(
        "auth.public_board is false, but clients need no token; set M3A3_AUTH__TOKEN or auth.jwt, or \
         auth.public_board = true"
    )]
    BoardWithoutToken,
    /// A certificate without a key, or a key without a certificate.
    #[error("{set} is set and {unset} is not; set both for TLS, or neither for plain HTTP")]
    HalfTls {
        /// The key that is set.
        set: &'static str,
        /// The key that is not set.
        unset: &'static str,
    },
    /// A public address without authentication.
    #[error(
        "refusing to listen on {host}, which is not a loopback address, without auth.token; \
         set M3A3_AUTH__TOKEN, or auth.allow_anonymous = true"
    )]
    Anonymous {
        /// The address.
        host: IpAddr,
    },
    /// A public address with a token that can be guessed.
    #[error(
        "refusing to listen on {host}, which is not a loopback address, because {key} has {chars} characters; use at \
         least {min_chars}, such as the output of `m3a3 token generate`"
    )]
    ShortToken {
        /// The address.
        host: IpAddr,
        /// The key of the token.
        key: &'static str,
        /// The length of the token.
        chars: usize,
        /// The shortest length that is accepted.
        min_chars: usize,
    },
}
