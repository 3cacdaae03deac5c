//! What the broker results, and how that is written in RESP2 and RESP3.
//!
//! Owns the wire form of replies (the Redis serialization protocol specification) and the wording of errors, which is
//! Redis' own because clients compare it. `redis-protocol` reads the requests but does not write the replies: it spells
//! doubles differently from Redis.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};

use super::score;

/// The version of the protocol that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection speaks until it says otherwise.
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

/// The result to a command: a reply, or a error in Redis' args.
pub type CommandResult = Result<Reply, CommandError>;

/// A reply; what RESP2 lacks is written as Redis writes it there.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A short fixed text such as `OK`.
    Status(&'static str),
    /// A whole number.
    Integer(i64),
    /// A score.
    Double(f64),
    /// Bytes.
    Bulk(Bytes),
    /// Plain text for people, which RESP3 marks as such.
    Text(String),
    /// Nothing.
    Null,
    /// No array, as EXEC results when a watched key has changed.
    NullArray,
    /// Several replies in one.
    Array(Vec<CommandResult>),
    /// Members with their scores: pairs in RESP3, a flat array in RESP2.
    Scored(Vec<(Bytes, f64)>),
    /// Names with values: a map in RESP3, a flat array in RESP2.
    Map(Vec<(&'static str, Reply)>),
    /// A message that no request asked for; an array in RESP2.
    Push(Vec<Reply>),
    /// Several replies one after the other, as SUBSCRIBE gives one for each channel.
    Sequence(Vec<Reply>),
}

impl Reply {
    /// The usual "done".
    pub const OK: Self = Self::Status("OK");

    /// A count as an integer.
    pub fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Fixed text as a bulk string.
    pub fn text(text: &'static str) -> Self {
        Self::Bulk(Bytes::from_static(text.as_bytes()))
    }

    /// Appends the reply's wire form.
    pub fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
        let resp3 = protocol == Protocol::Resp3;
        match self {
            Self::Status(status) => line(out, '+', status),
            Self::Integer(number) => line(out, ':', number),
            Self::Double(score) if resp3 => line(out, ',', score::format(*score)),
            Self::Double(score) => bulk(out, score::format(*score).as_bytes()),
            Self::Bulk(bytes) => bulk(out, bytes),
            Self::Text(text) if resp3 => {
                line(out, '=', text.len() + "txt:".len());
                line(out, 't', format_args!("xt:{text}"));
            }
            Self::Text(text) => bulk(out, text.as_bytes()),
            Self::Null => out.put_slice(if resp3 { b"_\r\n" } else { b"$-1\r\n" }),
            Self::NullArray => out.put_slice(if resp3 { b"_\r\n" } else { b"*-1\r\n" }),
            Self::Array(results) => {
                line(out, '*', results.len());
                results.iter().for_each(|result| encode(result, protocol, out));
            }
            Self::Scored(pairs) => {
                line(out, '*', if resp3 { pairs.len() } else { pairs.len() * 2 });
                for (member, score) in pairs {
                    if resp3 {
                        line(out, '*', 2);
                    }
                    bulk(out, member);
                    Self::Double(*score).encode(protocol, out);
                }
            }
            Self::Map(fields) => {
                if resp3 {
                    line(out, '%', fields.len());
                } else {
                    line(out, '*', fields.len() * 2);
                }
                for (name, value) in fields {
                    bulk(out, name.as_bytes());
                    value.encode(protocol, out);
                }
            }
            Self::Push(parts) => {
                line(out, if resp3 { '>' } else { '*' }, parts.len());
                parts.iter().for_each(|part| part.encode(protocol, out));
            }
            Self::Sequence(replies) => replies.iter().for_each(|reply| reply.encode(protocol, out)),
        }
    }
}

/// Appends an result's wire form.
pub fn encode(result: &CommandResult, protocol: Protocol, out: &mut BytesMut) {
    match result {
        Ok(reply) => reply.encode(protocol, out),
        // An error is one line, and parts of it may come from the client.
        Err(error) => line(out, '-', error.to_string().replace(['\r', '\n'], " ")),
    }
}

fn line(out: &mut BytesMut, kind: char, value: impl std::fmt::Display) {
    // Writing to a BytesMut that may grow cannot fail.
    let _ = write!(out, "{kind}{value}\r\n");
}

fn bulk(out: &mut BytesMut, bytes: &[u8]) {
    line(out, '$', bytes.len());
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

/// Why a command is refused; the texts are those of Redis 7.0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The connection has not given the password.
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    /// HELLO without AUTH on a connection that has not given the password.
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
         option can be used to authenticate the client and select the RESP protocol version at the same time"
    )]
    HelloNoAuth,
    /// The password or the user is wrong.
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPass,
    /// AUTH where there is no password.
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?"
    )]
    NoPasswordSet,
    /// HELLO with a version other than 2 and 3.
    #[error("NOPROTO unsupported protocol version")]
    NoProto,
    /// HELLO with a version that is no number.
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolNotAnInteger,
    /// HELLO with an option that does not exist.
    #[error("ERR Syntax error in HELLO option '{0}'")]
    HelloOption(String),
    /// A client name that would break CLIENT LIST.
    #[error("ERR Client names cannot contain spaces, newlines or special characters.")]
    ClientName,
    /// A database other than 0.
    #[error("ERR DB index is out of range")]
    DatabaseOutOfRange,
    /// The broker has no such command.
    #[error("ERR unknown command '{name}', with args beginning with: {beginning}")]
    UnknownCommand {
        /// The name as it came, shortened.
        name: String,
        /// The first arguments, quoted, shortened.
        beginning: String,
    },
    /// The broker has no such subcommand.
    #[error("ERR unknown subcommand '{name}'. Try {container} HELP.")]
    UnknownSubcommand {
        /// The subcommand as it came, shortened.
        name: String,
        /// The command in capitals.
        container: String,
    },
    /// Too few or too many arguments.
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(&'static str),
    /// Arguments that do not fit together.
    #[error("ERR syntax error")]
    Syntax,
    /// The key holds another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// No 64-bit number.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// No double.
    #[error("ERR value is not a valid float")]
    NotAFloat,
    /// Infinity minus infinity.
    #[error("ERR resulting score is not a number (NaN)")]
    ScoreNan,
    /// ZADD with XX and NX.
    #[error("ERR XX and NX options at the same time are not compatible")]
    XxAndNx,
    /// ZADD with more than one of GT, LT and NX.
    #[error("ERR GT, LT, and/or NX options at the same time are not compatible")]
    GtLtNx,
    /// MULTI inside MULTI.
    #[error("ERR MULTI calls can not be nested")]
    NestedMulti,
    /// EXEC or DISCARD outside of MULTI.
    #[error("ERR {0} without MULTI")]
    WithoutMulti(&'static str),
    /// EXEC after a command that could not be queued.
    #[error("EXECABORT Transaction discarded because of previous errors.")]
    ExecAbort,
    /// An EXEC that was refused itself, for the reason given; it ends the transaction all the same.
    #[error("EXECABORT Transaction discarded because of: {}", .0.to_string().trim_start_matches("ERR "))]
    ExecRefused(#[source] Box<CommandError>),
    /// A command that has no meaning inside MULTI.
    #[error("ERR Command not allowed inside a transaction")]
    NotInTransaction,
    /// WATCH between MULTI and EXEC.
    #[error("ERR WATCH inside MULTI is not allowed")]
    WatchInsideMulti,
    /// A transaction that grew past what the broker holds; Redis knows no such limit.
    #[error("ERR transaction is too large")]
    TransactionTooLarge,
    /// A RESP2 connection that has subscriptions may not do anything else.
    #[error(
        "ERR Can't execute '{0}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
         context"
    )]
    Subscribed(&'static str),
}

/// Client bytes for an error message: at most 128, up to the first NUL, as C prints them.
pub fn lossy_prefix(bytes: &[u8], at_most: usize) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()).min(at_most);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: Reply, protocol: Protocol) -> String {
        let mut out = BytesMut::new();
        reply.encode(protocol, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn what_resp2_lacks_is_written_with_what_it_has() {
        let scored = || Reply::Scored(vec![(Bytes::from_static(b"a"), 1.5)]);
        assert_eq!(wire(scored(), Protocol::Resp2), "*2\r\n$1\r\na\r\n$3\r\n1.5\r\n");
        assert_eq!(wire(scored(), Protocol::Resp3), "*1\r\n*2\r\n$1\r\na\r\n,1.5\r\n");
        assert_eq!(wire(Reply::Null, Protocol::Resp2), "$-1\r\n");
        assert_eq!(wire(Reply::Null, Protocol::Resp3), "_\r\n");
        assert_eq!(wire(Reply::Text("a\r\n".into()), Protocol::Resp3), "=7\r\ntxt:a\r\n\r\n");
    }

    #[test]
    fn an_error_stays_on_one_line_whatever_the_client_sent() {
        let mut out = BytesMut::new();
        encode(&Err(CommandError::HelloOption("a\r\n+OK".into())), Protocol::Resp3, &mut out);
        assert_eq!(&out[..], b"-ERR Syntax error in HELLO option 'a  +OK'\r\n");
    }
}
