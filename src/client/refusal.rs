//! The reasons that a server or the library gives for the end of a connection.

use rust_socketio::Payload;
use serde_json::Value;

use super::sanitize::sanitized;

/// The most characters of an error message from the server or the library.
pub(super) const MAX_REASON_CHARS: usize = 200;

/// The reason in an error event. The library uses one text for all errors of the transport, and puts one before the data
/// of a CONNECT_ERROR packet.
pub(super) fn reason(payload: &Payload) -> String {
    let text = match payload {
        Payload::Text(values) => values.first().and_then(|value| value.as_str()),
        _ => None,
    };
    match text {
        None | Some("EngineIO Error") => "the connection was lost".to_owned(),
        Some(text) => sanitized(&refusal(text).unwrap_or_else(|| text.to_owned()), MAX_REASON_CHARS),
    }
}

/// The message of the server in the library's text for a CONNECT_ERROR packet.
fn refusal(text: &str) -> Option<String> {
    let data: Value = serde_json::from_str(text.strip_prefix("Received an ConnectError frame: ")?).ok()?;
    data["message"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_of_the_library_is_reworded() {
        assert_eq!(reason(&Payload::from("EngineIO Error")), "the connection was lost");
        assert_eq!(reason(&Payload::from("go \u{1b}away")), "go \u{fffd}away");
        assert_eq!(reason(&Payload::from(json!({}))), "the connection was lost");
        let refused = r#"Received an ConnectError frame: {"message":"no \u001bentry"}"#;
        assert_eq!(reason(&Payload::from(refused)), "no \u{fffd}entry");
        let refused = "Received an ConnectError frame: \"no entry\"";
        assert_eq!(reason(&Payload::from(refused)), refused);
    }
}
