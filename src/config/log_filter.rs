//! The filter in `log.level`.
//!
//! Stricter than [`EnvFilter`], which takes a misspelt level for the name of a module: it then logs everything of that
//! module, which does not exist, and nothing else, not even errors.

use std::fmt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::reader::{ParseError, quoted};

/// The levels by name, from the fewest events to the most.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// The most edits that turn a misspelt level into the suggested one.
const MAX_EDITS: usize = 2;

/// A valid filter: a level, and levels of modules and spans that override it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFilter {
    base: LevelFilter,
    directives: Vec<String>,
}

impl LogFilter {
    pub(super) const EXPECTED: &str =
        "error, warn, info, debug, trace or off, also per module such as \"info,m3a3::jobs=debug\"";

    /// The span of a request exists only while a line is formatted, after the filter has chosen it.
    const REQUEST_SPAN: &str = "request";
    const EXPECTED_SPAN: &str = "the span of jobs such as \"info,[job{kind=email}]=debug\", \
         or for requests a module such as \"info,m3a3::http=debug\"";

    pub(super) fn parse(text: &str) -> Result<Self, ParseError> {
        let mut base = None;
        let mut directives = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match directive(part)? {
                Directive::Base(level) if base.is_some_and(|base| base != level) => {
                    return Err(ParseError::new(quoted(text), "one level, and any number of MODULE=LEVEL"));
                }
                Directive::Base(level) => base = Some(level),
                Directive::Override => directives.push(part.to_owned()),
            }
        }
        if base.is_none() && directives.is_empty() {
            return Err(ParseError::new(quoted(text), Self::EXPECTED));
        }
        // Without a level of their own, other modules still log their errors.
        Ok(Self { base: base.unwrap_or(LevelFilter::ERROR), directives })
    }

    /// The level of all modules that no directive names.
    pub(crate) fn base(&self) -> LevelFilter {
        self.base
    }
}

impl fmt::Display for LogFilter {
    /// Formats it in the syntax of [`EnvFilter`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.base)?;
        self.directives.iter().try_for_each(|directive| write!(f, ",{directive}"))
    }
}

/// One part of the filter.
enum Directive {
    Base(LevelFilter),
    Override,
}

fn directive(part: &str) -> Result<Directive, ParseError> {
    // The name of a span may contain "=", between brackets.
    let (target, level) = match part.rsplit_once('=') {
        Some((target, level)) if !level.contains(']') => (target, Some(level)),
        _ => (part, None),
    };
    match level {
        Some(name) if level_by_name(name).is_none() => Err(unknown_level(part, name, Some(target))),
        // A path or a span without a level means every level.
        None if !part.contains("::") && !part.contains('[') => {
            level_by_name(part).map(Directive::Base).ok_or_else(|| unknown_level(part, part, None))
        }
        _ if span_name(part) == Some(LogFilter::REQUEST_SPAN) => {
            Err(ParseError::new(quoted(part), LogFilter::EXPECTED_SPAN))
        }
        _ if EnvFilter::try_new(part).is_err() => Err(ParseError::new(quoted(part), LogFilter::EXPECTED)),
        _ => Ok(Directive::Override),
    }
}

/// The name between the brackets of `target[name{field=value}]=level`.
fn span_name(part: &str) -> Option<&str> {
    let (_, span) = part.split_once('[')?;
    span.split(['{', ']']).next()
}

fn level_by_name(name: &str) -> Option<LevelFilter> {
    LEVELS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, level)| *level)
}

/// The error for an unknown level, of a target or of all.
fn unknown_level(part: &str, name: &str, target: Option<&str>) -> ParseError {
    let suggestion = similar_level(name).map(|level| match target {
        Some(target) => format!("; did you mean {target}={level}?"),
        None => format!("; did you mean {level}?"),
    });
    ParseError::new(quoted(part), LogFilter::EXPECTED.to_owned() + &suggestion.unwrap_or_default())
}

fn similar_level(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let edits = |known: &str| match !name.is_empty() && (name.starts_with(known) || known.starts_with(&name)) {
        true => 0,
        // Two swapped letters are one mistake.
        false => strsim::damerau_levenshtein(&name, known),
    };
    let (edits, level) = LEVELS.iter().map(|(known, _)| (edits(known), *known)).min_by_key(|(edits, _)| *edits)?;
    (edits <= MAX_EDITS).then_some(level)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_level_and_overrides_in_any_order_are_a_filter() {
        for (text, filter) in [
            ("info", "info"),
            ("OFF", "off"),
            ("warn, m3a3::jobs=debug ,hyper=off", "warn,m3a3::jobs=debug,hyper=off"),
            ("m3a3::jobs=trace,warn,", "warn,m3a3::jobs=trace"),
            ("info,m3a3::jobs", "info,m3a3::jobs"),
            ("info,[job{kind=email}]=debug", "info,[job{kind=email}]=debug"),
            ("info,m3a3[job]", "info,m3a3[job]"),
        ] {
            assert_eq!(LogFilter::parse(text).map(|filter| filter.to_string()), Ok(filter.to_owned()), "{text}");
            assert!(EnvFilter::try_new(filter).is_ok(), "{filter}");
        }
    }

    #[test]
    fn overrides_alone_leave_the_errors_of_other_modules() {
        let filter = LogFilter::parse("m3a3::jobs=debug").unwrap();
        assert_eq!((filter.base(), filter.to_string().as_str()), (LevelFilter::ERROR, "error,m3a3::jobs=debug"));
    }

    #[test]
    fn a_misspelt_level_is_an_error_with_a_suggestion() {
        for (text, got, suggestion) in [
            ("inof", "inof", "; did you mean info?"),
            ("Warning", "Warning", "; did you mean warn?"),
            ("err", "err", "; did you mean error?"),
            ("m3a3", "m3a3", ""),
            ("7", "7", ""),
            ("verbose", "verbose", ""),
            ("info,m3a3=inof", "m3a3=inof", "; did you mean m3a3=info?"),
            ("m3a3::jobs=debgu,info", "m3a3::jobs=debgu", "; did you mean m3a3::jobs=debug?"),
            ("m3a3=", "m3a3=", ""),
            ("hyper=loud", "hyper=loud", ""),
            ("[job]=trcae", "[job]=trcae", "; did you mean [job]=trace?"),
        ] {
            let expected = ParseError::new(quoted(got), LogFilter::EXPECTED.to_owned() + suggestion);
            assert_eq!(LogFilter::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn two_levels_no_level_and_broken_spans_are_errors() {
        for text in ["info,debug", ",", " ", "info,[job", "info,=debug", "info,[job{}]=debug", "m3a3 = debug"] {
            assert!(LogFilter::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_span_of_requests_cannot_be_filtered() {
        for text in ["[request]", "[request]=debug", "m3a3[request{method=GET}]=trace", "m3a3::http[request]"] {
            let expected = ParseError::new(quoted(text), LogFilter::EXPECTED_SPAN);
            assert_eq!(LogFilter::parse(&format!("info,{text}")), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_a_filter_that_logging_accepts(text in "[a-z:,=\\[\\]{} ]{0,24}|.{0,24}") {
            if let Ok(filter) = LogFilter::parse(&text) {
                prop_assert!(EnvFilter::try_new(filter.to_string()).is_ok(), "{filter}");
            }
        }
    }
}
