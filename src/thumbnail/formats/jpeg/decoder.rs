//! Decodes a JPEG of any scan structure, scan by scan.

use super::super::codec::{ReadSeek, RowDecoder};
use super::app_segments::Metadata;
use super::frame::Frame;
use super::segments::{Scan, SegmentReader};
use super::source::Source;
use super::{ending, progressive, sequential};
use crate::error::Error;
use crate::limits::Limits;
use crate::orientation;
use crate::raster::{Area, Depth, Goal, Header, Model, Plane, Sink};

/// Progressive files have about ten scans. Each one is a pass over the whole image, even if it has few bytes.
const MAX_SCANS: usize = 64;

/// A JPEG that is read up to its first scan.
pub(super) struct JpegDecoder<'a> {
    source: Source<'a>,
    limits: Limits,
    header: Header,
    frame: Frame,
    /// Positioned at the data of the first scan.
    segments: SegmentReader,
    first_scan: Scan,
}

impl<'a> JpegDecoder<'a> {
    /// Opens a file in memory.
    pub(super) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        Self::new(Source::Memory(bytes), limits)
    }

    /// Opens a file that is read through a sliding buffer.
    pub(super) fn stream(file: &'a mut dyn ReadSeek, limits: &Limits) -> Result<Self, Error> {
        Self::new(Source::file(file), limits)
    }

    fn new(mut source: Source<'a>, limits: &Limits) -> Result<Self, Error> {
        let mut segments = SegmentReader::new();
        let first_scan = segments.next_scan(&mut source)?.ok_or_else(|| Error::corrupt("a JPEG without a scan"))?;
        let frame = segments.frame.clone().ok_or(Error::BadHeader("a JPEG without a frame header"))?;
        let header = Header {
            width: frame.width,
            height: frame.height,
            model: model(&frame, &segments.metadata),
            depth: Depth::U8,
            premultiplied: false,
            icc: segments.metadata.take_profile(),
            orientation: orientation::from_exif(segments.metadata.exif.take().as_deref()),
        };
        Ok(Self { source, limits: *limits, header, frame, segments, first_scan })
    }

    /// Each component has one scan, its own or one of several components. When all are decoded, the image is complete.
    fn decode_sequential(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let mut remaining: Vec<usize> = (0..self.frame.components.len()).collect();
        let mut scan = self.first_scan.clone();
        loop {
            for component in scan.components() {
                let found = remaining.iter().position(|&index| index == component.index);
                remaining.swap_remove(found.ok_or_else(|| Error::corrupt("two scans of one component"))?);
            }
            let end = sequential::decode(&mut self.source, &self.frame, &scan, needed, sink)?;
            ending::check(&mut self.source, &end)?;
            if remaining.is_empty() {
                return Ok(());
            }
            self.segments.resume_at(end.loaded_end());
            let next = self.segments.next_scan(&mut self.source)?;
            scan = next.ok_or_else(|| Error::corrupt("a component without a scan"))?;
        }
    }

    /// All scans are listed before they are decoded, so that those of no use can be skipped. Without EOI, nothing but
    /// the coefficients shows whether scans are missing, and the last one must be decoded to its end.
    fn decode_progressive(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let mut scans = vec![self.first_scan.clone()];
        let has_eoi = loop {
            match self.segments.next_scan(&mut self.source) {
                Ok(Some(_)) if scans.len() == MAX_SCANS => return Err(Error::corrupt("too many scans")),
                Ok(Some(scan)) => scans.push(scan),
                Ok(None) => break true,
                Err(error @ Error::Read { .. }) => return Err(error),
                Err(error) if !progressive::is_complete(&self.frame, &scans) => return Err(error),
                Err(_) => break false,
            }
        };
        progressive::decode(&mut self.source, &self.frame, &scans, !has_eoi, needed, &self.limits, sink)
    }
}

impl RowDecoder for JpegDecoder<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, goal: Goal) -> Vec<Plane> {
        let chroma = matches!(self.header.model, Model::YCbCr | Model::Ycck);
        self.frame.shrink(goal, |component| chroma && (component == 1 || component == 2));
        self.frame.components.iter().map(|component| self.frame.plane(component)).collect()
    }

    fn decode(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        match self.frame.progressive {
            true => self.decode_progressive(needed, sink),
            false => self.decode_sequential(needed, sink),
        }
    }
}

/// Colour model of the components: from the Adobe segment, else from JFIF, else from the component ids, like libjpeg.
/// Adobe software stores CMYK inverted, and other decoders take all CMYK for inverted, with an Adobe segment or not.
fn model(frame: &Frame, metadata: &Metadata) -> Model {
    let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
    match (frame.components.len(), metadata.adobe) {
        (1, _) => Model::Grey,
        (3, Some(0)) if !metadata.jfif => Model::Rgb,
        (3, None) if !metadata.jfif && ids == *b"RGB" => Model::Rgb,
        (3, _) => Model::YCbCr,
        (_, None | Some(0)) => Model::Cmyk { inverted: true },
        _ => Model::Ycck,
    }
}
