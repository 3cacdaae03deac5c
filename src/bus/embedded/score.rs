//! Parsing and formatting of scores, as in Redis 7.0.

use super::command_error::CommandError;

/// Parses a score: a decimal number with or without an exponent, or `inf`, `+inf`, `-inf`, `infinity`.
///
/// # Errors
/// [`CommandError::NotAFloat`] for anything else, for NaN, and for numbers outside the range of a double.
pub(super) fn parse(text: &[u8]) -> Result<f64, CommandError> {
    let text = std::str::from_utf8(text).map_err(|_| CommandError::NotAFloat)?;
    let score: f64 = text.parse().map_err(|_| CommandError::NotAFloat)?;
    let named = text.bytes().any(|byte| matches!(byte, b'i' | b'I'));
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let underflow = score == 0.0 && mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    if score.is_nan() || (score.is_infinite() && !named) || underflow {
        return Err(CommandError::NotAFloat);
    }
    Ok(score)
}

/// Formats a score like C's `%.17g`: 17 significant digits without trailing zeros, which preserve every double, and an
/// exponent where that is shorter.
pub(super) fn format(score: f64) -> String {
    const DIGITS: i32 = 17;
    if score.is_infinite() {
        return if score > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    let scientific = format!("{score:.16e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..DIGITS).contains(&exponent) {
        let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or_default();
        return without_trailing_zeros(&format!("{score:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_trailing_zeros(mantissa), exponent.abs())
}

fn without_trailing_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scores_are_formatted_as_in_c() {
        for (score, text) in [
            (3.0, "3"),
            (9.5, "9.5"),
            (0.1, "0.10000000000000001"),
            (-0.0, "-0"),
            (1e308, "1e+308"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (f64::NEG_INFINITY, "-inf"),
            (5e-324, "4.9406564584124654e-324"),
        ] {
            assert_eq!(format(score), text);
        }
    }

    #[test]
    fn numbers_that_a_double_cannot_hold_are_rejected() {
        for bad in ["", " 1", "1 ", "nan", "1e400", "1e-400", "abc", "1,5", "--1", "0x10"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        for (good, score) in [("1", 1.0), ("+inf", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY), ("0e5", 0.0)] {
            assert_eq!(parse(good.as_bytes()).ok(), Some(score), "{good}");
        }
    }

    proptest! {
        #[test]
        fn formatting_and_parsing_preserve_every_score(score in any::<f64>()) {
            prop_assume!(!score.is_nan());
            prop_assert_eq!(parse(format(score).as_bytes()).ok(), Some(score));
        }

        #[test]
        fn any_bytes_are_parsed_or_rejected(text in any::<Vec<u8>>()) {
            let _ = parse(&text);
        }
    }
}
