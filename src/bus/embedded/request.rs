//! Parsing of requests.
//!
//! Owns the limits. A request is one flat array of bulk strings, or one line. It is checked before `redis-protocol`
//! decodes it, because that decoder recurses into nested arrays and trusts announced lengths.

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_bytes_mut;
use redis_protocol::resp2::types::BytesFrame;

/// The most bytes of a request, its framing included.
const MAX_REQUEST: usize = 4 << 20;
/// The most arguments of a request.
const MAX_ARGS: usize = 1 << 16;
/// The longest line: an inline request or a length.
const MAX_LINE: usize = 64 << 10;

/// Limits before authentication. They suffice for HELLO and AUTH.
const UNAUTHENTICATED_MAX_ARGS: usize = 10;
const UNAUTHENTICATED_MAX_BULK: usize = 16_384;

/// Malformed input, after which the connection is closed. The messages are those of Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtocolError {
    #[error("ERR Protocol error: too big inline request")]
    InlineTooBig,
    /// Redis allows quotes in inline requests, the broker does not.
    #[error("ERR Protocol error: quotes in an inline request")]
    InlineQuotes,
    #[error("ERR Protocol error: too big mbulk count string")]
    CountTooBig,
    #[error("ERR Protocol error: invalid multibulk length")]
    Count,
    /// Too many arguments before authentication.
    #[error("ERR Protocol error: unauthenticated multibulk length")]
    UnauthenticatedCount,
    #[error("ERR Protocol error: expected '$', got '{}'", printable(*.0))]
    ExpectedBulk(u8),
    #[error("ERR Protocol error: too big bulk count string")]
    BulkTooBig,
    #[error("ERR Protocol error: invalid bulk length")]
    Bulk,
    /// Too long an argument before authentication.
    #[error("ERR Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulk,
}

/// A byte for an error message.
fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() { char::from(byte) } else { ' ' }
}

/// Takes the arguments of the next request from the front of `buffer`; an empty line has none. Returns `None` while the
/// request is incomplete.
///
/// # Errors
/// If the bytes are not a request or exceed a limit. The limits are tighter for `unauthenticated` connections.
pub(super) fn take(buffer: &mut BytesMut, unauthenticated: bool) -> Result<Option<Vec<Bytes>>, ProtocolError> {
    match buffer.first() {
        None => Ok(None),
        Some(b'*') => take_array(buffer, unauthenticated),
        Some(_) => take_line(buffer),
    }
}

fn take_array(buffer: &mut BytesMut, unauthenticated: bool) -> Result<Option<Vec<Bytes>>, ProtocolError> {
    let Some(end) = array_end(buffer, unauthenticated)? else { return Ok(None) };
    let mut request = buffer.split_to(end);
    let args = match decode_bytes_mut(&mut request) {
        Ok(Some((BytesFrame::Array(args), ..))) => args,
        // `*-1` is an empty request.
        Ok(Some((BytesFrame::Null, ..))) => Vec::new(),
        Ok(_) | Err(_) => return Err(ProtocolError::Count),
    };
    let arg = |frame| match frame {
        BytesFrame::BulkString(arg) => Ok(arg),
        _ => Err(ProtocolError::Bulk),
    };
    args.into_iter().map(arg).collect::<Result<_, _>>().map(Some)
}

/// The end of the array at the front of `buffer`, if the array is complete.
fn array_end(buffer: &[u8], unauthenticated: bool) -> Result<Option<usize>, ProtocolError> {
    let Some((count, mut at)) = length(buffer, 1, ProtocolError::CountTooBig, ProtocolError::Count)? else {
        return Ok(None);
    };
    let count = if count < 0 { 0 } else { usize::try_from(count).map_err(|_| ProtocolError::Count)? };
    if unauthenticated && count > UNAUTHENTICATED_MAX_ARGS {
        return Err(ProtocolError::UnauthenticatedCount);
    }
    if count > MAX_ARGS {
        return Err(ProtocolError::Count);
    }
    for _ in 0..count {
        match buffer.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::ExpectedBulk(*other)),
        }
        let Some((size, start)) = length(buffer, at + 1, ProtocolError::BulkTooBig, ProtocolError::Bulk)? else {
            return Ok(None);
        };
        let size = usize::try_from(size).map_err(|_| ProtocolError::Bulk)?;
        if unauthenticated && size > UNAUTHENTICATED_MAX_BULK {
            return Err(ProtocolError::UnauthenticatedBulk);
        }
        if size > MAX_REQUEST || start + size + 2 > MAX_REQUEST {
            return Err(ProtocolError::Bulk);
        }
        at = start + size + 2;
    }
    Ok((at <= buffer.len()).then_some(at))
}

/// The number from `at` to CRLF, and the position after CRLF.
fn length(
    buffer: &[u8],
    at: usize,
    too_long: ProtocolError,
    invalid: ProtocolError,
) -> Result<Option<(i64, usize)>, ProtocolError> {
    let rest = buffer.get(at..).unwrap_or_default();
    match rest.iter().take(MAX_LINE).position(|byte| *byte == b'\r') {
        None if rest.len() >= MAX_LINE => Err(too_long),
        None => Ok(None),
        Some(end) => match rest.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some((integer(&rest[..end]).ok_or(invalid)?, at + end + 2))),
            Some(_) => Err(invalid),
        },
    }
}

/// Parses an integer in the only form that Redis accepts: decimal, without plus sign, leading zeros or `-0`.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

fn take_line(buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
    let Some(end) = buffer.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return if buffer.len() >= MAX_LINE { Err(ProtocolError::InlineTooBig) } else { Ok(None) };
    };
    let line = buffer.split_to(end + 1).freeze();
    if line.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
        return Err(ProtocolError::InlineQuotes);
    }
    let args = line.split(u8::is_ascii_whitespace).filter(|arg| !arg.is_empty());
    Ok(Some(args.map(|arg| line.slice_ref(arg)).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        take(&mut BytesMut::from(bytes), false)
    }

    #[test]
    fn a_request_is_an_array_of_bulk_strings_or_a_line() {
        let args = vec![Bytes::from_static(b"GET"), Bytes::from_static(b"k")];
        assert_eq!(read(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), Ok(Some(args.clone())));
        assert_eq!(read(b"GET  k\r\n"), Ok(Some(args)));
        assert_eq!(read(b"\r\n"), Ok(Some(vec![])));
        assert_eq!(read(b"*0\r\n"), Ok(Some(vec![])));
        assert_eq!(read(b"*-1\r\n"), Ok(Some(vec![])));
    }

    #[test]
    fn an_incomplete_request_is_left_in_the_buffer() {
        let request = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        for cut in 0..request.len() {
            assert_eq!(read(&request[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn announced_sizes_above_the_limit_are_rejected_before_the_bytes_arrive() {
        assert_eq!(read(b"*99999999999\r\n"), Err(ProtocolError::Count));
        assert_eq!(read(b"*1\r\n$99999999\r\n"), Err(ProtocolError::Bulk));
        assert_eq!(read(b"*1\r\n$-1\r\n"), Err(ProtocolError::Bulk));
        assert_eq!(read(b"*1\r\n*1\r\n*1\r\n"), Err(ProtocolError::ExpectedBulk(b'*')));
        assert_eq!(read(b"*+1\r\n"), Err(ProtocolError::Count));
        assert_eq!(read(&[b'x'; MAX_LINE]), Err(ProtocolError::InlineTooBig));
        assert_eq!(read(&[b"*".as_slice(), &[b'1'; MAX_LINE]].concat()), Err(ProtocolError::CountTooBig));
        let unauthenticated = |bytes: &[u8]| take(&mut BytesMut::from(bytes), true);
        assert_eq!(unauthenticated(b"*11\r\n"), Err(ProtocolError::UnauthenticatedCount));
        assert_eq!(unauthenticated(b"*1\r\n$16385\r\n"), Err(ProtocolError::UnauthenticatedBulk));
    }

    #[test]
    fn the_total_size_of_many_small_arguments_is_limited() {
        let mut request = BytesMut::from(&b"*9\r\n"[..]);
        for _ in 0..9 {
            request.extend_from_slice(b"$524288\r\n");
            request.extend_from_slice(&[b'x'; 524_288]);
            request.extend_from_slice(b"\r\n");
        }
        assert_eq!(take(&mut request, false), Err(ProtocolError::Bulk));
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_rejected(bytes in any::<Vec<u8>>(), unauthenticated in any::<bool>()) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take(&mut buffer, unauthenticated) {}
        }

        #[test]
        fn near_requests_are_parsed_or_rejected(text in r"(\*[0-9-]{1,4}\r\n|\$[0-9-]{1,3}\r\n|[a-z]{0,4}\r\n){0,12}") {
            let mut buffer = BytesMut::from(text.as_bytes());
            while let Ok(Some(_)) = take(&mut buffer, false) {}
        }

        #[test]
        fn every_argument_is_preserved(args in proptest::collection::vec(any::<Vec<u8>>(), 1..9)) {
            let mut wire = format!("*{}\r\n", args.len()).into_bytes();
            for arg in &args {
                wire.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
                wire.extend_from_slice(arg);
                wire.extend_from_slice(b"\r\n");
            }
            let args: Vec<Bytes> = args.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(read(&wire), Ok(Some(args)));
        }
    }
}
