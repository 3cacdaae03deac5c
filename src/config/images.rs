//! The section `[images]`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::reader::Reader;
use super::sections::{or_one_per_core, required, time_limit};
use super::variants::{Output, Variant};

/// Pictures and thumbnails.
#[derive(Debug, Clone)]
pub struct Images {
    /// The folder below which every picture lies.
    pub root: PathBuf,
    /// Pictures of more pixels are refused; at least 1.
    pub max_pixels: u64,
    /// Thumbnails made at the same time by one worker process.
    pub concurrency: NonZeroUsize,
    /// How long one job may take; more than 0.
    pub time_limit: Duration,
    /// The thumbnails that are made of every picture: at least one, and the first is the one that the picture is shown by.
    pub variants: Vec<Variant>,
}

impl Images {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self {
            root: required(from, "images.root", "the path of a folder", |text| Some(PathBuf::from(text)))?,
            max_pixels: from.integer("images.max_pixels", 1..=1 << 40)?,
            concurrency: or_one_per_core(from, "images.concurrency")?,
            time_limit: time_limit(from, "images.time_limit_s")?,
            variants: {
                let output = required(from, "images.output", Output::EXPECTED_DEFAULT, Output::default_output)?;
                from.parts("images.variants", Variant::EXAMPLE, |text| Variant::parse_all(text, output))?
            },
        })
    }
}
