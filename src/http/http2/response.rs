//! A response of the service as hyper takes it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};

use super::activity::Stream;

/// Converts a response to a request, which may be `HEAD`. Its body keeps the stream until it is sent.
pub(super) fn convert(
    response: actix_http::Response<BoxBody>,
    is_head: bool,
    stream: Stream,
) -> hyper::Response<ResponseBody> {
    let (head, body) = response.into_parts();
    let status = head.status();
    // RFC 9110, section 6.4.1.
    let has_no_body = status.is_informational() || matches!(status.as_u16(), 204 | 304);
    let size = body.size();
    let mut converted = hyper::Response::new(ResponseBody::new(body, is_head || has_no_body, stream));
    // Both know the same codes and the same fields, so nothing is left out.
    *converted.status_mut() = hyper::StatusCode::from_u16(status.as_u16()).unwrap_or_default();
    let headers = converted.headers_mut();
    for (name, value) in head.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
    if let (BodySize::Sized(length), false) = (size, has_no_body) {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    converted
}

/// The largest part of a body that is given to hyper, which keeps a part until the client has read it.
const MAX_PART_BYTES: usize = 32 << 10;

/// The body of a response.
pub(super) struct ResponseBody {
    body: Option<BoxBody>,
    /// The rest of the last chunk.
    chunk: Bytes,
    /// The bytes to come, where the response has announced them.
    left: Option<u64>,
    stream: Stream,
}

impl ResponseBody {
    fn new(body: BoxBody, is_omitted: bool, stream: Stream) -> Self {
        let (body, left) = match body.size() {
            BodySize::None | BodySize::Sized(0) => (None, None),
            _ if is_omitted => (None, None),
            BodySize::Sized(length) => (Some(body), Some(length)),
            BodySize::Stream => (Some(body), None),
        };
        Self { body, chunk: Bytes::new(), left, stream }
    }

    /// The next part of the last chunk, which is not empty.
    fn part(&mut self) -> io::Result<Frame<Bytes>> {
        let mut length = self.chunk.len().min(MAX_PART_BYTES);
        if let Some(left) = &mut self.left {
            // The last byte is a part of its own: hyper does not wait until the client has read the last part.
            if length > 1 && *left == length as u64 {
                length -= 1;
            }
            *left = left.checked_sub(length as u64).ok_or_else(|| io::Error::other("the body is too long"))?;
        }
        let part = self.chunk.split_to(length);
        self.stream.waits_for_client();
        Ok(Frame::data(part))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    /// hyper asks for the next chunk once the client has room for it.
    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.stream.was_read();
        let Self { body: Some(body), chunk, left, .. } = &mut *self else { return Poll::Ready(None) };
        while chunk.is_empty() {
            match ready!(Pin::new(&mut *body).poll_next(context)) {
                Some(Ok(next)) => *chunk = next,
                Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error.to_string())))),
                // Resets the stream, so that the client does not take a part for the whole.
                None if left.is_some_and(|left| left > 0) => {
                    return Poll::Ready(Some(Err(io::Error::other("the body is too short"))));
                }
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(self.part()))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none() || self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.body, self.left) {
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(_), None) => SizeHint::default(),
            (None, _) => SizeHint::with_exact(0),
        }
    }
}
