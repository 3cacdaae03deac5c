//! The layers, each parsed into flat settings with their origin.
//!
//! The environment, `.env` and flags hold text only; it is converted to the type of the key's default.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use config::{Map, Source, Value, ValueKind};

use super::error::ConfigError;
use super::legacy_env;
use super::toml_settings::{line_number, toml_settings};

const DEFAULTS: &str = include_str!("../../config/default.toml");
const DEFAULT_ORIGIN: &str = "default";
const ENVIRONMENT: &str = "environment";
const DOTENV: &str = ".env";
const PREFIX: &str = "M3A3_";
/// Selects `config/*.toml`. Variables with the prefix of tests are ignored. Neither is a key.
const PROFILE: &str = "M3A3_ENV";
const TEST_PREFIX: &str = "M3A3_TEST_";

/// Variables by name, from the environment or from `.env`.
pub(super) type Variables = BTreeMap<String, String>;

/// Settings of flags, the last layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides(Vec<Override>);

#[derive(Debug, Clone)]
struct Override {
    key: String,
    value: String,
    flag: String,
}

impl Overrides {
    /// Sets a key to the value of `flag` (its name with the dashes). An empty value means unset.
    pub(crate) fn set(&mut self, key: &str, value: &str, flag: &str) {
        self.0.push(Override { key: key.to_owned(), value: value.to_owned(), flag: flag.to_owned() });
    }
}

/// One value of one key.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: ValueKind,
    pub(super) origin: String,
}

/// The settings of one source, without empty strings, which mean unset.
#[derive(Debug, Clone, Default)]
struct Layer(Vec<Setting>);

impl Layer {
    fn push(&mut self, setting: Setting) {
        if setting.value != ValueKind::String(String::new()) {
            self.0.push(setting);
        }
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let values = self.0.iter().map(|Setting { key, value, origin }| (key, Value::new(Some(origin), value.clone())));
        Ok(values.map(|(key, value)| (key.clone(), value)).collect())
    }
}

/// Merges all layers into one setting for each key of the embedded defaults.
///
/// `read` reads a file, relative to the working directory.
pub(super) fn merge(
    environment: &Variables,
    read: &dyn Fn(&Path) -> io::Result<String>,
    overrides: &Overrides,
) -> Result<Vec<Setting>, ConfigError> {
    let defaults = Defaults(toml_settings(DEFAULT_ORIGIN, DEFAULTS)?);
    let dotenv = match read(Path::new(DOTENV)) {
        Ok(text) => dotenv_variables(&text)?,
        Err(source) if source.kind() == io::ErrorKind::NotFound => Variables::new(),
        Err(source) => return Err(ConfigError::Unreadable { file: DOTENV.to_owned(), why: "", source }),
    };

    let layers = [
        defaults.profile(environment, &dotenv, read)?,
        Layer(legacy_env::settings(&[(ENVIRONMENT, environment), (DOTENV, &dotenv)])?),
        defaults.variables(DOTENV, &dotenv)?,
        defaults.variables(ENVIRONMENT, environment)?,
        defaults.overrides(overrides)?,
    ];
    let mut builder = config::Config::builder().add_source(Layer(defaults.0.clone()));
    for layer in layers {
        builder = builder.add_source(layer);
    }
    let merged = builder.build().map_err(ConfigError::Layers)?;
    defaults.0.iter().map(|setting| effective(&merged.cache, setting)).collect()
}

/// The merged value of a key, which is at least its default.
fn effective(merged: &Value, default: &Setting) -> Result<Setting, ConfigError> {
    let mut value = merged;
    for part in default.key.split('.') {
        let ValueKind::Table(table) = &value.kind else {
            return Err(ConfigError::NoDefault { key: default.key.clone() });
        };
        value = table.get(part).ok_or_else(|| ConfigError::NoDefault { key: default.key.clone() })?;
    }
    let origin = value.origin().unwrap_or(DEFAULT_ORIGIN).to_owned();
    Ok(Setting { key: default.key.clone(), value: value.kind.clone(), origin })
}

/// The embedded defaults, which define the known keys and their types.
struct Defaults(Vec<Setting>);

impl Defaults {
    /// `config/{M3A3_ENV}.toml`, if `M3A3_ENV` is set.
    fn profile(
        &self,
        environment: &Variables,
        dotenv: &Variables,
        read: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Layer, ConfigError> {
        let set = |variables: &Variables| variables.get(PROFILE).filter(|name| !name.is_empty()).cloned();
        let (origin, name) = match (set(environment), set(dotenv)) {
            (Some(name), _) => (ENVIRONMENT, name),
            (None, Some(name)) => (DOTENV, name),
            (None, None) => return Ok(Layer::default()),
        };
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            let expected = "a name of letters, digits, \"-\" and \"_\", such as \"production\"".to_owned();
            let (key, origin, got) = (PROFILE.to_owned(), origin.to_owned(), format!("{name:?}"));
            return Err(ConfigError::Invalid { key, origin, got, expected });
        }
        let file = format!("config/{name}.toml");
        let text = read(Path::new(&file)).map_err(|source| {
            let why = ", which M3A3_ENV selects";
            ConfigError::Unreadable { file: file.clone(), why, source }
        })?;
        let mut layer = Layer::default();
        for setting in toml_settings(&file, &text)? {
            self.find(&setting.key).ok_or_else(|| self.unknown(&setting.key, &file))?;
            layer.push(setting);
        }
        Ok(layer)
    }

    /// The variables that set a key.
    fn variables(&self, origin: &str, variables: &Variables) -> Result<Layer, ConfigError> {
        let mut layer = Layer::default();
        for (name, text) in variables {
            if !name.starts_with(PREFIX) || name == PROFILE || name.starts_with(TEST_PREFIX) {
                continue;
            }
            let default = self.0.iter().find(|default| variable(&default.key) == *name).ok_or_else(|| {
                let suggestion = suggest(name, self.0.iter().map(|default| variable(&default.key)));
                ConfigError::UnknownKey { key: name.clone(), origin: origin.to_owned(), suggestion }
            })?;
            let origin = format!("{origin}: {name}");
            layer.push(Setting { key: default.key.clone(), value: coerce(text, &default.value), origin });
        }
        Ok(layer)
    }

    fn overrides(&self, overrides: &Overrides) -> Result<Layer, ConfigError> {
        let mut layer = Layer::default();
        for Override { key, value, flag } in &overrides.0 {
            let default = self.find(key).ok_or_else(|| self.unknown(key, flag))?;
            layer.push(Setting { key: key.clone(), value: coerce(value, &default.value), origin: flag.clone() });
        }
        Ok(layer)
    }

    fn find(&self, key: &str) -> Option<&Setting> {
        self.0.iter().find(|default| default.key == key)
    }

    fn unknown(&self, key: &str, origin: &str) -> ConfigError {
        let suggestion = suggest(key, self.0.iter().map(|default| default.key.clone()));
        ConfigError::UnknownKey { key: key.to_owned(), origin: origin.to_owned(), suggestion }
    }
}

/// The known name with the smallest edit distance to `name`.
fn suggest(name: &str, known: impl Iterator<Item = String>) -> String {
    known.min_by_key(|known| strsim::levenshtein(name, known)).unwrap_or_default()
}

/// Whether a variable of this name belongs to the configuration.
pub(super) fn is_relevant(name: &str) -> bool {
    name.starts_with(PREFIX) || legacy_env::ALL.contains(&name)
}

/// The variable that sets a key: `serve.port` is `M3A3_SERVE__PORT`.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// Converts text to the type of the key's default, or keeps it if it cannot be: the reader then reports the error.
fn coerce(text: &str, default: &ValueKind) -> ValueKind {
    let typed = match default {
        ValueKind::I64(_) => text.parse().map(ValueKind::I64).ok().or_else(|| text.parse().map(ValueKind::Float).ok()),
        ValueKind::Boolean(_) => text.parse().map(ValueKind::Boolean).ok(),
        _ => None,
    };
    typed.unwrap_or_else(|| ValueKind::String(text.to_owned()))
}

/// The variables of a `.env` file; the last one of a repeated name wins.
fn dotenv_variables(text: &str) -> Result<Variables, ConfigError> {
    let text = text.trim_start_matches('\u{feff}');
    dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(|error| {
        let line = match &error {
            dotenvy::Error::LineParse(line, _) => text.find(line.as_str()).map_or(1, |at| line_number(text, at)),
            _ => 1,
        };
        let problem = "expected NAME=value, with quotes around a value that contains spaces".to_owned();
        ConfigError::Syntax { file: DOTENV.to_owned(), line, problem }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_syntax_error_names_the_line_without_its_text() {
        let error = toml_settings("x.toml", "[auth]\n\ntoken = \"hunter2\n").unwrap_err().to_string();
        assert!(error.starts_with("x.toml, line 3: ") && !error.contains("hunter2"), "{error}");
        let error = dotenv_variables("A=1\n# x\nREDIS_PASSWORD=hunter2 more\n").unwrap_err().to_string();
        assert!(error.starts_with(".env, line 3: ") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn dotenv_files_may_contain_comments_quotes_exports_and_a_byte_order_mark() {
        let text = "\u{feff}A=1 # one\nexport B='two words'\r\n\nC=\"#3\"\nA=4\n";
        let expected = [("A", "4"), ("B", "two words"), ("C", "#3")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(dotenv_variables(text).unwrap(), Variables::from(expected));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = dotenv_variables(&text);
            let _ = toml_settings("x.toml", &text);
        }

        #[test]
        fn any_lines_of_dotenv_characters_are_read_or_refused(text in "[A-C=# '\"\\\\$\n{}]{0,40}") {
            let _ = dotenv_variables(&text);
        }
    }
}
