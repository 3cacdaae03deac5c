//! The section `[images]`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::reader::Reader;
use super::sections::{or_one_per_core, required, time_limit};
use super::variants::{EXPECTED_DEFAULT_OUTPUT, Variant, default_output};

/// Images and thumbnails.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    /// The folder of all images.
    pub(crate) root: PathBuf,
    /// Images with more pixels are refused; at least 1.
    pub(crate) max_pixels: u64,
    /// Thumbnail jobs that one worker process runs concurrently.
    pub(crate) concurrency: NonZeroUsize,
    /// The time limit of one job; more than 0.
    pub(crate) time_limit: Duration,
    /// The thumbnails to create for every image: at least one; the first is the `thumbnailUrl`.
    pub(crate) variants: Vec<Variant>,
}

impl Images {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            root: required(from, "images.root", "the path of a folder", |text| Some(PathBuf::from(text)))?,
            max_pixels: from.integer("images.max_pixels", 1..=1 << 40)?,
            concurrency: or_one_per_core(from, "images.concurrency")?,
            time_limit: time_limit(from, "images.time_limit_s")?,
            variants: {
                let output = required(from, "images.output", EXPECTED_DEFAULT_OUTPUT, default_output)?;
                from.parts("images.variants", Variant::EXAMPLE, |text| Variant::parse_all(text, output))?
            },
        })
    }
}
