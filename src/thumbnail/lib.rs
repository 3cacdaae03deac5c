//! Images in, thumbnails out: bytes to bytes.
//!
//! Owns the pipeline from the bytes of an image to its thumbnails, and the rules for rejecting images. Consumes bytes
//! or a reader, publishes nothing, and knows nothing of the rest of m3a3. Never opens a file, never looks at a file name,
//! and never starts a thread: callers choose threads and concurrency.
//!
//! Pipeline: [`probe()`] the header and reject oversized images before anything is allocated → check that the container
//! is complete → decode to rows of planes, shrunk as far as the requested sizes allow → resize the rows as they arrive
//! (Lanczos3, in the colour model of the file), for all thumbnails at once → convert the resized pixels to sRGB → apply
//! the orientation → encode.
//!
//! # Output
//! Defined by a [`Spec`]. The default is [`SIDE`] pixels square, cropped equally on both sides, enlarged if the image
//! is smaller: JPEG of quality 80, 4:2:0, at most [`MAX_JPEG_BYTES`], or PNG of at most [`MAX_PNG_BYTES`] if a pixel is
//! not opaque. Thumbnails are upright by EXIF orientation, in sRGB, and have no metadata. Colours are converted with
//! the embedded ICC profile. CMYK without a profile is multiplied in JPEG, and converted with a model of offset printing
//! in TIFF. The same bytes give the same result on the same machine. Of several frames or pages, the first is used.
//! Malformed EXIF blocks and ICC profiles are ignored.
//!
//! # Rejected images
//! All pixels of the first frame must be present and valid, in every format: there are no partial thumbnails. A
//! truncated file is [`Error::Truncated`] if that can be detected, otherwise [`Error::Corrupt`]. JPEG and PNG need no
//! end marker (EOI, IEND) if all pixels are present; a progressive JPEG without EOI must have all bits of its
//! coefficients. WebP must have the length that its header states. A JPEG that is shrunk while decoding must consist of
//! valid codes, except for progressive scans that contribute nothing to the decoded size: these are not read. A GIF
//! must be complete up to the last pixel of its first frame, a TIFF in its first page, a BMP in its pixels. Trailing
//! bytes are ignored.
//!
//! # Memory
//! A few megabytes: rows are processed one by one, and of a progressive JPEG only the needed coefficients are stored.
//! JPEG and PNG files are read in parts, others are loaded ([`variants_of_file`]). The pixels of these are buffered,
//! within [`Limits::max_bytes`]: interlaced GIF (one byte per pixel), WebP that is lossless, animated, or lossy with
//! alpha, and in a TIFF each row of tiles, each strip or tile of JPEG or WebP, and the window of Zstandard. Images that
//! exceed the limit are rejected. A panic of a decoder is caught and becomes [`Error::Corrupt`].

#[doc(hidden)]
pub mod bench_hooks;
mod colour;
mod encode;
mod error;
mod formats;
#[cfg(test)]
mod hostile_tests;
mod limits;
mod message;
mod open;
mod orientation;
mod pipeline;
mod plan;
mod probe;
mod profile;
mod raster;
mod resize;
mod spec;
#[cfg(test)]
mod tests;
mod zigzag;

use std::io::{BufRead, Read, Seek};

pub use encode::{MAX_JPEG_BYTES, MAX_PNG_BYTES, Thumbnail};
pub use error::Error;
pub use formats::Format;
pub use limits::{Limits, MAX_SIDE};
pub use probe::Probe;
pub use spec::{Fit, Output, SIDE, Spec};

use open::open;
use pipeline::catch_panics;

/// Reads the format and the dimensions from the header in bounded memory, without decoding pixels.
///
/// The reader must be at the start of the file; its final position is unspecified.
///
/// # Errors
/// When the header rules out a thumbnail (see [`Error::shows_in_header`]), or the reader fails.
pub fn probe<R: BufRead + Seek>(reader: R, limits: &Limits) -> Result<Probe, Error> {
    catch_panics(|| probe::probe(reader, limits))
}

/// Makes the thumbnail of [`Spec::default`]. Blocking and CPU-bound: call it on a thread that may block.
///
/// # Errors
/// When the image is rejected, truncated or damaged.
pub fn thumbnail(bytes: &[u8], limits: &Limits) -> Result<Thumbnail, Error> {
    let mut made = variants(bytes, &[Spec::default()], limits)?;
    made.pop().ok_or_else(|| Error::corrupt("no thumbnail"))
}

/// Makes a thumbnail for each of the specs, in their order, from one decode. Blocking and CPU-bound, like
/// [`thumbnail()`].
///
/// # Errors
/// When the image is rejected, truncated or damaged.
pub fn variants(bytes: &[u8], specs: &[Spec], limits: &Limits) -> Result<Vec<Thumbnail>, Error> {
    catch_panics(|| pipeline::run(open(bytes, limits)?.as_mut(), specs))
}

/// [`variants`] of a file. JPEG and PNG files are read in parts, others are loaded.
///
/// # Errors
/// When the image is rejected, truncated or damaged, or the file cannot be read ([`Error::Read`]).
pub fn variants_of_file<F: Read + Seek>(mut file: F, specs: &[Spec], limits: &Limits) -> Result<Vec<Thumbnail>, Error> {
    catch_panics(|| {
        let probe = open::probe_file(&mut file, limits)?;
        if let Some(mut decoder) = open::stream(&mut file, &probe, limits)? {
            return pipeline::run(decoder.as_mut(), specs);
        }
        pipeline::run(open(&open::load(&mut file)?, limits)?.as_mut(), specs)
    })
}
