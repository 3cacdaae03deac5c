//! Replies and their encoding in RESP2 and RESP3.
//!
//! Owns the wire format of replies (the Redis serialization protocol specification). `redis-protocol` decodes the
//! requests but does not encode the replies, because it formats doubles differently from Redis.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};

use super::command_error::CommandError;
use super::score;

/// The protocol version of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The default.
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

/// The result of a command.
pub(crate) type CommandResult = Result<Reply, CommandError>;

/// A reply. Types that RESP2 lacks are encoded as Redis encodes them there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// A short constant such as `OK`.
    Status(&'static str),
    Integer(i64),
    /// A score.
    Double(f64),
    Bulk(Bytes),
    /// Text for humans: a verbatim string in RESP3, a bulk string in RESP2.
    Text(String),
    Null,
    /// The reply to EXEC after a watched key has changed.
    NullArray,
    Array(Vec<CommandResult>),
    /// Members with their scores: pairs in RESP3, a flat array in RESP2.
    Scored(Vec<(Bytes, f64)>),
    /// A map in RESP3, a flat array in RESP2.
    Map(Vec<(&'static str, Reply)>),
    /// An out-of-band message: a push in RESP3, an array in RESP2.
    Push(Vec<Reply>),
    /// Consecutive replies: SUBSCRIBE sends one for each channel.
    Sequence(Vec<Reply>),
}

impl Reply {
    pub(crate) const OK: Self = Self::Status("OK");

    pub(crate) fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// A constant as a bulk string.
    pub(crate) fn text(text: &'static str) -> Self {
        Self::Bulk(Bytes::from_static(text.as_bytes()))
    }

    /// Appends the encoded reply to `out`.
    pub(crate) fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
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

/// Appends an encoded command result to `out`.
pub(crate) fn encode(result: &CommandResult, protocol: Protocol, out: &mut BytesMut) {
    match result {
        Ok(reply) => reply.encode(protocol, out),
        // An error is one line. Parts of it may come from the client.
        Err(error) => line(out, '-', error.to_string().replace(['\r', '\n'], " ")),
    }
}

fn line(out: &mut BytesMut, kind: char, value: impl std::fmt::Display) {
    // Writing to a growing BytesMut cannot fail.
    let _ = write!(out, "{kind}{value}\r\n");
}

fn bulk(out: &mut BytesMut, bytes: &[u8]) {
    line(out, '$', bytes.len());
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
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
    fn resp3_types_have_a_resp2_encoding() {
        let scored = || Reply::Scored(vec![(Bytes::from_static(b"a"), 1.5)]);
        assert_eq!(wire(scored(), Protocol::Resp2), "*2\r\n$1\r\na\r\n$3\r\n1.5\r\n");
        assert_eq!(wire(scored(), Protocol::Resp3), "*1\r\n*2\r\n$1\r\na\r\n,1.5\r\n");
        assert_eq!(wire(Reply::Null, Protocol::Resp2), "$-1\r\n");
        assert_eq!(wire(Reply::Null, Protocol::Resp3), "_\r\n");
        assert_eq!(wire(Reply::Text("a\r\n".into()), Protocol::Resp3), "=7\r\ntxt:a\r\n\r\n");
    }

    #[test]
    fn an_error_is_one_line_even_if_the_client_sent_line_breaks() {
        let mut out = BytesMut::new();
        encode(&Err(CommandError::HelloOption("a\r\n+OK".into())), Protocol::Resp3, &mut out);
        assert_eq!(&out[..], b"-ERR Syntax error in HELLO option 'a  +OK'\r\n");
    }
}
