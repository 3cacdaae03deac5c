//! Opens images: probes the header, detects truncation, and creates the decoder.

use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};

use super::error::Error;
use super::formats::{ReadSeek, RowDecoder};
use super::limits::Limits;
use super::probe::{Probe, probe};
use super::raster::{Header, Size};

/// Opens the first frame or page of a file in memory.
pub(super) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
    let probe = probe(Cursor::new(bytes), limits)?;
    let codec = probe.format.codec();
    codec.check(bytes)?;
    let decoder = codec.open(bytes, probe.size(), limits)?;
    check_size(decoder.header(), probe.size())?;
    Ok(decoder)
}

/// Probes a file, and leaves it at its start.
pub(super) fn probe_file<F: Read + Seek>(file: &mut F, limits: &Limits) -> Result<Probe, Error> {
    let probe = probe(BufReader::new(&mut *file), limits)?;
    file.rewind().map_err(read_error)?;
    Ok(probe)
}

/// Opens a probed file at its start, if its decoder reads it in parts; otherwise `None`.
pub(super) fn stream<'a>(
    file: &'a mut dyn ReadSeek,
    probe: &Probe,
    limits: &Limits,
) -> Result<Option<Box<dyn RowDecoder + 'a>>, Error> {
    let decoder = probe.format.codec().stream(file, limits)?;
    if let Some(decoder) = &decoder {
        check_size(decoder.header(), probe.size())?;
    }
    Ok(decoder)
}

/// Loads a file.
pub(super) fn load<F: Read + Seek>(file: &mut F) -> Result<Vec<u8>, Error> {
    let length = file.seek(SeekFrom::End(0)).map_err(read_error)?;
    file.rewind().map_err(read_error)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length.try_into().unwrap_or(usize::MAX)).map_err(|_| Error::TooMuchMemory)?;
    file.read_to_end(&mut bytes).map_err(read_error)?;
    Ok(bytes)
}

fn check_size(header: &Header, size: Size) -> Result<(), Error> {
    match header.has_size(size) {
        true => Ok(()),
        false => Err(Error::corrupt("the decoder and the header disagree on the dimensions")),
    }
}

fn read_error(source: std::io::Error) -> Error {
    Error::Read { source }
}
