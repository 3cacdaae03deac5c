//! `Forwarded` (RFC 7239): elements such as `for="[2001:db8::1]:80";proto=https`, separated by commas.
//!
//! A line is split from the right: a client could open a quoted string and never close it, and everything that a proxy
//! appends would be part of that string if it were read from the left.

use std::borrow::Cow;
use std::iter;

use super::{Hop, Scheme, address};

/// The elements of a line, the last one first; `None` for one that names no address.
pub(super) fn hops(line: &str) -> impl Iterator<Item = Option<Hop>> {
    let mut rest = Some(line);
    iter::from_fn(move || {
        let (before, element) = split_last(rest?);
        rest = before;
        Some(hop(element.trim()))
    })
}

/// Splits at the last comma that is not quoted.
fn split_last(line: &str) -> (Option<&str>, &str) {
    let bytes = line.as_bytes();
    let mut is_quoted = false;
    for (at, byte) in bytes.iter().enumerate().rev() {
        match byte {
            b'"' => is_quoted ^= !is_escaped(&bytes[..at]),
            b',' if !is_quoted => return (Some(&line[..at]), &line[at + 1..]),
            _ => {}
        }
    }
    (None, line)
}

fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

fn hop(element: &str) -> Option<Hop> {
    let (mut client, mut scheme) = (None, None);
    let mut rest = element;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        let is_repeated = match name {
            name if name.eq_ignore_ascii_case("for") => client.replace(address(&value)?).is_some(),
            name if name.eq_ignore_ascii_case("proto") => scheme.replace(Scheme::parse(&value)).is_some(),
            _ => false,
        };
        if is_repeated {
            return None;
        }
        match after.trim_start() {
            "" => return Some(Hop { address: client?, scheme: scheme.flatten() }),
            after => rest = after.strip_prefix(';')?.trim_start(),
        }
    }
}

/// A token or a quoted string, and the text after it.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ';' || c == '"' || c.is_ascii_whitespace()).unwrap_or(text.len());
        return Some((Cow::Borrowed(&text[..end]), &text[end..]));
    };
    let (mut unescaped, mut is_escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            '"' if !is_escaped => return Some((Cow::Owned(unescaped), &quoted[at + 1..])),
            '\\' if !is_escaped => is_escaped = true,
            c => {
                unescaped.push(c);
                is_escaped = false;
            }
        }
    }
    None
}
