//! The path of the database file.

use std::path::{Path, PathBuf};

/// The path of a database file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location(PathBuf);

impl Location {
    /// Neither the file nor its folder has to exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The folder of the file, which also contains the lock files of the processes.
    pub fn folder(&self) -> &Path {
        match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// A file beside the database: its name with a suffix, such as `-wal`.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.0.as_os_str().to_owned();
        path.push(suffix);
        path.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_bare_file_name_is_the_working_directory() {
        assert_eq!(Location::new("m3a3.db").folder(), Path::new("."));
        assert_eq!(Location::new("data/m3a3.db").folder(), Path::new("data"));
        assert_eq!(Location::new("data/m3a3.db").beside("-wal"), Path::new("data/m3a3.db-wal"));
    }
}
