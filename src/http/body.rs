//! Reads request bodies within limits, and names the wrong fields of JSON bodies.

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::Problem;
use super::pace::Pace;
use super::unknown_fields::{Recording, UnknownFields};
use crate::ids::{CustomerId, EmailAddress, Invalid, OrderId, Score, UserId, Username};

/// The largest JSON body; above the longest field, so that a field that is too long is refused by its name.
pub(crate) const MAX_JSON_BYTES: usize = 2 << 20;

/// Longer names belong to no field.
const MAX_FIELD_NAME: usize = 64;

/// The byte-order mark of UTF-8, which some programs of Windows put before every text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The media type of a body, in lower case and without parameters; empty when none is given.
///
/// # Errors
/// 415 for a compressed body.
pub(crate) fn media_type(request: &HttpRequest) -> Result<String, Problem> {
    refuse_compression(request)?;
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    Ok(value.split(';').next().unwrap_or("").trim().to_ascii_lowercase())
}

/// 415 for any content coding, with the only one that is accepted (RFC 9110, section 12.5.3).
fn refuse_compression(request: &HttpRequest) -> Result<(), Problem> {
    for value in request.headers().get_all(header::CONTENT_ENCODING) {
        let codings = String::from_utf8_lossy(value.as_bytes());
        let mut codings = codings.split(',').map(str::trim);
        if let Some(coding) = codings.find(|coding| !(coding.is_empty() || coding.eq_ignore_ascii_case("identity"))) {
            let coding: String = coding.chars().take(60).collect();
            let detail = format!("Content-Encoding: got {coding:?}, expected a body that is not compressed.");
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
            return Err(problem.with_header(header::ACCEPT_ENCODING, "identity"));
        }
    }
    Ok(())
}

/// A field of a JSON body: its value, or why it is invalid. Deserializing it never fails, so that all wrong fields of a
/// body are reported at once; a field with `#[serde(default)]` may be missing.
pub(crate) struct Checked<T>(Result<T, Invalid>);

impl<T> Checked<T> {
    pub(crate) fn into_result(self) -> Result<T, Invalid> {
        self.0
    }
}

/// A type that validates a JSON value, or a missing field (`None`).
pub(crate) trait FromJson: Sized {
    fn from_json(value: Option<&Value>) -> Result<Self, Invalid>;
}

macro_rules! validated {
    ($($type:ty),+) => {$(
        impl FromJson for $type {
            fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
                <$type>::from_json(value)
            }
        }
    )+};
}

validated!(UserId, OrderId, CustomerId, Username, Score, EmailAddress);

impl<T: FromJson> Default for Checked<T> {
    fn default() -> Self {
        Self(T::from_json(None))
    }
}

impl<'de, T: FromJson> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(Self(T::from_json(Some(&value))))
    }
}

/// Reads a JSON object into a request type.
///
/// # Errors
/// 400 for other content, 408 for a body that stalls or is too slow, 413 for one that is too large, 415 for one that is
/// compressed or of another media type.
pub(crate) async fn json<T: DeserializeOwned>(request: &HttpRequest, payload: web::Payload) -> Result<T, Problem> {
    require_json(request)?;
    parse(&read_to_end(payload, MAX_JSON_BYTES, "JSON body").await?)
}

/// Parses the JSON before the request type is deserialized: the last one of duplicate fields counts, as in JavaScript.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize::<_, Value>(&mut json);
    let value = parsed.map_err(|error| malformed(field_at(error.path()), error.inner()))?;
    json.end().map_err(|error| malformed(None, &error))?;
    if !value.is_object() {
        let detail = "The body is JSON, but not an object such as {\"key\": 1}.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let mut fields = UnknownFields::default();
    let request = serde_path_to_error::deserialize(Recording::new(value, &mut fields));
    if !fields.unknown.is_empty() {
        let unknown: Vec<&str> = fields.unknown.iter().map(String::as_str).collect();
        return Err(Problem::unknown_fields("field", &unknown, fields.known));
    }
    request.map_err(|error| {
        let field = field_at(error.path()).unwrap_or("The body");
        Problem::new(StatusCode::BAD_REQUEST, format!("{field}: got a value of another type."))
    })
}

/// The problem of invalid JSON or a number out of range, named by the field at which parsing stopped.
fn malformed(field: Option<&str>, error: &serde_json::Error) -> Problem {
    let detail = format!("The body is not valid JSON: {error}.");
    match field {
        Some(field) => Problem::new(StatusCode::BAD_REQUEST, format!("{field}: got no valid value. {detail}")),
        None => Problem::new(StatusCode::BAD_REQUEST, detail),
    }
}

/// The field of the body that a path leads to, unless its name is unsuitable for a message.
fn field_at(path: &Path) -> Option<&str> {
    match path.iter().next()? {
        Segment::Map { key } => {
            let is_plain = !key.is_empty() && key.len() <= MAX_FIELD_NAME && !key.chars().any(char::is_control);
            is_plain.then_some(key.as_str())
        }
        _ => None,
    }
}

/// Reads a whole body; `name` is its name in problems.
///
/// # Errors
/// 400 for a body that breaks off, 408 for one that stalls or is too slow, 413 for one that is too large.
pub(crate) async fn read_to_end(mut payload: web::Payload, max_bytes: usize, name: &str) -> Result<Bytes, Problem> {
    let (mut body, mut pace) = (BytesMut::new(), Pace::default());
    while let Some(chunk) = pace.with_stall_timeout(payload.next()).await? {
        let chunk = chunk.map_err(incomplete)?;
        pace.received().add(chunk.len());
        if body.len() + chunk.len() > max_bytes {
            let detail = format!("The {name} is larger than {max_bytes} bytes.");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Refuses compressed bodies, and those of other media types than JSON, with 415.
fn require_json(request: &HttpRequest) -> Result<(), Problem> {
    let media_type = media_type(request)?;
    match media_type.as_str() {
        "application/json" => Ok(()),
        _ => Err(unsupported(&media_type, &["application/json"])),
    }
}

/// 415: the body has none of the expected media types.
pub(crate) fn unsupported(media_type: &str, expected: &[&str]) -> Problem {
    let got = if media_type.is_empty() { "nothing".to_owned() } else { format!("{media_type:?}") };
    let detail = format!("Content-Type: got {got}, expected {}.", expected.join(" or "));
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail).with_header(header::ACCEPT, expected.join(", "))
}

/// Both values, or one 400 that names every wrong field.
pub(crate) fn zip_errors<A, B>(
    (first_name, first): (&str, Result<A, Invalid>),
    (second_name, second): (&str, Result<B, Invalid>),
) -> Result<(A, B), Problem> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (first, second) => Err(Problem::wrong_fields([(first_name, first.err()), (second_name, second.err())])),
    }
}

/// The problem of a body that is shorter than announced, or violates HTTP.
pub(crate) fn incomplete(error: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, format!("The body could not be read to its end: {error}."))
}

#[cfg(test)]
mod tests;
