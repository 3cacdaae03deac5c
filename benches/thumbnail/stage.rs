//! The stages: all of it from the file, as a worker does it, and its parts from memory.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, bail};
use m3a3::thumbnail::stages::{self, Small};
use m3a3::thumbnail::{Limits, Spec, probe, variants_of_file};

/// What the server allows by default.
const LIMITS: Limits = Limits { max_pixels: 100_000_000 };

/// A part of the way, or all of it. Decoding and resizing take turns, row by row, so the resize cannot be had alone: it is
/// what the others leave of the whole.
#[derive(Debug, Clone, Copy)]
pub enum Stage {
    /// The header.
    Probe,
    /// The pixels, as far as they are needed, thrown away.
    Decode,
    /// Colours, direction and file of a picture that is resized already.
    Encode,
    /// From the file to the thumbnail's bytes.
    Whole,
    /// The same, for a thumbnail of high quality.
    Fine,
}

impl Stage {
    /// As an argument.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Decode => "decode",
            Self::Encode => "encode",
            Self::Whole => "whole",
            Self::Fine => "fine",
        }
    }

    /// From an argument.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let all = [Self::Probe, Self::Decode, Self::Encode, Self::Whole, Self::Fine];
        all.into_iter().find(|stage| stage.name() == name).with_context(|| format!("no stage {name}"))
    }

    /// What is to be done again and again; it gives the thumbnail, if it makes one.
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
                    stages::decode(&bytes, &Spec::default(), &LIMITS)?;
                    Ok(Vec::new())
                })
            }
            Self::Encode => {
                let small = Small::new(&fs::read(file)?, &Spec::default(), &LIMITS)?;
                Box::new(move || Ok(small.finish()?.bytes))
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

/// How many pixels a file has.
pub fn pixels(bytes: &[u8]) -> anyhow::Result<u64> {
    let probe = probe(Cursor::new(bytes), &LIMITS)?;
    match u64::from(probe.width) * u64::from(probe.height) {
        0 => bail!("no pixels"),
        pixels => Ok(pixels),
    }
}
