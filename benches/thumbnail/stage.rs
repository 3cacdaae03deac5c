//! The stages: the whole pipeline from a file, as in a worker, and its parts from memory.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, bail};
use m3a3_thumbnail::bench_hooks::{self, ResizedImage};
use m3a3_thumbnail::{Limits, Spec, probe, variants_of_file};

/// The default limit of the server.
const LIMITS: Limits = Limits { max_pixels: 100_000_000 };

/// A part of the pipeline, or all of it. Decoding and resizing alternate row by row, so the resize cannot be measured
/// alone: it is the whole without the other stages.
#[derive(Debug, Clone, Copy)]
pub enum Stage {
    /// Reads the header.
    Probe,
    /// Decodes the needed pixels and discards them.
    Decode,
    /// Converts, rotates and encodes a resized image.
    Encode,
    /// From the file to the thumbnail's bytes.
    Whole,
    /// The whole, for a spec with `fine`.
    Fine,
}

impl Stage {
    /// Name as a command-line argument.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Decode => "decode",
            Self::Encode => "encode",
            Self::Whole => "whole",
            Self::Fine => "fine",
        }
    }

    /// Parses a command-line argument.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let all = [Self::Probe, Self::Decode, Self::Encode, Self::Whole, Self::Fine];
        all.into_iter().find(|stage| stage.name() == name).with_context(|| format!("no stage {name}"))
    }

    /// The work to repeat; returns the thumbnail, if the stage produces one.
    pub fn prepared(self, file: &Path) -> anyhow::Result<Box<dyn FnMut() -> anyhow::Result<Vec<u8>>>> {
        Ok(match self {
            Self::Probe => {
                let bytes = fs::read(file)?;
                Box::new(move || {
                    black_box(probe(Cursor::new(&bytes), &LIMITS)?);
                    Ok(Vec::new())
                })
            }
            Self::Decode => {
                let bytes = fs::read(file)?;
                Box::new(move || {
                    bench_hooks::decode(&bytes, &Spec::default(), &LIMITS)?;
                    Ok(Vec::new())
                })
            }
            Self::Encode => {
                let resized = ResizedImage::new(&fs::read(file)?, &Spec::default(), &LIMITS)?;
                Box::new(move || Ok(resized.finish()?.bytes))
            }
            Self::Whole => of_file(file, Spec::default()),
            Self::Fine => of_file(file, Spec { fine: true, ..Spec::default() }),
        })
    }
}

fn of_file(file: &Path, spec: Spec) -> Box<dyn FnMut() -> anyhow::Result<Vec<u8>>> {
    let file = file.to_owned();
    Box::new(move || {
        let made = variants_of_file(File::open(&file)?, &[spec], &LIMITS)?;
        Ok(made.into_iter().next().context("no thumbnail")?.bytes)
    })
}

/// Number of pixels of an image.
pub fn pixels(bytes: &[u8]) -> anyhow::Result<u64> {
    let probe = probe(Cursor::new(bytes), &LIMITS)?;
    match u64::from(probe.width) * u64::from(probe.height) {
        0 => bail!("no pixels"),
        pixels => Ok(pixels),
    }
}
