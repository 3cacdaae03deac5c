//! The properties of a page, from its directory. Everything that rules out a thumbnail is rejected here.

use super::super::codec::BufReadSeek;
use super::directory::{Directory, tag};
use super::variant::{Compression, Photometric, SampleType, check_depth, unsupported};
use crate::thumbnail::error::Error;

/// More channels than any image has; satellites have a few hundred.
const MAX_CHANNELS: u64 = 1024;

/// The most pixels that a tile extends beyond the edge of the page; real files have less, and larger tiles take too
/// much memory and time.
const MAX_TILE_OVERHANG: usize = 4096;

/// How the samples of a row are predicted from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// Differences to the pixel at the left (TIFF 6.0, section 14).
    Horizontal,
    /// Differences of the bytes of floats, by significance (TIFF Technical Note 3).
    Float,
}

/// A page that can be decoded.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Width and height of a strip or tile in pixels. A tile can extend beyond the page.
    pub(super) chunk: (usize, usize),
    pub(super) tiled: bool,
    pub(super) little_endian: bool,
    pub(super) compression: Compression,
    pub(super) predictor: Predictor,
    pub(super) photometric: Photometric,
    pub(super) sample: SampleType,
    pub(super) bits: usize,
    /// Channels per pixel that are stored.
    pub(super) channels: usize,
    /// Index of the channel that is alpha.
    pub(super) alpha: Option<usize>,
    /// Whether colours are multiplied by alpha (TIFF 6.0, section 18).
    pub(super) premultiplied: bool,
    /// Whether each channel has strips or tiles of its own.
    pub(super) planar: bool,
    /// Whether the first bit of a byte is its lowest.
    pub(super) lowest_bit_first: bool,
    /// Width and height in pixels of a chroma sample; 1 if a codec handles subsampling itself.
    pub(super) subsampling: (usize, usize),
}

impl Page {
    /// Reads the properties of the first page.
    pub(super) fn read(directory: &Directory, reader: &mut dyn BufReadSeek) -> Result<Self, Error> {
        let number = |tag| directory.integer_of(tag);
        let side = |tag| number(tag).and_then(|side| u32::try_from(side).ok()).map(|side| side as usize);
        let (Some(width), Some(height)) = (side(tag::WIDTH), side(tag::HEIGHT)) else {
            return Err(Error::BadHeader("a TIFF without dimensions"));
        };
        let two_dimensional = number(tag::T4_OPTIONS).unwrap_or(0) & 1 == 1;
        let compression = Compression::new(number(tag::COMPRESSION).unwrap_or(1), two_dimensional)?;
        let photometric = Photometric::new(number(tag::PHOTOMETRIC))?;
        let depths = directory.integers(reader, tag::BITS_PER_SAMPLE, MAX_CHANNELS)?;
        let channels = number(tag::SAMPLES_PER_PIXEL).unwrap_or(depths.len().max(1) as u64);
        let bits = uniform(&depths, channels).ok_or(unsupported("TIFF whose channels have different depths"))?;
        let formats = directory.integers(reader, tag::SAMPLE_FORMAT, MAX_CHANNELS)?;
        let format = match photometric {
            // Two of its three channels are signed, whatever the tag says.
            Photometric::CieLab => 1,
            _ => uniform(&formats, channels).ok_or(unsupported("TIFF whose channels have different types"))?,
        };
        let sample = SampleType::new(format, bits)?;
        let colours = photometric.colours();
        if !(colours as u64..=MAX_CHANNELS).contains(&channels) {
            return Err(Error::BadHeader("fewer channels than colours, or too many"));
        }
        let channels = channels as usize;
        let inks = number(tag::INK_SET).unwrap_or(1);
        if photometric == Photometric::Cmyk && inks != 1 {
            return Err(unsupported("TIFF with inks other than CMYK"));
        }
        let extra = directory.integers(reader, tag::EXTRA_SAMPLES, MAX_CHANNELS)?;
        let declared = extra.iter().position(|kind| matches!(kind, 1 | 2)).filter(|at| colours + at < channels);
        // An extra channel of no declared meaning counts as alpha, as in libtiff and libvips.
        let alpha = declared.or((channels > colours).then_some(0)).map(|at| colours + at);
        let premultiplied = alpha.is_some_and(|at| extra.get(at - colours) == Some(&1));
        let planar = number(tag::PLANAR_CONFIGURATION) == Some(2) && channels > 1;
        let subsampling = subsampling(directory, reader, photometric, compression)?;
        if subsampling != (1, 1) && (planar || bits != 8 || channels != 3) {
            return Err(unsupported("TIFF with subsampled chroma in planes or with extra channels"));
        }
        let tile = side(tag::TILE_WIDTH).zip(side(tag::TILE_HEIGHT));
        let rows = side(tag::ROWS_PER_STRIP).filter(|&rows| rows > 0).unwrap_or(height);
        let page = Self {
            width,
            height,
            chunk: tile.unwrap_or((width, rows)),
            tiled: tile.is_some(),
            little_endian: directory.little_endian,
            compression,
            predictor: predictor(number(tag::PREDICTOR).unwrap_or(1), compression, sample, bits as usize)?,
            photometric,
            sample,
            bits: bits as usize,
            channels,
            alpha,
            premultiplied,
            planar,
            lowest_bit_first: number(tag::FILL_ORDER) == Some(2),
            subsampling,
        };
        check_depth(&page)?;
        let (chunk_width, chunk_height) = page.chunk;
        let too_wide = chunk_width > width.saturating_add(MAX_TILE_OVERHANG);
        if (width, height) != (0, 0) && (chunk_width == 0 || chunk_height == 0 || too_wide) {
            return Err(Error::BadHeader("empty or far too wide tiles"));
        }
        Ok(page)
    }

    /// Channels per pixel in a strip or tile.
    pub(super) fn channels_per_chunk(&self) -> usize {
        if self.planar { 1 } else { self.channels }
    }

    /// Bytes of an unpacked row of a strip or tile.
    pub(super) fn chunk_row_bytes(&self) -> usize {
        self.chunk.0.saturating_mul(self.channels_per_chunk()).saturating_mul(self.bits).div_ceil(8)
    }

    pub(super) fn chunks_across(&self) -> usize {
        self.width.div_ceil(self.chunk.0)
    }

    pub(super) fn chunks_down(&self) -> usize {
        self.height.div_ceil(self.chunk.1)
    }

    /// Whether samples are clamped to a smaller range, see [`unpacked`](super::samples::unpacked).
    pub(super) fn is_clamped(&self) -> bool {
        self.sample == SampleType::Signed || self.sample == SampleType::Unsigned && self.bits > 16
    }

    /// The stored channels that are used: colours, then alpha.
    pub(super) fn used_channels(&self) -> impl Iterator<Item = usize> {
        (0..self.photometric.colours()).chain(self.alpha)
    }
}

/// The value that all channels share, 1 by default. Values for more channels than there are do not count.
fn uniform(values: &[u64], channels: u64) -> Option<u64> {
    let first = values.first().copied().unwrap_or(1);
    (1..).zip(values).all(|(channel, &value)| value == first || channel > channels).then_some(first)
}

fn predictor(number: u64, compression: Compression, sample: SampleType, bits: usize) -> Result<Predictor, Error> {
    // Other compressions have no predictor, and libtiff ignores the tag.
    if !matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Zstandard) {
        return Ok(Predictor::None);
    }
    match (number, bits) {
        (1, _) => Ok(Predictor::None),
        (2, 8 | 16 | 32) => Ok(Predictor::Horizontal),
        (3, _) if sample == SampleType::Float => Ok(Predictor::Float),
        _ => Err(unsupported("TIFF with this predictor")),
    }
}

/// JPEG data have their own sampling factors, whatever the tag says.
fn subsampling(
    directory: &Directory,
    reader: &mut dyn BufReadSeek,
    photometric: Photometric,
    compression: Compression,
) -> Result<(usize, usize), Error> {
    if photometric != Photometric::YCbCr || matches!(compression, Compression::Jpeg | Compression::WebP) {
        return Ok((1, 1));
    }
    match *directory.integers(reader, tag::YCBCR_SUBSAMPLING, 2)? {
        [] => Ok((2, 2)),
        [x @ (1 | 2 | 4), y @ (1 | 2 | 4)] => Ok((x as usize, y as usize)),
        _ => Err(Error::BadHeader("chroma subsampling out of range")),
    }
}
