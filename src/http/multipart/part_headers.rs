//! The headers of a part, and the parameters of header fields.
//!
//! Values are bytes: browsers send names in the encoding of their page, and some programs in that of their system.

use percent_encoding::percent_decode;

/// The headers of a part that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// Only files have one; it is empty for a file input without a file.
    pub(crate) file_name: Option<String>,
}

impl Part {
    /// Parses the header lines of a part; `None` without a name.
    pub(super) fn parse(headers: &[u8]) -> Option<Self> {
        let disposition = field(headers, b"content-disposition")?;
        let name = text(&parameter(&disposition, b"name")?);
        // RFC 7578 forbids the extended form, but some clients send it, often beside a plain one that has lost
        // characters.
        let extended = parameter(&disposition, b"filename*").and_then(|value| extended_text(&value));
        let file_name = extended.or_else(|| parameter(&disposition, b"filename").map(|value| text(&value)));
        Some(Self { name, file_name })
    }
}

/// The value of the first header field of this name, in lower case.
fn field(headers: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut found: Option<Vec<u8>> = None;
    for line in headers.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        match &mut found {
            // A folded line (RFC 5322, section 2.2.3).
            Some(value) if line.starts_with(b" ") || line.starts_with(b"\t") => value.extend_from_slice(line),
            Some(_) => return found,
            None => {
                let colon = line.iter().position(|byte| *byte == b':');
                let (own_name, value) = line.split_at(colon.unwrap_or(line.len()));
                if own_name.trim_ascii().eq_ignore_ascii_case(name) {
                    found = Some(value.get(1..).unwrap_or_default().to_vec());
                }
            }
        }
    }
    found
}

/// The first parameter of this name (in lower case) of a header field such as `form-data; name="image"`.
pub(super) fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let (_, mut rest) = split_at_semicolon(value)?;
    loop {
        let equals = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let own_name = rest[..equals].trim_ascii();
        if rest[equals] == b';' {
            rest = &rest[equals + 1..];
            continue;
        }
        let (value, after) = parameter_value(rest[equals + 1..].trim_ascii_start());
        if own_name.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = split_at_semicolon(after)?.1;
    }
}

fn split_at_semicolon(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b';')?;
    Some((&text[..at], &text[at + 1..]))
}

/// A quoted string or a token, and what follows it. Not only the characters of tokens are accepted without quotes.
fn parameter_value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        return (text[..end].trim_ascii().to_vec(), &text[end..]);
    };
    let mut value = Vec::new();
    let mut at = 0;
    while let Some(byte) = quoted.get(at) {
        match (byte, quoted.get(at + 1)) {
            (b'"', _) => return (value, &quoted[at + 1..]),
            // Other backslashes are literal: browsers do not escape those of `C:\photo.jpg`.
            (b'\\', Some(escaped @ (b'"' | b'\\'))) => {
                value.push(*escaped);
                at += 2;
            }
            _ => {
                value.push(*byte);
                at += 1;
            }
        }
    }
    (value, &[])
}

/// Text that is not UTF-8 is taken for Latin-1, which every sequence of bytes is.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => latin1(bytes),
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// `charset'language'percent-encoded` (RFC 8187, section 3.2); `None` if it is malformed.
fn extended_text(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes: Vec<u8> = percent_decode(encoded).collect();
    match charset {
        charset if charset.eq_ignore_ascii_case(b"utf-8") => String::from_utf8(bytes).ok(),
        charset if charset.eq_ignore_ascii_case(b"iso-8859-1") => Some(latin1(&bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(disposition: &[u8]) -> Option<(String, Option<String>)> {
        let headers = [b"\r\nContent-Disposition: ", disposition].concat();
        Part::parse(&headers).map(|Part { name, file_name }| (name, file_name))
    }

    fn file_name(parameters: &[u8]) -> Option<String> {
        part(&[b"form-data; name=\"image\"; ", parameters].concat()).unwrap().1
    }

    #[test]
    fn a_file_name_in_any_encoding_is_read() {
        for (parameters, name) in [
            ("filename=\"Größe.png\"".as_bytes(), "Größe.png"),
            (b"filename=\"Gr\xf6\xdfe.png\"", "Größe.png"),
            (b"filename=\"\x83e\x83X\x83g.png\"", "\u{83}e\u{83}X\u{83}g.png"),
            (b"filename*=UTF-8''Gr%C3%B6%C3%9Fe.png", "Größe.png"),
            (b"filename*=utf-8'de'a%20b.png", "a b.png"),
            (b"filename*=iso-8859-1''Gr%F6%DFe.png", "Größe.png"),
            (b"filename=\"Gr__e.png\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.png", "Größe.png"),
            (b"filename*=UTF-8''Gr%C3%B6%C3%9Fe.png; filename=Gr__e.png", "Größe.png"),
            (b"filename*=UTF-8''%FF; filename=\"x.png\"", "x.png"),
            (b"filename*=UTF-16''x; filename=\"x.png\"", "x.png"),
            (b"filename*=broken; filename=\"x.png\"", "x.png"),
        ] {
            assert_eq!(file_name(parameters).as_deref(), Some(name), "{}", String::from_utf8_lossy(parameters));
        }
    }

    #[test]
    fn quotes_and_backslashes_in_file_names_are_read_as_clients_send_them() {
        for (parameters, name) in [
            (&br#"filename="a\"b.png""#[..], "a\"b.png"),
            (br#"filename="C:\photos\x.png""#, "C:\\photos\\x.png"),
            (br#"filename="a\\b.png""#, "a\\b.png"),
            (br#"filename="a; name=b=c.png""#, "a; name=b=c.png"),
            (br"filename=two words.png", "two words.png"),
            (br#"filename="no end"#, "no end"),
            (br#"FileName = "x.png" ; size=3"#, "x.png"),
            (br#"filename="""#, ""),
        ] {
            assert_eq!(file_name(parameters).as_deref(), Some(name), "{}", String::from_utf8_lossy(parameters));
        }
        assert_eq!(file_name(b"filename"), None);
        assert_eq!(file_name(b"size=3"), None);
    }

    #[test]
    fn a_part_has_a_name() {
        assert_eq!(part(b"form-data; name=userId"), Some(("userId".to_owned(), None)));
        assert_eq!(part(b"form-data;;name=\"a\xe9\""), Some(("aé".to_owned(), None)));
        assert_eq!(part(b"form-data;\r\n\tname=\"x\""), Some(("x".to_owned(), None)));
        for nameless in [&b"form-data"[..], b"form-data; filename=x", b"", b"name=x", b"form-data; name"] {
            assert_eq!(part(nameless), None);
        }
        assert_eq!(Part::parse(b"\r\nContent-Type: image/png"), None);
        let headers = b"\r\ncontent-type: image/png\r\nCONTENT-DISPOSITION:form-data;name=\"x\"\r\nX: name=\"y\"";
        assert_eq!(Part::parse(headers), Some(Part { name: "x".to_owned(), file_name: None }));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(headers in proptest::collection::vec(0u8.., 0..200)) {
            let _ = Part::parse(&headers);
            let _ = part(&headers);
            let _ = file_name(&headers);
        }
    }
}
