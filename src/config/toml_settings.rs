//! TOML as flat settings: the embedded defaults, and `config/{M3A3_ENV}.toml`.

use config::ValueKind;

use super::error::ConfigError;
use super::layers::Setting;

/// The keys that files may set to an array of texts.
const LISTS: [&str; 2] = ["cors.origins", "serve.trusted_proxies"];

/// The settings of a file.
pub(super) fn toml_settings(file: &str, text: &str) -> Result<Vec<Setting>, ConfigError> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_number(text, span.start));
        ConfigError::Syntax { file: file.to_owned(), line, problem: error.message().to_owned() }
    })?;
    let mut settings = Vec::new();
    flatten("", table, file, &mut settings);
    Ok(settings)
}

fn flatten(prefix: &str, table: toml::Table, origin: &str, settings: &mut Vec<Setting>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        let value = match value {
            toml::Value::Table(table) => {
                flatten(&format!("{key}."), table, origin, settings);
                continue;
            }
            toml::Value::String(text) => ValueKind::String(text),
            toml::Value::Integer(number) => ValueKind::I64(number),
            toml::Value::Float(number) => ValueKind::Float(number),
            toml::Value::Boolean(value) => ValueKind::Boolean(value),
            toml::Value::Array(items) if LISTS.contains(&key.as_str()) => {
                joined(&items).map_or(ValueKind::Nil, ValueKind::String)
            }
            toml::Value::Array(_) | toml::Value::Datetime(_) => ValueKind::Nil,
        };
        settings.push(Setting { key, value, origin: origin.to_owned() });
    }
}

/// Texts in the form of variables and flags, separated by commas.
fn joined(items: &[toml::Value]) -> Option<String> {
    let texts: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
    Some(texts?.join(", "))
}

pub(super) fn line_number(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
