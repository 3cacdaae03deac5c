//! Pictures in, thumbnails out: bytes to bytes.
//!
//! Owns the way from a file's bytes to its thumbnail, and what is refused on that way. Consumes bytes, publishes
//! nothing, and imports nothing of the crate. It never opens a file, never looks at a name, and never does more than
//! one thing at a time: who calls it decides on which thread, and on how many.
//!
//! The way: [`probe()`] the header and refuse what is too large before anything is allocated → check that the container
//! is whole → decode to rows of planes, shrunk as far as the wanted sizes allow → resize the rows as they come (Lanczos3,
//! in the picture's own colour model), for every wanted thumbnail at once → convert the few pixels that are left to sRGB
//! → turn them upright → encode.
//!
//! # What is made
//! What a [`Spec`] says: by default [`SIDE`] pixels square, filled and centred, enlarged when the picture is smaller; JPEG
//! of quality 80, 4:2:0, at most [`MAX_JPEG_BYTES`], or PNG of at most [`MAX_PNG_BYTES`] if a pixel of the result is not
//! opaque. Always upright by EXIF orientation; in sRGB, converted by the embedded ICC profile, or by a printer's model where
//! CMYK has none; without metadata. The same bytes give the same bytes on the same machine. Of several frames or pages the
//! first is taken. A malformed EXIF block or ICC profile is ignored.
//!
//! # What is refused
//! Every pixel of the first frame must be there and must decode, in every format alike: there is no partial thumbnail.
//! A file that ends early is [`Error::Truncated`], where that can be told, and else [`Error::Corrupt`]. JPEG and PNG
//! must have their end marker (EOI, IEND) and WebP the length that its header states. A JPEG that lacks nothing but its
//! EOI is refused too: only the EOI tells it from a progressive one that lost its last scans. Of a JPEG that is shrunk
//! while it is decoded, all codes must make sense, but for those of progressive scans that bring nothing to the small
//! size: these are not looked at. A GIF must be whole up to the end of its first frame, a TIFF in its first page, a BMP in
//! its pixels. What follows after the end is ignored.
//!
//! # What it costs
//! A few megabytes: rows come and go, and of a progressive JPEG only the coefficients are held that are needed. A JPEG's
//! or PNG's file is read in parts, any other is held too ([`variants_of_file`]). Held as pixels, within [`Limits::max_bytes`], are GIF with interlacing (a byte for each pixel), WebP that is lossless, animated, or
//! lossy with alpha, TIFF pages of one strip, and BMP with run lengths; a picture that would take more is refused. A panic
//! of a decoder is caught and is [`Error::Corrupt`].

mod colour;
mod complete;
mod decode;
mod encode;
mod error;
mod format;
#[cfg(test)]
mod hostile_tests;
mod make;
mod orientation;
mod probe;
mod profile;
mod resize;
mod spec;
#[doc(hidden)]
pub mod stages;
#[cfg(test)]
mod tests;

use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use encode::{MAX_JPEG_BYTES, MAX_PNG_BYTES};
pub use error::{Error, MAX_SIDE};
pub use format::Format;
pub use probe::Probe;
pub use spec::{Fit, Output, Spec};

/// The thumbnail's width and height in pixels.
pub const SIDE: usize = 300;

/// What a picture may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most pixels, width times height.
    pub max_pixels: u64,
}

impl Limits {
    /// The most bytes that decoding may allocate at once: 8 a pixel, what 16-bit RGBA takes, and 32 MiB for tables,
    /// metadata and the like.
    pub fn max_bytes(&self) -> u64 {
        self.max_pixels.saturating_mul(8).saturating_add(32 << 20)
    }
}

/// A finished thumbnail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// The encoded file.
    pub bytes: Vec<u8>,
    /// What was wanted: with [`Output::Jpeg`], [`Format::Png`] if a pixel is not opaque.
    pub format: Format,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// Reads format and dimensions from the header, in bounded memory; the pixels are not looked at.
///
/// The reader is read from its current position, which must be the file's start, and left anywhere.
///
/// # Errors
/// When the header shows that there will be no thumbnail (then [`Error::shows_in_header`]), or the reader fails.
pub fn probe<R: BufRead + Seek>(reader: R, limits: &Limits) -> Result<Probe, Error> {
    contained(|| probe::probe(reader, limits))
}

/// Makes the thumbnail that [`Spec::default`] wants. Blocking and CPU-bound: call it on a thread that may block.
///
/// # Errors
/// When the picture is refused, cut off or damaged.
pub fn thumbnail(bytes: &[u8], limits: &Limits) -> Result<Thumbnail, Error> {
    let mut made = variants(bytes, &[Spec::default()], limits)?;
    made.pop().ok_or_else(|| Error::corrupt("a decoder gave nothing"))
}

/// Makes a thumbnail for each of the specs, in their order, from one decode. Blocking and CPU-bound, like [`thumbnail()`].
///
/// # Errors
/// When the picture is refused, cut off or damaged.
pub fn variants(bytes: &[u8], specs: &[Spec], limits: &Limits) -> Result<Vec<Thumbnail>, Error> {
    contained(|| make::make(open(bytes, limits)?.as_mut(), specs))
}

/// The same for a file, of which no more than a part is held at any time if it is a JPEG or a PNG; others are read whole.
///
/// # Errors
/// When the picture is refused, cut off or damaged, or the file cannot be read ([`Error::Read`]).
pub fn variants_of_file<F: Read + Seek>(mut file: F, specs: &[Spec], limits: &Limits) -> Result<Vec<Thumbnail>, Error> {
    contained(|| {
        let probe = probe::probe(BufReader::new(&mut file), limits)?;
        if probe.format == Format::Png {
            complete::png(BufReader::new(&mut file))?;
        }
        let failed = |source| Error::Read { source };
        file.rewind().map_err(failed)?;
        if let Some(mut source) = decode::stream(&mut file, &probe, limits)? {
            return make::make(source.as_mut(), specs);
        }
        let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length.try_into().unwrap_or(usize::MAX)).map_err(|_| Error::TooMuchMemory)?;
        file.read_to_end(&mut bytes).map_err(failed)?;
        make::make(open(&bytes, limits)?.as_mut(), specs)
    })
}

/// Opens what passes the looks at its header and its end.
fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Box<dyn decode::Source + 'a>, Error> {
    let probe = probe::probe(Cursor::new(bytes), limits)?;
    complete::check(bytes, probe.format)?;
    decode::open(bytes, &probe, limits)
}

/// Runs `work`; its panic becomes an error, so that a decoder's bug costs one picture and not the process.
fn contained<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::corrupt("a decoder panicked")))
}
