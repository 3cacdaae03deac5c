//! A streaming reader of `multipart/form-data` (RFC 7578, RFC 2046 section 5.1).
//!
//! It accepts forms that clients really send: a preamble and an epilogue, spaces after a boundary, and file names in
//! other encodings than UTF-8. It buffers the headers of one part, and of a body no more than the possible start of a
//! delimiter; all else it passes on without a copy. A form means the same in whatever chunks it arrives.

mod part_headers;

use actix_web::error::PayloadError;
use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use memchr::memmem::{self, Finder};

pub(crate) use part_headers::Part;

/// The limit of everything that the caller does not read: the preamble, the headers, and bodies of parts.
pub(crate) const MAX_SKIPPED_BYTES: usize = 64 << 10;
/// The limit of the headers of one part.
const MAX_HEADER_BYTES: usize = 8 << 10;
/// RFC 2046 allows 70; some clients exceed it.
const MAX_BOUNDARY_BYTES: usize = 256;
/// The most spaces and tabs between a boundary and its line break.
const MAX_PADDING: usize = 256;
const LINE_BREAK: &[u8] = b"\r\n";
const END_OF_HEADERS: &[u8] = b"\r\n\r\n";

/// A form that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MultipartError {
    #[error("its Content-Type has no boundary of 1 to {MAX_BOUNDARY_BYTES} bytes")]
    NoBoundary,
    #[error("it ends before its last boundary")]
    Incomplete,
    #[error("the headers of a part have more than {MAX_HEADER_BYTES} bytes")]
    LongHeaders,
    #[error("its headers and ignored fields have more than {MAX_SKIPPED_BYTES} bytes")]
    Skipped,
    #[error("a part has no Content-Disposition with a name")]
    NoName,
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// A form that is being received. The methods are cancel safe.
pub(crate) struct Multipart<S> {
    source: S,
    /// Received, but not consumed.
    buffer: Bytes,
    /// A line break, two hyphens and the boundary.
    delimiter: Finder<'static>,
    position: Position,
    /// The bytes that the caller did not read.
    skipped: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// In the body of a part, or in the preamble.
    Body,
    /// At the line break after a delimiter.
    Headers,
    /// Behind the last delimiter. The epilogue is not read.
    End,
}

/// What the buffer begins with, inside a body.
enum Scan {
    Data(usize),
    /// A delimiter of this length, without the line break after it.
    Delimiter(usize),
    LastDelimiter,
    /// More bytes are needed to tell.
    Unknown,
}

impl<S> Multipart<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    /// `content_type` is the header's value.
    pub(crate) fn new(content_type: &[u8], source: S) -> Result<Self, MultipartError> {
        let boundary = part_headers::parameter(content_type, b"boundary").ok_or(MultipartError::NoBoundary)?;
        if boundary.is_empty() || boundary.len() > MAX_BOUNDARY_BYTES {
            return Err(MultipartError::NoBoundary);
        }
        let delimiter = Finder::new(&[LINE_BREAK, b"--", &boundary].concat()).into_owned();
        // The first delimiter may be the first line.
        let buffer = Bytes::from_static(LINE_BREAK);
        Ok(Self { source, buffer, delimiter, position: Position::Body, skipped: 0 })
    }

    /// The next part, after what is left of the current one; `None` after the last.
    pub(crate) async fn next_part(&mut self) -> Result<Option<Part>, MultipartError> {
        while let Some(chunk) = self.chunk().await? {
            self.skip(chunk.len())?;
        }
        if self.position == Position::End {
            return Ok(None);
        }
        let end = self.end_of_headers().await?;
        let part = Part::parse(&self.buffer[..end]).ok_or(MultipartError::NoName)?;
        let length = end + END_OF_HEADERS.len();
        self.skip(length)?;
        self.buffer.advance(length);
        self.position = Position::Body;
        Ok(Some(part))
    }

    /// Receives the headers of a part, and finds their end.
    async fn end_of_headers(&mut self) -> Result<usize, MultipartError> {
        let mut checked = 0_usize;
        loop {
            // The end may have arrived in part.
            let from = checked.saturating_sub(END_OF_HEADERS.len() - 1);
            match memmem::find(&self.buffer[from..], END_OF_HEADERS) {
                Some(end) if from + end <= MAX_HEADER_BYTES => return Ok(from + end),
                None if self.buffer.len() < MAX_HEADER_BYTES + END_OF_HEADERS.len() => {
                    checked = self.buffer.len();
                    self.receive().await?;
                }
                _ => return Err(MultipartError::LongHeaders),
            }
        }
    }

    fn skip(&mut self, bytes: usize) -> Result<(), MultipartError> {
        self.skipped = self.skipped.saturating_add(bytes);
        if self.skipped > MAX_SKIPPED_BYTES { Err(MultipartError::Skipped) } else { Ok(()) }
    }

    /// The next bytes of the current part; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        while self.position == Position::Body {
            match self.scan() {
                Scan::Data(length) => return Ok(Some(self.buffer.split_to(length))),
                Scan::Delimiter(length) => {
                    self.buffer.advance(length);
                    self.position = Position::Headers;
                }
                Scan::LastDelimiter => self.position = Position::End,
                Scan::Unknown => self.receive().await?,
            }
        }
        Ok(None)
    }

    fn scan(&self) -> Scan {
        match self.delimiter.find(&self.buffer) {
            Some(0) => self.scan_delimiter(),
            Some(start) => Scan::Data(start),
            None => match self.buffer.len() - self.partial_delimiter() {
                0 => Scan::Unknown,
                data => Scan::Data(data),
            },
        }
    }

    /// The buffer begins with the text of a delimiter. It is one only at the end of a line, or before two hyphens.
    fn scan_delimiter(&self) -> Scan {
        let length = self.delimiter.needle().len();
        let rest = &self.buffer[length..];
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match &rest[padding..] {
            [b'\r', b'\n', ..] if padding <= MAX_PADDING => Scan::Delimiter(length + padding),
            [b'-', b'-', ..] if padding == 0 => Scan::LastDelimiter,
            [b'-'] if padding == 0 => Scan::Unknown,
            [] | [b'\r'] if padding <= MAX_PADDING => Scan::Unknown,
            _ => Scan::Data(length),
        }
    }

    /// The length of the end of the buffer that may be the start of a delimiter.
    fn partial_delimiter(&self) -> usize {
        let (buffer, delimiter) = (&self.buffer, self.delimiter.needle());
        let longest = buffer.len().min(delimiter.len() - 1);
        let is_start = |length: &usize| delimiter.starts_with(&buffer[buffer.len() - length..]);
        (1..=longest).rev().find(is_start).unwrap_or(0)
    }

    async fn receive(&mut self) -> Result<(), MultipartError> {
        let chunk = self.source.next().await.ok_or(MultipartError::Incomplete)??;
        if self.buffer.is_empty() {
            self.buffer = chunk;
            return Ok(());
        }
        // Headers, or the possible start of a delimiter. Appended in place after the first time, so that the time is
        // linear for chunks of any size.
        self.buffer = match std::mem::take(&mut self.buffer).try_into_mut() {
            Ok(mut own) => {
                own.extend_from_slice(&chunk);
                own.freeze()
            }
            Err(shared) => [&shared[..], &chunk].concat().into(),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
