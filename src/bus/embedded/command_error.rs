//! The errors of commands.

/// The most bytes of an argument that an error message repeats.
pub(crate) const MAX_ECHOED: usize = 128;

/// A command that failed. The messages are those of Redis 7.0, because clients compare them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    /// HELLO without AUTH on an unauthenticated connection.
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
         option can be used to authenticate the client and select the RESP protocol version at the same time"
    )]
    HelloNoAuth,
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPass,
    /// AUTH although no password is configured.
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?"
    )]
    NoPasswordSet,
    /// HELLO with a version other than 2 or 3.
    #[error("NOPROTO unsupported protocol version")]
    NoProto,
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolNotAnInteger,
    #[error("ERR Syntax error in HELLO option '{0}'")]
    HelloOption(String),
    #[error("ERR Client names cannot contain spaces, newlines or special characters.")]
    ClientName,
    /// SELECT of a database other than 0.
    #[error("ERR DB index is out of range")]
    DatabaseOutOfRange,
    #[error("ERR unknown command '{name}', with args beginning with: {beginning}")]
    UnknownCommand {
        /// As received, truncated.
        name: String,
        /// The first arguments, quoted and truncated.
        beginning: String,
    },
    #[error("ERR unknown subcommand '{name}'. Try {container} HELP.")]
    UnknownSubcommand {
        /// As received, truncated.
        name: String,
        /// The command in upper case.
        container: String,
    },
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(&'static str),
    #[error("ERR syntax error")]
    Syntax,
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    #[error("ERR value is not a valid float")]
    NotAFloat,
    /// ZINCRBY that adds infinity to negative infinity.
    #[error("ERR resulting score is not a number (NaN)")]
    ScoreNan,
    #[error("ERR XX and NX options at the same time are not compatible")]
    XxAndNx,
    #[error("ERR GT, LT, and/or NX options at the same time are not compatible")]
    GtLtNx,
    #[error("ERR MULTI calls can not be nested")]
    NestedMulti,
    #[error("ERR {0} without MULTI")]
    WithoutMulti(&'static str),
    /// EXEC after a command that was rejected while queuing.
    #[error("EXECABORT Transaction discarded because of previous errors.")]
    ExecAbort,
    /// EXEC that was rejected itself, which ends the transaction too.
    #[error("EXECABORT Transaction discarded because of: {}", .0.to_string().trim_start_matches("ERR "))]
    ExecRejected(#[source] Box<CommandError>),
    #[error("ERR Command not allowed inside a transaction")]
    NotInTransaction,
    #[error("ERR WATCH inside MULTI is not allowed")]
    WatchInsideMulti,
    /// A transaction above the limits of the broker. Redis has no such limit.
    #[error("ERR transaction is too large")]
    TransactionTooLarge,
    /// A command that a RESP2 connection with subscriptions must not send.
    #[error(
        "ERR Can't execute '{0}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
         context"
    )]
    Subscribed(&'static str),
}

/// At most `limit` bytes that a client sent, up to the first NUL, for an error message.
pub(crate) fn lossy_prefix(bytes: &[u8], limit: usize) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()).min(limit);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
