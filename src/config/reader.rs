//! Reads the merged settings into checked values, and records what may be shown of each.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::ValueKind;

use super::error::ConfigError;
use super::layers::Setting;
use super::secret::{SET, Secret, SecretUrl, SigningSecret};
use super::smtp::SmtpUrl;

/// One key of the effective configuration, with secrets hidden.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key, such as `serve.port`.
    pub(crate) key: String,
    /// The value; for a secret, only whether it is set.
    pub(crate) value: toml::Value,
    /// The layer that sets it, such as `environment: M3A3_SERVE__PORT`.
    pub(crate) origin: String,
}

/// An invalid part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ParseError {
    /// The part.
    pub(super) got: String,
    /// The allowed values.
    pub(super) expected: String,
}

impl ParseError {
    pub(super) fn new(got: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { got: got.into(), expected: expected.into() }
    }
}

/// The settings that are not read yet, and the entries of those that are.
pub(super) struct Reader {
    settings: BTreeMap<String, Setting>,
    entries: Vec<Entry>,
}

impl Reader {
    pub(super) fn new(settings: Vec<Setting>) -> Self {
        let settings = settings.into_iter().map(|setting| (setting.key.clone(), setting)).collect();
        Self { settings, entries: Vec::new() }
    }

    /// The entries of all settings that were read, in this order.
    pub(super) fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// The keys that were not read.
    #[cfg(test)]
    pub(super) fn unread(&self) -> Vec<&String> {
        self.settings.keys().collect()
    }

    /// Reads a value that is not secret.
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&ValueKind) -> Option<T>,
    ) -> Result<T, ConfigError> {
        self.read(key, expected, describe, |value| Some((parse(value)?, shown(value))))
    }

    /// Reads a text that is not secret; `None` when it is unset.
    pub(super) fn text<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.value(key, expected, |value| match value {
            ValueKind::String(text) if text.is_empty() => Some(None),
            ValueKind::String(text) => parse(text).map(Some),
            _ => None,
        })
    }

    /// Reads a text of several parts, and reports the invalid part. `expected` is for a value that is not a text.
    pub(super) fn parts<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, ParseError>,
    ) -> Result<T, ConfigError> {
        let mut parse_error = None;
        let read = self.value(key, expected, |value| match value {
            ValueKind::String(text) => parse(text).map_err(|wrong| parse_error = Some(wrong)).ok(),
            _ => None,
        });
        match (read, parse_error) {
            (Err(ConfigError::Invalid { key, origin, .. }), Some(ParseError { got, expected })) => {
                Err(ConfigError::Invalid { key, origin, got, expected })
            }
            (read, _) => read,
        }
    }

    pub(super) fn bool(&mut self, key: &str) -> Result<bool, ConfigError> {
        self.value(key, "true or false", |value| match value {
            ValueKind::Boolean(value) => Some(*value),
            _ => None,
        })
    }

    pub(super) fn integer<T: TryFrom<i64>>(&mut self, key: &str, range: RangeInclusive<i64>) -> Result<T, ConfigError> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.value(key, &expected, |value| match value {
            ValueKind::I64(number) if range.contains(number) => T::try_from(*number).ok(),
            _ => None,
        })
    }

    pub(super) fn milliseconds(&mut self, key: &str, range: RangeInclusive<i64>) -> Result<Duration, ConfigError> {
        self.integer(key, range).map(Duration::from_millis)
    }

    /// Reads seconds, which may have decimals.
    pub(super) fn seconds(&mut self, key: &str, range: RangeInclusive<f64>) -> Result<Duration, ConfigError> {
        self.duration(key, "seconds", 1.0, range)
    }

    /// Reads days of 24 hours, which may have decimals.
    pub(super) fn days(&mut self, key: &str, range: RangeInclusive<f64>) -> Result<Duration, ConfigError> {
        self.duration(key, "days", 86_400.0, range)
    }

    fn duration(
        &mut self,
        key: &str,
        unit: &str,
        unit_s: f64,
        range: RangeInclusive<f64>,
    ) -> Result<Duration, ConfigError> {
        let expected = format!("a number of {unit} from {} to {}", range.start(), range.end());
        self.value(key, &expected, |value| {
            let number = match value {
                ValueKind::I64(number) => *number as f64,
                ValueKind::Float(number) => *number,
                _ => return None,
            };
            if range.contains(&number) { Duration::try_from_secs_f64(number * unit_s).ok() } else { None }
        })
    }

    /// Reads a secret that is a valid header value.
    pub(super) fn secret(&mut self, key: &str) -> Result<Option<Secret>, ConfigError> {
        let expected = "ASCII characters without a space at the ends";
        self.hidden(key, expected, |text| is_header_value(text).then(|| Secret::new(text)))
    }

    /// Reads a secret that signs tokens.
    pub(super) fn token_secret(&mut self, key: &str, min_bytes: usize) -> Result<Option<Secret>, ConfigError> {
        let expected = format!("at least {min_bytes} bytes, such as the output of `m3a3 token generate`");
        self.hidden(key, &expected, |text| (text.len() >= min_bytes).then(|| Secret::new(text)))
    }

    /// Reads the key of a Standard Webhooks signature.
    pub(super) fn signing_secret(&mut self, key: &str) -> Result<Option<SigningSecret>, ConfigError> {
        self.hidden(key, SigningSecret::EXPECTED, SigningSecret::parse)
    }

    /// Reads a text that is shown only as set or unset; `None` when it is unset.
    fn hidden<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.read(key, expected, hidden, |value| match value {
            ValueKind::String(text) if text.is_empty() => Some((None, shown(value))),
            ValueKind::String(text) => Some((Some(parse(text)?), SET.into())),
            _ => None,
        })
    }

    /// Reads a URL that may hold a password.
    pub(super) fn url(&mut self, key: &str, schemes: &[&str]) -> Result<Option<SecretUrl>, ConfigError> {
        let forms: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
        let expected = format!("a URL that begins with {}", forms.join(" or "));
        self.masked(key, &expected, schemes, Some)
    }

    /// Reads the URL of the mail server.
    pub(super) fn smtp_url(&mut self, key: &str) -> Result<Option<SmtpUrl>, ConfigError> {
        self.masked(key, SmtpUrl::EXPECTED, SmtpUrl::SCHEMES, |url| SmtpUrl::read(&url))
    }

    /// Reads and parses a URL that is shown without its password.
    fn masked<T>(
        &mut self,
        key: &str,
        expected: &str,
        schemes: &[&str],
        parse: impl FnOnce(SecretUrl) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.read(key, expected, hidden, |value| match value {
            ValueKind::String(text) if text.is_empty() => Some((None, shown(value))),
            ValueKind::String(text) => {
                let url = SecretUrl::parse(text, schemes)?;
                let shown = url.to_string().into();
                Some((Some(parse(url)?), shown))
            }
            _ => None,
        })
    }

    fn read<T>(
        &mut self,
        key: &str,
        expected: &str,
        describe: impl FnOnce(&ValueKind) -> String,
        parse: impl FnOnce(&ValueKind) -> Option<(T, toml::Value)>,
    ) -> Result<T, ConfigError> {
        let setting = self.settings.remove(key).ok_or_else(|| ConfigError::NoDefault { key: key.to_owned() })?;
        let Some((value, shown)) = parse(&setting.value) else {
            let Setting { key, value, origin } = setting;
            return Err(ConfigError::Invalid { key, origin, got: describe(&value), expected: expected.to_owned() });
        };
        self.entries.push(Entry { key: setting.key, value: shown, origin: setting.origin });
        Ok(value)
    }
}

fn is_header_value(text: &str) -> bool {
    text.trim() == text && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn shown(value: &ValueKind) -> toml::Value {
    match value {
        ValueKind::Boolean(value) => (*value).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::Float(number) => (*number).into(),
        ValueKind::String(text) => text.clone().into(),
        other => other.to_string().into(),
    }
}

/// The value, for an error message of one line.
fn describe(value: &ValueKind) -> String {
    match value {
        ValueKind::String(text) => quoted(text),
        ValueKind::Nil => "an array or a date".to_owned(),
        other => other.to_string(),
    }
}

/// A text in quotes, or its length if it is too long for an error message.
pub(super) fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    if text.chars().count() > MAX_CHARS { format!("a text of {} bytes", text.len()) } else { format!("{text:?}") }
}

/// The type of a value that must not be shown.
fn hidden(value: &ValueKind) -> String {
    match value {
        ValueKind::String(_) => "a text that is hidden, since it may hold a secret".to_owned(),
        _ => "a value that is not a text".to_owned(),
    }
}
