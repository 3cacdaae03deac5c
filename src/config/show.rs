//! The effective configuration as text.

use serde_json::json;

use super::{Config, Entry};

impl Config {
    /// The effective configuration as TOML, with the origin of each value as a comment. Secrets are hidden.
    pub(crate) fn to_toml(&self) -> String {
        let mut lines = String::new();
        let mut section = "";
        for Entry { key, value, origin } in &self.entries {
            let (table, name) = key.split_once('.').unwrap_or(("", key));
            if table != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                lines.push_str(&format!("{gap}[{table}]\n"));
                section = table;
            }
            lines.push_str(&format!("{name} = {value} # {origin}\n"));
        }
        lines
    }

    /// The effective configuration as JSON: `{section: {name: {"value", "origin"}}}`. Secrets are hidden.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut sections = json!({});
        for Entry { key, value, origin } in &self.entries {
            let (table, name) = key.split_once('.').unwrap_or(("", key));
            sections[table][name] = json!({ "value": value, "origin": origin });
        }
        sections
    }
}
