//! Trace context of a client (W3C Trace Context, level 1).

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// The length of a `traceparent` of version 00: `00-{trace id}-{parent id}-{flags}`.
const LENGTH: usize = 55;

/// A `traceparent` of version 00 with a non-zero trace id and parent id, all in lowercase hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// The header value.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace, as 32 hex digits.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }

    /// The client's span, as 16 hex digits.
    pub fn parent_span_id(&self) -> &str {
        &self.0[36..52]
    }
}

impl FromStr for TraceParent {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_id = |part: &str| {
            part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) && part.bytes().any(|byte| byte != b'0')
        };
        let mut parts = text.split('-');
        let parts = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
        let is_valid = match parts {
            [Some("00"), Some(trace), Some(parent), Some(flags), None] => {
                text.len() == LENGTH
                    && trace.len() == 32
                    && parent.len() == 16
                    && is_id(trace)
                    && is_id(parent)
                    && flags.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            }
            _ => false,
        };
        if is_valid { Ok(Self(text.to_owned())) } else { Err(Invalid::text(text, "a traceparent of version 00")) }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_parent_has_a_trace_id_and_a_parent_span_id() {
        let parent: TraceParent = VALID.parse().unwrap();
        assert_eq!(parent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.parent_span_id(), "00f067aa0ba902b7");
        assert_eq!(parent.to_string(), VALID);
    }

    #[test]
    fn other_versions_zero_ids_and_other_forms_are_refused() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b77-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in any::<String>()) {
            let _ = text.parse::<TraceParent>();
        }

        #[test]
        fn every_text_of_the_alphabet_is_parsed_or_refused(text in "00-[0-9a-f-]{52}") {
            if let Ok(parent) = text.parse::<TraceParent>() {
                prop_assert_eq!((parent.trace_id().len(), parent.parent_span_id().len()), (32, 16));
            }
        }
    }
}
