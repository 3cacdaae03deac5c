//! JPEG (ITU-T T.81): Huffman coded, 8 bit, sequential and progressive; decoded no larger than is needed.
//!
//! Each component becomes a plane of its own, at the size in which it is stored or at a half, a quarter or an eighth of
//! it, whichever the goal allows: of each 8x8 block then only the lowest frequencies are transformed, and what is between
//! them and the next block is passed over without being understood. At an eighth, that is all but the means. Samples are
//! given in the components as they are stored: the conversion to RGB waits for the few pixels that the resize leaves, and
//! CMYK reaches its profile.
//!
//! What is passed over must still be there and consist of codes. Of a progressive picture, scans that bring nothing that
//! is needed are not looked at.

mod band;
mod bits;
mod coefficients;
mod frame;
mod huffman;
mod means;
mod notes;
mod progressive;
mod restart;
mod segments;
mod sequential;
mod standard;
#[cfg(test)]
mod tests;
mod transform;
mod window;

use bits::Bits;
use frame::Frame;
use notes::Notes;
use segments::{Scan, Segments};
pub(in crate::thumbnail) use window::Seekable;
use window::Window;

use super::{Area, Depth, Goal, Header, Plane, Sink, Source};
use crate::thumbnail::colour::Model;
use crate::thumbnail::{Error, Limits, orientation};

/// Progressive files have about ten scans; each costs a pass over the whole picture, however small it is in the file.
const MAX_SCANS: usize = 64;

/// An opened JPEG.
pub(super) struct Jpeg<'a> {
    window: Window<'a>,
    limits: Limits,
    header: Header,
    frame: Frame,
    /// Stands at the data of the first scan.
    segments: Segments,
    first: Scan,
}

impl<'a> Jpeg<'a> {
    /// Reads up to the first scan of what lies in memory.
    pub(super) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        Self::read_from(Window::Whole(bytes), limits)
    }

    /// Reads up to the first scan of a file, of which no more than a window is then held at any time.
    pub(super) fn stream(file: &'a mut dyn Seekable, limits: &Limits) -> Result<Self, Error> {
        Self::read_from(Window::on(file), limits)
    }

    fn read_from(mut window: Window<'a>, limits: &Limits) -> Result<Self, Error> {
        let mut segments = Segments::new();
        let first = segments.next_scan(&mut window)?.ok_or_else(|| Error::corrupt("a JPEG without a scan"))?;
        let frame = segments.frame.clone().ok_or(Error::BadHeader("a JPEG without a frame header"))?;
        let header = Header {
            width: frame.width,
            height: frame.height,
            model: model(&frame, &segments.notes),
            depth: Depth::U8,
            premultiplied: false,
            icc: segments.notes.take_profile(),
            orientation: orientation::from_exif(segments.notes.exif.take().as_deref()),
        };
        Ok(Self { window, limits: *limits, header, frame, segments, first })
    }

    /// Each component must come in one scan, alone or with others.
    fn sequential(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let mut done = [false; 4];
        let mut next = Some(self.first.clone());
        while let Some(scan) = next {
            for &(index, ..) in &scan.parts[..scan.count] {
                if std::mem::replace(&mut done[index], true) {
                    return Err(Error::corrupt("a component comes twice"));
                }
            }
            let end = sequential::decode(&mut self.window, &self.frame, &scan, needed, sink)?;
            self.segments.pass_data(end);
            next = self.segments.next_scan(&mut self.window)?;
        }
        let all = done[..self.frame.components.len()].iter().all(|&done| done);
        if all { Ok(()) } else { Err(Error::corrupt("a component without a scan")) }
    }

    fn progressive(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let mut scans = vec![self.first.clone()];
        while let Some(scan) = self.segments.next_scan(&mut self.window)? {
            if scans.len() == MAX_SCANS {
                return Err(Error::corrupt("too many scans"));
            }
            scans.push(scan);
        }
        progressive::decode(&mut self.window, &self.frame, &scans, needed, &self.limits, sink)
    }
}

impl Source for Jpeg<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, goal: Goal) -> Vec<Plane> {
        let chroma = matches!(self.header.model, Model::YCbCr | Model::Ycck);
        self.frame.shrink(goal, |component| chroma && (component == 1 || component == 2));
        self.frame.components.iter().map(|component| self.frame.plane(component)).collect()
    }

    fn read(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        if self.frame.progressive { self.progressive(needed, sink) } else { self.sequential(needed, sink) }
    }
}

/// How the components are to be read: by Adobe's marker, else by JFIF, else by their names, as libjpeg does it. Adobe's
/// programs store ink inverted.
fn model(frame: &Frame, notes: &Notes) -> Model {
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    match (frame.components.len(), notes.adobe) {
        (1, _) => Model::Grey,
        (3, Some(0)) if !notes.jfif => Model::Rgb,
        (3, None) if !notes.jfif && ids == *b"RGB" => Model::Rgb,
        (3, _) => Model::YCbCr,
        (_, None) => Model::Cmyk { inverted: false },
        (_, Some(0)) => Model::Cmyk { inverted: true },
        _ => Model::Ycck,
    }
}

/// What is wrong where a code makes no sense: behind the end, zeros were read.
fn damaged(bits: &Bits) -> Error {
    if bits.overran() { Error::Truncated } else { Error::corrupt("entropy-coded data that makes no sense") }
}

fn missing() -> Error {
    Error::corrupt("a table that is not defined")
}
