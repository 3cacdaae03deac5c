//! WebP by libwebp, which averages boxes of pixels while it decodes, and converts only what is left to RGB. Of a lossy
//! picture it holds a few rows, of a lossless one all pixels. Animations are left to the other decoder.

use webpx::{At, BitstreamFormat, Decoder, DecoderConfig, DecodingError};

use super::{Area, Depth, Goal, Header, Plane, Sink, Source, buffer};
use crate::thumbnail::colour::Model;
use crate::thumbnail::{Error, Limits, orientation};

/// How many samples are left for each pixel of a thumbnail, at least. Lanczos hides what a box blurs.
const KEPT: f64 = 2.0;

/// Smaller boxes are not worth a second copy of the pixels.
const LEAST: f64 = 1.5;

/// A still WebP whose header is read.
pub(super) struct WebP<'a> {
    header: Header,
    bytes: &'a [u8],
    /// Whether libwebp may average pixels: of lossy ones with alpha it does not weight the colours by it.
    shrinks: bool,
    /// What is decoded.
    plane: Plane,
    limits: Limits,
}

/// Reads what stands before the pixels; `None` for an animation.
pub(super) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Option<WebP<'a>>, Error> {
    let decoder = Decoder::new(bytes).map_err(refused)?;
    let info = decoder.info();
    if info.has_animation {
        return Ok(None);
    }
    let header = Header {
        width: info.width as usize,
        height: info.height as usize,
        model: if info.has_alpha { Model::Rgba } else { Model::Rgb },
        depth: Depth::U8,
        premultiplied: false,
        icc: chunk(bytes, b"ICCP").map(<[u8]>::to_vec),
        orientation: orientation::from_exif(chunk(bytes, b"EXIF")),
    };
    let shrinks = info.format == BitstreamFormat::Lossless || !info.has_alpha;
    let plane = header.plane();
    Ok(Some(WebP { header, bytes, shrinks, plane, limits: *limits }))
}

/// The content of the first chunk of this name (RFC 9649, 2.3).
fn chunk<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    let mut rest = bytes.get(12..)?;
    loop {
        let (header, after) = rest.split_first_chunk::<8>()?;
        let [name @ .., a, b, c, d] = header;
        let length = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?;
        let content = after.get(..length)?;
        if name == wanted {
            return Some(content);
        }
        rest = after.get(length + (length & 1)..)?;
    }
}

impl WebP<'_> {
    fn samples(&self) -> Result<Vec<u8>, Error> {
        let Plane { width, height, channels, .. } = self.plane;
        let row = (width * channels) as u32;
        // What the picture may have was decided by its header.
        let config = DecoderConfig::new().limits(webpx::Limits::none());
        let decoder = Decoder::new(self.bytes).map_err(refused)?;
        if (width, height) != (self.header.width, self.header.height) {
            let decoder = decoder.config(config.scale(width as u32, height as u32));
            let decoded = if channels == 3 { decoder.decode_rgb_raw() } else { decoder.decode_rgba_raw() };
            return Ok(decoded.map_err(refused)?.0);
        }
        let mut samples = buffer(u64::from(row).saturating_mul(height as u64), &self.limits)?;
        let decoder = decoder.config(config);
        match channels {
            3 => decoder.decode_rgb_into(&mut samples, row),
            _ => decoder.decode_rgba_into(&mut samples, row),
        }
        .map_err(refused)?;
        Ok(samples)
    }
}

impl Source for WebP<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, goal: Goal) -> Vec<Plane> {
        let Header { width, height, .. } = self.header;
        let factor = goal.step / KEPT;
        if self.shrinks && factor >= LEAST {
            let side = |pixels: usize| ((pixels as f64 / factor).ceil() as usize).clamp(1, pixels);
            let (fewer, lower) = (side(width), side(height));
            self.plane.across = width as f64 / fewer as f64;
            self.plane.down = height as f64 / lower as f64;
            (self.plane.width, self.plane.height) = (fewer, lower);
        }
        vec![self.plane]
    }

    fn read(&mut self, _: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let row = self.plane.width * self.plane.channels;
        let samples = self.samples()?;
        if samples.len() != row * self.plane.height {
            return Err(Error::corrupt("the decoder gives another number of samples than it was asked for"));
        }
        samples.chunks_exact(row).for_each(|row| sink.row(0, row));
        Ok(())
    }
}

fn refused(error: At<webpx::Error>) -> Error {
    match error.decompose().0 {
        webpx::Error::DecodeFailed(DecodingError::Suspended | DecodingError::NotEnoughData) => Error::Truncated,
        webpx::Error::DecodeFailed(DecodingError::OutOfMemory) | webpx::Error::OutOfMemory => Error::TooMuchMemory,
        other => Error::corrupt(other),
    }
}
