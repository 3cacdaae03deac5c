//! Text from strangers, made sanitized for a terminal.

/// Whether a terminal would obey this character instead of showing it: control characters, and those that turn the
/// direction of the text around them (Unicode Standard Annex #9) or break its line.
pub(super) fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most `limit` characters of a text, with a replacement character for each hostile one.
pub(super) fn sanitized(text: &str, limit: usize) -> String {
    text.chars().take(limit).map(|char| if is_unsafe(char) { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

/// JSON in which every hostile character is escaped; it means the same.
pub(super) fn escape_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for char in json.chars() {
        if is_unsafe(char) {
            // All of them stand in the basic plane, so that one escape is enough.
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
    fn what_a_terminal_would_obey_is_replaced_and_what_it_shows_is_kept() {
        assert_eq!(sanitized("a\u{1b}[2J\u{9b}\u{202e}b\n", 99), "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}");
        assert_eq!(sanitized("日本 👩‍👩‍👧 e\u{301} العربية", 99), "日本 👩‍👩‍👧 e\u{301} العربية");
        assert_eq!(sanitized("abcdef", 3), "abc");
    }

    proptest! {
        #[test]
        fn json_means_the_same_and_is_one_harmless_line(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            let safe = escape_json(&json);
            prop_assert!(!safe.contains(is_unsafe), "{safe:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }
    }
}
