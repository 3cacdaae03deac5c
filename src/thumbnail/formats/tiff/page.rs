//! The properties of a page, from its directory. Everything that rules out a thumbnail is rejected here.

use super::super::codec::BufReadSeek;
use super::directory::{Directory, tag};
use super::variant::{Compression, Photometric, SampleType, check_depth, unsupported};
use crate::error::Error;
use crate::limits::MAX_SIDE;

/// More channels than any image has; satellites have a few hundred.
const MAX_CHANNELS: u64 = 1024;

/// The most pixels that a tile extends beyond the edge of the page; real files have less, and larger tiles take too
/// much memory and time.
pub(super) const MAX_TILE_OVERHANG: usize = 4096;

/// The most strips or tiles beyond one for so many pixels: a strip for each row, and tiles of 16 x 16 pixels, the
/// smallest ones (TIFF 6.0, section 15). Smaller ones take longer to set up than to decode.
const MAX_CHUNKS: (u64, u64) = (65_535, 16 * 16);

/// Likewise, if each one is an image of another format, with its own header and tables. JPEG strips have at least 8 rows.
const MAX_IMAGES: (u64, u64) = (16_384, 32 * 32);

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
    pub(super) orientation: Option<u64>,
    /// Whether the first bit of a byte is its lowest.
    pub(super) lowest_bit_first: bool,
    /// Width and height in pixels of a chroma sample; 1 if a codec handles subsampling itself.
    pub(super) subsampling: (usize, usize),
}

impl Page {
    /// Reads the properties of the first page.
    pub(super) fn read(directory: &Directory, reader: &mut dyn BufReadSeek) -> Result<Self, Error> {
        let number = |tag| directory.integer_of(tag);
        let (Some(width), Some(height)) = (side(directory, tag::WIDTH)?, side(directory, tag::HEIGHT)?) else {
            return Err(Error::BadHeader("a TIFF without dimensions"));
        };
        let two_dimensional = number(tag::T4_OPTIONS)?.unwrap_or(0) & 1 == 1;
        let compression = Compression::new(number(tag::COMPRESSION)?.unwrap_or(1), two_dimensional)?;
        let photometric = Photometric::new(number(tag::PHOTOMETRIC)?)?;
        if photometric == Photometric::Cmyk && number(tag::INK_SET)?.unwrap_or(1) != 1 {
            return Err(unsupported("TIFF with inks other than CMYK"));
        }
        let Channels { count, bits, sample, alpha, premultiplied } = Channels::read(directory, reader, photometric)?;
        let planar = number(tag::PLANAR_CONFIGURATION)? == Some(2) && count > 1;
        let subsampling = subsampling(directory, reader, photometric, compression)?;
        if subsampling != (1, 1) && (planar || bits != 8 || count != 3) {
            return Err(unsupported("TIFF with subsampled chroma in planes or with extra channels"));
        }
        let predictor = predictor(number(tag::PREDICTOR)?.unwrap_or(1), compression, sample, bits)?;
        if subsampling != (1, 1) && predictor != Predictor::None {
            return Err(unsupported("TIFF with subsampled chroma and a predictor"));
        }
        let (chunk, tiled) = chunk(directory, (width, height), compression)?;
        let page = Self {
            width,
            height,
            chunk,
            tiled,
            little_endian: directory.little_endian,
            compression,
            predictor,
            photometric,
            sample,
            bits,
            channels: count,
            alpha,
            premultiplied,
            planar,
            orientation: number(tag::ORIENTATION)?,
            lowest_bit_first: number(tag::FILL_ORDER)? == Some(2),
            subsampling,
        };
        check_depth(&page)?;
        Ok(page)
    }

    /// Channels per pixel in a strip or tile.
    pub(super) fn channels_per_chunk(&self) -> usize {
        if self.planar { 1 } else { self.channels }
    }

    /// Bytes of an unpacked row of a strip or tile.
    pub(super) fn chunk_row_bytes(&self) -> usize {
        self.row_bytes(self.chunk.0)
    }

    fn row_bytes(&self, width: usize) -> usize {
        width.saturating_mul(self.channels_per_chunk()).saturating_mul(self.bits).div_ceil(8)
    }

    /// Bytes of so many unpacked rows of a strip or tile; an upper bound if chroma is subsampled.
    pub(super) fn chunk_bytes(&self, rows: usize) -> usize {
        let (x_factor, y_factor) = self.subsampling;
        let row = self.row_bytes(self.chunk.0.next_multiple_of(x_factor));
        row.saturating_mul(rows.next_multiple_of(y_factor))
    }

    /// The most bytes that decoding the page unpacks. Channels that are not used are unpacked, too, unless they have
    /// planes of their own.
    pub(super) fn unpacked_bytes(&self) -> u64 {
        // Images of other formats are decoded whole.
        let whole_tiles = self.tiled && self.compression.is_image();
        let rows = if whole_tiles { self.chunks_down().saturating_mul(self.chunk.1) } else { self.height };
        let chunks = (self.chunks_across() * self.used_planes().count()) as u64;
        chunks.saturating_mul(self.chunk_bytes(rows) as u64)
    }

    pub(super) fn chunks_across(&self) -> usize {
        self.width.div_ceil(self.chunk.0)
    }

    pub(super) fn chunks_down(&self) -> usize {
        self.height.div_ceil(self.chunk.1)
    }

    /// Whether the type of samples changes when they are unpacked, see [`unpacked`](super::samples::unpacked).
    pub(super) fn is_converted(&self) -> bool {
        self.sample == SampleType::Signed || self.sample == SampleType::Unsigned && self.bits > 16
    }

    /// The stored channels that are used: colours, then alpha.
    pub(super) fn used_channels(&self) -> impl Iterator<Item = usize> {
        (0..self.photometric.colours()).chain(self.alpha)
    }

    /// The planes that are used, or the only one.
    pub(super) fn used_planes(&self) -> impl Iterator<Item = usize> {
        let count = if self.planar { usize::MAX } else { 1 };
        self.used_channels().take(count)
    }
}

/// The channels that are stored.
struct Channels {
    count: usize,
    bits: usize,
    sample: SampleType,
    alpha: Option<usize>,
    premultiplied: bool,
}

impl Channels {
    fn read(directory: &Directory, reader: &mut dyn BufReadSeek, photometric: Photometric) -> Result<Self, Error> {
        let depths = directory.integers(reader, tag::BITS_PER_SAMPLE, MAX_CHANNELS)?;
        let count = directory.integer_of(tag::SAMPLES_PER_PIXEL)?.unwrap_or(depths.len().max(1) as u64);
        let bits = uniform(&depths, count).ok_or(unsupported("TIFF whose channels have different depths"))?;
        let formats = directory.integers(reader, tag::SAMPLE_FORMAT, MAX_CHANNELS)?;
        let format = match photometric.is_lab() {
            // The colour model determines the signs, whatever the tag says.
            true if formats.iter().all(|format| matches!(format, 1 | 2 | 4)) => 1,
            true => return Err(unsupported("TIFF in Lab of this depth")),
            false => uniform(&formats, count).ok_or(unsupported("TIFF whose channels have different types"))?,
        };
        let sample = SampleType::new(format, bits)?;
        let colours = photometric.colours();
        if !(colours as u64..=MAX_CHANNELS).contains(&count) {
            return Err(Error::BadHeader("fewer channels than colours, or too many"));
        }
        let count = count as usize;
        let extra = directory.integers(reader, tag::EXTRA_SAMPLES, MAX_CHANNELS)?;
        let declared = extra.iter().position(|kind| matches!(kind, 1 | 2)).filter(|at| colours + at < count);
        // An extra channel of no declared meaning counts as alpha, as in libtiff and libvips.
        let alpha = declared.or((count > colours).then_some(0)).map(|at| colours + at);
        let premultiplied = alpha.is_some_and(|at| extra.get(at - colours) == Some(&1));
        Ok(Self { count, bits: bits as usize, sample, alpha, premultiplied })
    }
}

/// A number of pixels.
fn side(directory: &Directory, tag: u16) -> Result<Option<usize>, Error> {
    let side = directory.integer_of(tag)?.map(u32::try_from).transpose();
    side.map(|side| side.map(|side| side as usize)).map_err(|_| Error::BadHeader("a side out of range"))
}

/// Width and height of a strip or tile, and whether it is a tile. Their number and size are bounded: each one takes
/// time.
fn chunk(
    directory: &Directory,
    (width, height): (usize, usize),
    compression: Compression,
) -> Result<((usize, usize), bool), Error> {
    let tile = side(directory, tag::TILE_WIDTH)?.zip(side(directory, tag::TILE_HEIGHT)?);
    let rows = directory.integer_of(tag::ROWS_PER_STRIP)?.filter(|&rows| rows > 0);
    let rows = rows.map_or(height, |rows| rows.min(u32::MAX.into()) as usize);
    let chunk = tile.unwrap_or((width, rows));
    if width == 0 || height == 0 {
        // The caller rejects this.
        return Ok(((1, 1), tile.is_some()));
    }
    let too_large = |side: usize, page: usize| side > page.saturating_add(MAX_TILE_OVERHANG);
    let (chunk_width, chunk_height) = chunk;
    let too_high = tile.is_some() && too_large(chunk_height, height);
    if chunk_width == 0 || chunk_height == 0 || too_large(chunk_width, width) || too_high {
        return Err(Error::BadHeader("empty or far too large tiles"));
    }
    let count = (width.div_ceil(chunk_width) as u64).saturating_mul(height.div_ceil(chunk_height) as u64);
    let (fixed, pixels) = if compression.is_image() { MAX_IMAGES } else { MAX_CHUNKS };
    let most = (width as u64).saturating_mul(height as u64) / pixels + fixed;
    // The caller rejects larger pages, with their dimensions.
    if count > most && width.max(height) <= MAX_SIDE as usize {
        return Err(Error::BadHeader("too many strips or tiles"));
    }
    Ok((chunk, tile.is_some()))
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
    if photometric != Photometric::YCbCr || compression.is_image() {
        return Ok((1, 1));
    }
    match *directory.integers(reader, tag::YCBCR_SUBSAMPLING, 2)? {
        [] => Ok((2, 2)),
        [x @ (1 | 2 | 4), y @ (1 | 2 | 4)] => Ok((x as usize, y as usize)),
        _ => Err(Error::BadHeader("chroma subsampling out of range")),
    }
}
