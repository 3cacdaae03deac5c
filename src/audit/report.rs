//! The result of an audit.

use serde::Serialize;

/// How many of the things that are missing are listed; the others are only counted.
const MAX_LISTED: usize = 1_000;

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// An image's original file.
    Original,
    /// An image's thumbnail: its row or its file.
    Thumbnail,
    /// The job of an image or an order.
    Job,
    /// The image or the order of a job.
    Subject,
    /// The row of a stored file.
    Row,
    /// A player's score in Redis.
    Board,
}

impl Check {
    /// The name in tables and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Thumbnail => "thumbnail",
            Self::Job => "job",
            Self::Subject => "subject",
            Self::Row => "row",
            Self::Board => "board",
        }
    }
}

/// One thing that is missing, or is not as its counterpart says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// What kind of thing.
    pub check: Check,
    /// Whose: `image 5`, `order o-1`, `player ada`, or a file's path.
    pub of: String,
    /// What was expected and what was found.
    pub detail: String,
}

/// How much was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Rows of images.
    pub images: u64,
    /// Rows of thumbnails.
    pub thumbnails: u64,
    /// Rows of jobs.
    pub jobs: u64,
    /// Rows of orders.
    pub orders: u64,
    /// Stored originals and thumbnails.
    pub files: u64,
    /// Players whose score is in the database.
    pub players: u64,
}

/// Stored files without a row that prove no loss: an interrupted upload or job leaves them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Leftovers {
    /// Originals.
    pub originals: u64,
    /// Thumbnails.
    pub thumbnails: u64,
}

/// The result of an audit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How many things are missing.
    pub missing_count: u64,
    /// The first of them.
    pub missing: Vec<Missing>,
    /// What could not be compared, and why.
    pub not_compared: Vec<String>,
    /// How much was compared.
    pub checked: Checked,
    /// Files without a row.
    pub leftovers: Leftovers,
}

impl Report {
    pub(super) fn add(&mut self, check: Check, of: impl Into<String>, detail: impl Into<String>) {
        self.missing_count += 1;
        if self.missing.len() < MAX_LISTED {
            self.missing.push(Missing { check, of: of.into(), detail: detail.into() });
        }
    }

    /// Whether everything that could be compared agrees.
    pub fn is_complete(&self) -> bool {
        self.missing_count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_and_only_the_first_are_listed() {
        let mut report = Report::default();
        assert!(report.is_complete());
        for image in 0..1_500 {
            report.add(Check::Original, format!("image {image}"), "there is no such file");
        }
        assert_eq!((report.missing_count, report.missing.len()), (1_500, MAX_LISTED));
        assert!(!report.is_complete());
    }

    #[test]
    fn a_check_has_the_same_name_in_tables_and_in_json() {
        for check in [Check::Original, Check::Thumbnail, Check::Job, Check::Subject, Check::Row, Check::Board] {
            assert_eq!(serde_json::to_value(check).unwrap(), check.name());
        }
    }
}
