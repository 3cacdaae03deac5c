//! Image data whose CRC is wrong, as after edits that do not update it, or when the end of a file is overwritten. The
//! zlib stream has a checksum of its own, over the decompressed rows. The decoder does not verify it: it stops
//! decompressing at the last row.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::mem;

use flate2::{Decompress, FlushDecompress, Status};

use super::animation;
use super::chunks::{CRC_BYTES, SIGNATURE_BYTES, next_chunk};
use crate::error::Error;

/// Size of the buffer for decompressed rows.
const BUFFER_BYTES: usize = 32 << 10;

/// Whether the image data of a file decompresses to this number of bytes and has the checksum of its zlib stream.
/// `frame` is where the data of the frame begin that replaces the default image.
pub(super) fn rows_are_intact(file: impl Read + Seek, frame: Option<u64>, bytes: u64) -> Result<bool, Error> {
    let intact = ImageData::new(BufReader::new(file), frame).and_then(|data| decompresses_to(data, bytes));
    intact.map_err(|source| Error::Read { source })
}

fn decompresses_to(mut data: ImageData<impl BufRead + Seek>, bytes: u64) -> io::Result<bool> {
    let mut zlib = Decompress::new(true);
    let mut rows = vec![0; BUFFER_BYTES];
    loop {
        let input = data.fill_buf()?;
        let at_end = input.is_empty();
        let (read, written) = (zlib.total_in(), zlib.total_out());
        let Ok(status) = zlib.decompress(input, &mut rows, FlushDecompress::None) else { return Ok(false) };
        data.consume((zlib.total_in() - read) as usize);
        if status == Status::StreamEnd {
            return Ok(zlib.total_out() == bytes);
        }
        if zlib.total_out() > bytes || at_end && zlib.total_out() == written {
            return Ok(false);
        }
    }
}

/// The data of the image data chunks, without their headers and checksums.
struct ImageData<F> {
    file: F,
    /// Rest of the current chunk.
    rest: u64,
    /// The chunks are those of a frame of an animation, with a sequence number before the data.
    is_frame: bool,
    /// The checksum of a chunk of data follows.
    at_crc: bool,
    has_begun: bool,
    has_ended: bool,
}

impl<F: BufRead + Seek> ImageData<F> {
    fn new(mut file: F, frame: Option<u64>) -> io::Result<Self> {
        file.seek(SeekFrom::Start(frame.unwrap_or(SIGNATURE_BYTES)))?;
        Ok(Self { file, rest: 0, is_frame: frame.is_some(), at_crc: false, has_begun: false, has_ended: false })
    }

    /// The next bytes; none at the end.
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.rest == 0 && !self.has_ended {
            self.next_chunk()?;
        }
        if self.has_ended {
            return Ok(&[]);
        }
        let bytes = self.file.fill_buf()?;
        Ok(&bytes[..bytes.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX))])
    }

    fn consume(&mut self, count: usize) {
        self.file.consume(count);
        self.rest -= count as u64;
    }

    /// Moves to the data of the next chunk, or past a chunk of another kind.
    fn next_chunk(&mut self) -> io::Result<()> {
        if mem::take(&mut self.at_crc) {
            self.file.seek_relative(CRC_BYTES.into())?;
        }
        match next_chunk(&mut self.file)? {
            Some((length, name)) if name == *b"IDAT" && !self.is_frame => self.begin(length),
            Some((length @ 4.., name)) if name == *b"fdAT" && self.is_frame => {
                self.file.seek_relative(4)?;
                self.begin(length - 4);
            }
            Some((length, name)) if self.is_skipped(&name) => {
                self.file.seek_relative(i64::from(length) + i64::from(CRC_BYTES))?;
            }
            _ => self.has_ended = true,
        }
        Ok(())
    }

    fn begin(&mut self, length: u32) {
        self.rest = length.into();
        self.has_begun = true;
        self.at_crc = true;
    }

    fn is_skipped(&self, name: &[u8; 4]) -> bool {
        if self.is_frame { animation::is_skipped(name) } else { !self.has_begun }
    }
}
