//! The ages and times in the arguments of operators.

use std::str::FromStr;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};

use crate::db::UnixMillis;
use crate::ids::Invalid;

/// A duration, counted back from now: `90s`, `2h`, `7d`, `1d 12h`, or ISO 8601 (`P7D`). A day has 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age(Duration);

impl Age {
    /// Describes valid input in errors.
    pub(crate) const EXPECTED: &str = "an age such as 90s, 2h or 7d";

    /// The time that is this long before `now`.
    pub(crate) fn before(self, now: UnixMillis) -> UnixMillis {
        now.saturating_sub(i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX))
    }
}

impl FromStr for Age {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let span = text.parse::<Span>().ok();
        let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        let duration = duration.and_then(|duration| Duration::try_from(duration).ok());
        duration.map(Self).ok_or_else(|| Invalid::text(text, Self::EXPECTED))
    }
}

/// Parses an RFC 3339 time, or an [`Age`] before `now`.
pub(crate) fn since(text: &str, now: UnixMillis) -> Option<UnixMillis> {
    match text.parse::<Timestamp>() {
        Ok(at) => Some(at.as_millisecond()),
        Err(_) => text.parse::<Age>().ok().map(|age| age.before(now)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ages_and_times_are_parsed() {
        let day = 86_400_000;
        for (text, age) in [("7d", 7 * day), ("2h", 7_200_000), ("1d 12h", day + day / 2), ("P1D", day), ("0s", 0)] {
            assert_eq!(since(text, 10 * day), Some(10 * day - age), "{text}");
        }
        assert_eq!(since("1970-01-02T00:00:00Z", 0), Some(day));
        for bad in ["", "yesterday", "-2h", "7", "1mo", "2026-11-24"] {
            assert_eq!(since(bad, 0), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), now in 0..i64::MAX) {
            let _ = since(&text, now);
        }
    }
}
