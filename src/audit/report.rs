//! The result of an audit.

use serde::Serialize;

/// The number of missing entries that are listed; the others are only counted.
const MAX_LISTED: usize = 1_000;

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
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
    pub(crate) fn name(self) -> &'static str {
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

/// An entry that is missing, or that contradicts its counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    pub(crate) check: Check,
    /// `image 5`, `order o-1`, `player ada`, or the path of a file.
    pub(crate) of: String,
    /// The expected and the found value.
    pub(crate) detail: String,
}

/// How many rows and files were compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Checked {
    pub(crate) images: u64,
    pub(crate) thumbnails: u64,
    pub(crate) jobs: u64,
    pub(crate) orders: u64,
    /// Originals and thumbnails.
    pub(crate) files: u64,
    pub(crate) players: u64,
}

/// Stored files without a row that are not a loss: an interrupted upload or job leaves them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Leftovers {
    pub(crate) originals: u64,
    pub(crate) thumbnails: u64,
}

/// The result of an audit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) missing_count: u64,
    /// The first [`MAX_LISTED`] of them.
    pub(crate) missing: Vec<Missing>,
    /// Comparisons that were not possible, with the reason.
    pub(crate) not_compared: Vec<String>,
    pub(crate) checked: Checked,
    pub(crate) leftovers: Leftovers,
}

impl Report {
    pub(super) fn add(&mut self, check: Check, of: impl Into<String>, detail: impl Into<String>) {
        self.missing_count += 1;
        if self.missing.len() < MAX_LISTED {
            self.missing.push(Missing { check, of: of.into(), detail: detail.into() });
        }
    }

    /// Whether nothing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing_count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_entries_are_counted_and_the_first_are_listed() {
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
