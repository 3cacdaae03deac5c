//! Makes untrusted text safe to show on one line.
//!
//! Names are chosen by users, or come from the database of the replaced service, which did not validate them.

/// The text on one line of at most `max_chars` characters, without characters that affect the text around it.
pub(super) fn single_line(text: &str, max_chars: usize) -> String {
    let visible: String = text
        .chars()
        .map(|c| if c.is_whitespace() || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .filter(|c| !is_invisible_control(*c))
        .collect();
    let line = visible.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(max_chars) {
        None => line,
        Some(_) => line.chars().take(max_chars.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Invisible characters that change the writing direction or hide text. Joiners are not among them, because emoji and
/// several scripts need them.
fn is_invisible_control(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_one_line_without_invisible_controls() {
        for (text, shown) in [
            ("Ada", "Ada"),
            ("  Ada \t Lovelace\u{a0}", "Ada Lovelace"),
            ("Ada\r\nBcc: eve@example.org", "Ada Bcc: eve@example.org"),
            ("a\0b\u{85}c\u{2028}d\u{2029}e", "a b c d e"),
            ("invoice\u{202e}gpj.exe\u{2066}\u{200f}", "invoicegpj.exe"),
            ("\u{feff}\u{200b}\u{e0041}", ""),
            ("עדה 日本 👩\u{200d}🚀", "עדה 日本 👩\u{200d}🚀"),
        ] {
            assert_eq!(single_line(text, 80), shown, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_is_truncated_between_characters() {
        assert_eq!(single_line(&"é".repeat(80), 80), "é".repeat(80));
        assert_eq!(single_line(&"é".repeat(81), 80), format!("{}…", "é".repeat(79)));
    }
}
