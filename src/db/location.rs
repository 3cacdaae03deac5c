//! Where the database lies.

use std::path::{Path, PathBuf};

/// The path of a database file, as `database.url` gives it: a plain path or a `file:` URL, whose query is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location(PathBuf);

impl Location {
    /// Reads `database.url`. `file:./dev.db?connection_limit=1`, as other tools write it, is `./dev.db`.
    pub fn parse(url: &str) -> Self {
        let path = match url.strip_prefix("file:") {
            None => url,
            Some(rest) => {
                let path = rest.split_once('?').map_or(rest, |(path, _query)| path);
                path.strip_prefix("//").unwrap_or(path)
            }
        };
        Self(PathBuf::from(path))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The folder that the file lies in, where what belongs to the database's processes lies too.
    pub fn folder(&self) -> &Path {
        match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_file_urls_name_the_same_file() {
        for (url, path) in [
            ("data/m3a3.db", "data/m3a3.db"),
            ("file:./dev.db", "./dev.db"),
            ("file:dev.db?connection_limit=1", "dev.db"),
            ("file:///var/lib/m3a3.db", "/var/lib/m3a3.db"),
            ("/var/lib/a?b.db", "/var/lib/a?b.db"),
        ] {
            assert_eq!(Location::parse(url).path(), Path::new(path), "{url}");
        }
    }

    #[test]
    fn a_bare_file_name_lies_in_the_working_directory() {
        assert_eq!(Location::parse("m3a3.db").folder(), Path::new("."));
        assert_eq!(Location::parse("data/m3a3.db").folder(), Path::new("data"));
    }
}
