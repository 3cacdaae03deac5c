//! Sanitizing of untrusted text for a terminal.

/// Whether a terminal interprets this character instead of displaying it: control characters, and those that change the
/// direction of the text (Unicode Standard Annex #9) or break the line.
pub(super) fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most `limit` characters of a text, with each unsafe one replaced.
pub(super) fn sanitized(text: &str, limit: usize) -> String {
    text.chars().take(limit).map(|char| if is_unsafe(char) { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

/// Escapes all unsafe characters in JSON, without a change of its meaning.
pub(super) fn escape_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for char in json.chars() {
        if is_unsafe(char) {
            // All of them are in the basic multilingual plane, so one escape suffices.
            safe.push_str(&format!("\\u{:04x}", u32::from(char)));
        } else {
            safe.push(char);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_unsafe_characters_are_replaced() {
        assert_eq!(sanitized("a\u{1b}[2J\u{9b}\u{202e}b\n", 99), "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}");
        assert_eq!(sanitized("日本 👩‍👩‍👧 e\u{301} العربية", 99), "日本 👩‍👩‍👧 e\u{301} العربية");
        assert_eq!(sanitized("abcdef", 3), "abc");
    }

    proptest! {
        #[test]
        fn escaped_json_is_one_safe_line_with_the_same_meaning(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            let safe = escape_json(&json);
            prop_assert!(!safe.contains(is_unsafe), "{safe:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }
    }
}
