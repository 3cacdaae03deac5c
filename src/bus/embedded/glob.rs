//! The patterns of PSUBSCRIBE: `*`, `?`, `[a-c]`, `[^a]` and `\`.

/// Whether all of `text` matches `pattern`, byte by byte. Takes time proportional to the product of their lengths.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to continue after a mismatch: after the last star, and the end of the text that this star matches.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, t));
            p += 1;
            continue;
        }
        match text.get(t) {
            None if p == pattern.len() => return true,
            Some(byte) => {
                if let Some(next) = element(pattern, p, *byte) {
                    (p, t) = (next, t + 1);
                    continue;
                }
            }
            None => return false,
        }
        let Some((after_star, matched)) = retry else { return false };
        (p, t) = (after_star, matched + 1);
        retry = Some((after_star, matched + 1));
    }
}

/// The end of the pattern element at `p`, if it matches `byte`.
fn element(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match (pattern.get(p)?, pattern.get(p + 1)) {
        (b'?', _) => Some(p + 1),
        (b'\\', Some(escaped)) => (*escaped == byte).then_some(p + 2),
        (b'[', _) => class(pattern, p + 1, byte),
        (literal, _) => (*literal == byte).then_some(p + 1),
    }
}

/// The end of the class whose content starts at `p`, if it contains `byte`.
fn class(pattern: &[u8], mut p: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(p) == Some(&b'^');
    p += usize::from(negated);
    let mut found = false;
    loop {
        match &pattern[p.min(pattern.len())..] {
            // A class that is not closed ends with the pattern.
            [] => break,
            [b']', ..] => {
                p += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                p += 2;
            }
            [low, b'-', high, ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                p += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                p += 1;
            }
        }
    }
    (found != negated).then_some(p)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text) in [
            ("finished:*", "finished:1"),
            ("finished:*", "finished:"),
            ("*", ""),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-c]llo", "hbllo"),
            ("a\\*c", "a*c"),
            ("*a*b", "xaaab"),
            ("**", "anything"),
        ] {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("finished:*", "finish"),
            ("", "x"),
            ("h?llo", "hllo"),
            ("h[^e]llo", "hello"),
            ("a\\*c", "abc"),
            ("*a*b", "xaaa"),
            ("a", "ab"),
        ] {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_bounded_time() {
        assert!(!matches(format!("{}b", "a*".repeat(200)).as_bytes(), "a".repeat(5000).as_bytes()));
    }

    proptest! {
        #[test]
        fn any_pattern_terminates(pattern in any::<Vec<u8>>(), text in any::<Vec<u8>>()) {
            let _ = matches(&pattern, &text);
        }

        #[test]
        fn a_text_without_special_bytes_matches_itself_and_its_prefix(text in "[a-z:0-9]{0,20}", cut in 0usize..20) {
            prop_assert!(matches(text.as_bytes(), text.as_bytes()));
            let prefix = format!("{}*", &text[..cut.min(text.len())]);
            prop_assert!(matches(prefix.as_bytes(), text.as_bytes()));
        }
    }
}
