//! Formatting of names, numbers and durations for narrow columns.

use std::borrow::Cow;
use std::time::Duration;

use ratatui::style::Style;
use ratatui::text::Span;

/// The text, truncated with an ellipsis to at most `width` columns.
pub(super) fn truncate(text: &str, width: u16) -> Cow<'_, str> {
    let width = usize::from(width);
    let span = Span::raw(text);
    if span.width() <= width {
        return Cow::Borrowed(text);
    }
    let mut fitting = String::new();
    let mut left = width.saturating_sub(1);
    for grapheme in span.styled_graphemes(Style::new()) {
        let Some(rest) = left.checked_sub(Span::raw(grapheme.symbol).width()) else { break };
        fitting.push_str(grapheme.symbol);
        left = rest;
    }
    if width > 0 {
        fitting.push('…');
    }
    Cow::Owned(fitting)
}

/// Inserts thousands separators into a number.
pub(super) fn group_thousands(text: &str) -> String {
    let digits = text.find(|char: char| char.is_ascii_digit()).unwrap_or_default();
    let end = text[digits..].find(|char: char| !char.is_ascii_digit()).map_or(text.len(), |length| digits + length);
    let mut group_thousands = String::with_capacity(text.len() * 4 / 3);
    for (at, char) in text.char_indices() {
        if at > digits && at < end && (end - at).is_multiple_of(3) {
            group_thousands.push(',');
        }
        group_thousands.push(char);
    }
    group_thousands
}

/// A duration in its largest whole unit.
pub(super) fn format_duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_and_no_digit_is_lost() {
        for (number, apart) in [
            ("100", "100"),
            ("1000", "1,000"),
            ("-1234567", "-1,234,567"),
            ("123456.125", "123,456.125"),
            ("18446744073709551615", "18,446,744,073,709,551,615"),
            ("1e+300", "1e+300"),
            ("0.0001", "0.0001"),
            ("-0", "-0"),
        ] {
            assert_eq!(group_thousands(number), apart);
        }
    }

    #[test]
    fn a_text_that_is_too_wide_ends_in_an_ellipsis() {
        for (text, width, fitting) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 4, "日…"),
            ("日本語", 6, "日本語"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(truncate(text, width), fitting);
        }
    }
}
