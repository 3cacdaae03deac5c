//! The patterns of PSUBSCRIBE and PUBSUB CHANNELS: `*`, `?`, `[a-c]`, `[^a]` and `\`.

/// Whether all of `text` fits `pattern`, byte by byte, in time bounded by the product of their lengths.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: the pattern behind the last star, and how much text that star may swallow.
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
                if let Some(next) = one(pattern, p, *byte) {
                    (p, t) = (next, t + 1);
                    continue;
                }
            }
            None => return false,
        }
        let Some((behind_star, swallowed)) = retry else { return false };
        (p, t) = (behind_star, swallowed + 1);
        retry = Some((behind_star, swallowed + 1));
    }
}

/// The end of the pattern's element at `p`, if it fits `byte`.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match (pattern.get(p)?, pattern.get(p + 1)) {
        (b'?', _) => Some(p + 1),
        (b'\\', Some(escaped)) => (*escaped == byte).then_some(p + 2),
        (b'[', _) => class(pattern, p + 1, byte),
        (literal, _) => (*literal == byte).then_some(p + 1),
    }
}

/// The end of the class whose content begins at `p`, if `byte` is in it.
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
    fn patterns_fit_as_in_redis() {
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
    fn a_pattern_of_many_stars_ends_in_time() {
        assert!(!matches(format!("{}b", "a*".repeat(200)).as_bytes(), "a".repeat(5000).as_bytes()));
    }

    proptest! {
        #[test]
        fn any_pattern_ends(pattern in any::<Vec<u8>>(), text in any::<Vec<u8>>()) {
            let _ = matches(&pattern, &text);
        }

        #[test]
        fn a_text_without_special_bytes_fits_itself_and_its_prefix(text in "[a-z:0-9]{0,20}", cut in 0usize..20) {
            prop_assert!(matches(text.as_bytes(), text.as_bytes()));
            let prefix = format!("{}*", &text[..cut.min(text.len())]);
            prop_assert!(matches(prefix.as_bytes(), text.as_bytes()));
        }
    }
}
