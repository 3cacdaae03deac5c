//! Reading a JSON body within limits, and saying what is wrong with it.

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, BytesMut};
use futures_util::StreamExt;
use serde_json::{Map, Value};

use super::Problem;

/// The largest JSON body; room for the longest field that is answered with the field's name.
pub const MAX_JSON_BYTES: usize = 2 << 20;

/// The media type of a body, in lower case and without parameters; empty when none is given.
pub fn media_type(request: &HttpRequest) -> String {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// Reads a body that is to be one JSON object.
///
/// # Errors
/// 400 where it is no JSON or no object, 413 where it is too large.
pub async fn json_object(mut payload: web::Payload) -> Result<Map<String, Value>, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(incomplete)?;
        if body.len() + chunk.len() > MAX_JSON_BYTES {
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("The JSON body is larger than {MAX_JSON_BYTES} bytes."),
            ));
        }
        body.extend_from_slice(&chunk);
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => {
            Err(Problem::new(StatusCode::BAD_REQUEST, "The body is JSON, but not an object such as {\"key\": 1}."))
        }
        Err(error) => Err(Problem::new(StatusCode::BAD_REQUEST, format!("The body is not valid JSON: {error}."))),
    }
}

/// The problem of a body that ended before its length, or that does not follow HTTP.
pub fn incomplete(error: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, format!("The body could not be read to its end: {error}."))
}
