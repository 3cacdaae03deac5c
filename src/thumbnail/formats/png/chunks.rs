//! The chunks of a PNG that a thumbnail depends on, followed by an end chunk. Other chunks do not reach the decoder, which
//! rejects files for some invalid ones. The end is always complete, because the decoder emits its last rows only there.

use std::cell::Cell;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::rc::Rc;

use flate2::Crc;

use super::palette::{self, Palette};
use super::{MAX_CHUNK_BYTES, animation};

/// Length of the signature.
pub(super) const SIGNATURE_BYTES: u64 = 8;

/// Length of the checksum behind the data of a chunk.
pub(super) const CRC_BYTES: u32 = 4;

/// The bit of a letter that is set in lower case.
pub(super) const LOWER_CASE: u8 = 0x20;

/// Where the header has the colour type.
const COLOUR_TYPE_AT: u64 = SIGNATURE_BYTES + 17;

/// The colour type of an image with a palette.
const INDEXED: u8 = 3;

/// The name of chunks of image data.
const IMAGE_DATA: [u8; 4] = *b"IDAT";

/// IEND with its checksum.
const END: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";

/// The length and the name of the next chunk; `None` at the end of the file.
pub(super) fn next_chunk(file: &mut impl Read) -> io::Result<Option<(u32, [u8; 4])>> {
    let header = read::<8>(file)?;
    Ok(header.map(|[a, b, c, d, name @ ..]| (u32::from_be_bytes([a, b, c, d]), name)))
}

/// The next `N` bytes; `None` if the file ends before.
pub(super) fn read<const N: usize>(file: &mut impl Read) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn crc_of(bytes: &[u8]) -> Crc {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc
}

/// Defects of the image data that the decoder does not see.
#[derive(Debug, Default)]
pub(super) struct Defects {
    /// The file ends within the image data, or immediately behind it.
    pub(super) truncated: Cell<bool>,
    /// A chunk of image data has a wrong checksum.
    pub(super) wrong_crc: Cell<bool>,
    /// Where the image data begin, if they are those of a frame of an animation.
    pub(super) frame: Cell<Option<u64>>,
}

/// Reads the chunks for the decoder.
pub(super) struct DecoderInput<F> {
    file: F,
    /// Length of the file.
    length: u64,
    /// Bytes that precede those of the file: the header or the checksum of a chunk.
    inserted: Vec<u8>,
    /// How many of them are consumed.
    consumed: usize,
    /// Bytes of the file that follow.
    copied: u64,
    /// The checksum of the current chunk of image data.
    crc: Option<Crc>,
    /// That of the chunk that the decoder gets for the data of a frame.
    decoder_crc: Option<Crc>,
    /// Where the image data are, if not in the first chunk of the default image.
    first_frame: Option<u64>,
    /// `None` for images without one; they can have a chunk of suggested colours.
    palette: Option<Palette>,
    has_data: bool,
    at_end: bool,
    defects: Rc<Defects>,
}

impl<F: BufRead + Seek> DecoderInput<F> {
    pub(super) fn new(mut file: F) -> io::Result<(Self, Rc<Defects>)> {
        let length = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let first_frame = animation::first_frame(&mut file)?;
        file.seek(SeekFrom::Start(COLOUR_TYPE_AT))?;
        let is_indexed = read::<1>(&mut file)? == Some([INDEXED]);
        file.rewind()?;
        let defects = Rc::new(Defects::default());
        let input = Self {
            file,
            length,
            inserted: Vec::new(),
            consumed: 0,
            copied: SIGNATURE_BYTES,
            crc: None,
            decoder_crc: None,
            first_frame,
            palette: is_indexed.then(Palette::default),
            has_data: false,
            at_end: false,
            defects: defects.clone(),
        };
        Ok((input, defects))
    }

    /// Ends the current chunk, or begins the next one.
    fn advance(&mut self) -> io::Result<()> {
        self.inserted.clear();
        self.consumed = 0;
        if let Some(crc) = self.crc.take() {
            return self.end_image_data(crc.sum());
        }
        let Some((length, name)) = next_chunk(&mut self.file)? else {
            self.defects.truncated.set(true);
            self.end();
            return Ok(());
        };
        match &name {
            b"IDAT" => match self.first_frame.take() {
                Some(position) => {
                    self.defects.frame.set(Some(position));
                    self.file.seek(SeekFrom::Start(position))?;
                }
                None => self.begin_image_data(length, &IMAGE_DATA)?,
            },
            b"fdAT" if self.defects.frame.get().is_some() => self.begin_frame_data(length)?,
            name if self.defects.frame.get().is_some() && animation::is_skipped(name) => self.skip(length)?,
            _ if self.has_data => self.end(),
            // Indexed images are rejected without one.
            b"PLTE" if !palette::is_valid(length) => self.skip(length)?,
            b"PLTE" | b"tRNS" => self.extend_palette(length, name)?,
            b"cICP" if length == 4 => return self.code_points(),
            // The others are those that the decoder knows and the colours or the orientation depend on.
            b"cICP" | b"cHRM" | b"gAMA" | b"sRGB" => self.copy(length, name),
            b"iCCP" | b"eXIf" if length <= MAX_CHUNK_BYTES => self.copy(length, name),
            // A critical chunk, which begins with an upper-case letter; the decoder rejects unknown ones.
            [first, ..] if first & LOWER_CASE == 0 => self.copy(length, name),
            _ => self.skip(length)?,
        }
        Ok(())
    }

    fn skip(&mut self, length: u32) -> io::Result<()> {
        self.file.seek_relative(i64::from(length) + i64::from(CRC_BYTES))
    }

    fn copy(&mut self, length: u32, name: [u8; 4]) {
        self.insert(length, name);
        self.copied = u64::from(length) + u64::from(CRC_BYTES);
    }

    fn insert(&mut self, length: u32, name: [u8; 4]) {
        self.inserted.extend(length.to_be_bytes());
        self.inserted.extend(name);
    }

    fn extend_palette(&mut self, length: u32, name: [u8; 4]) -> io::Result<()> {
        match &mut self.palette {
            Some(palette) if length <= palette::MAX_BYTES => {
                self.inserted = palette.extended(&mut self.file, length, name)?;
            }
            _ => self.copy(length, name),
        }
        Ok(())
    }

    /// A chunk for which the decoder would reject the file is left out: only RGB is valid, of the narrow or full range.
    fn code_points(&mut self) -> io::Result<()> {
        match read::<4>(&mut self.file)? {
            Some(points @ [_, _, 0, 0 | 1]) => {
                self.insert(4, *b"cICP");
                self.inserted.extend(points);
                self.copied = u64::from(CRC_BYTES);
                Ok(())
            }
            _ => self.file.seek_relative(i64::from(CRC_BYTES)),
        }
    }

    /// The data of a frame follow a sequence number.
    fn begin_frame_data(&mut self, length: u32) -> io::Result<()> {
        match (read::<4>(&mut self.file)?, length.checked_sub(4)) {
            (Some(number), Some(length)) => {
                self.begin_image_data(length, &[&b"fdAT"[..], &number].concat())?;
                self.decoder_crc = Some(crc_of(&IMAGE_DATA));
                Ok(())
            }
            (number, _) => {
                self.defects.truncated.set(number.is_none());
                self.end();
                Ok(())
            }
        }
    }

    /// The length of a truncated chunk is corrected.
    fn begin_image_data(&mut self, length: u32, prefix: &[u8]) -> io::Result<()> {
        let rest = self.length.saturating_sub(self.file.stream_position()?);
        let length = length.min(u32::try_from(rest).unwrap_or(u32::MAX));
        self.insert(length, IMAGE_DATA);
        self.crc = Some(crc_of(prefix));
        self.copied = length.into();
        self.has_data = true;
        Ok(())
    }

    /// A wrong or missing checksum is replaced.
    fn end_image_data(&mut self, crc: u32) -> io::Result<()> {
        match read::<4>(&mut self.file)? {
            Some(stored) if stored == crc.to_be_bytes() => {}
            Some(_) => self.defects.wrong_crc.set(true),
            None => self.defects.truncated.set(true),
        }
        let crc = self.decoder_crc.take().map_or(crc, |crc| crc.sum());
        self.inserted.extend(crc.to_be_bytes());
        Ok(())
    }

    /// Before the image data, the decoder gets the end of the file.
    fn end(&mut self) {
        self.at_end = true;
        if self.has_data {
            self.inserted.extend(END);
        }
    }
}

impl<F: BufRead + Seek> BufRead for DecoderInput<F> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.consumed == self.inserted.len() && self.copied == 0 && !self.at_end {
            self.advance()?;
        }
        if self.consumed < self.inserted.len() {
            return Ok(&self.inserted[self.consumed..]);
        }
        if self.copied == 0 {
            return Ok(&[]);
        }
        let bytes = self.file.fill_buf()?;
        Ok(&bytes[..bytes.len().min(usize::try_from(self.copied).unwrap_or(usize::MAX))])
    }

    fn consume(&mut self, count: usize) {
        if self.consumed < self.inserted.len() {
            self.consumed += count;
            return;
        }
        if let Some(crc) = &mut self.crc
            && let Ok(bytes) = self.file.fill_buf()
        {
            let bytes = &bytes[..count.min(bytes.len())];
            crc.update(bytes);
            if let Some(crc) = &mut self.decoder_crc {
                crc.update(bytes);
            }
        }
        self.file.consume(count);
        self.copied -= count as u64;
    }
}

impl<F: BufRead + Seek> Read for DecoderInput<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// The decoder requires this, and never seeks.
impl<F> Seek for DecoderInput<F> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
