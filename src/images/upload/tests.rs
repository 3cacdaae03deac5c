use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::test::TestRequest;
use actix_web::{FromRequest, ResponseError};
use futures_util::stream;

use super::*;

const LIMITS: Limits = Limits {
    max_upload_bytes: 1 << 20,
    max_pixels: 1_000_000,
    long_poll_timeout: Duration::from_secs(30),
    min_free_bytes: 0,
};
const HEAD: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"x.jpg\"\r\n\r\n\xff\xd8\xff";

/// Reads a form with the boundary `b` that arrives in these chunks.
async fn form(body: impl Stream<Item = Result<Bytes, PayloadError>> + 'static) -> Result<Form, Problem> {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::open(folder.path()).unwrap();
    let request = TestRequest::default().insert_header(("content-type", "multipart/form-data; boundary=b"));
    let request = request.to_http_request();
    let mut payload = Payload::Stream { payload: body.boxed_local() };
    let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
    read_form(&files, &LIMITS, &Caller::Trusted, |_| Ok(()), &request, payload).await
}

/// The buffer that a connection reads a chunk into.
struct ReadBuffer {
    bytes: [u8; 8 << 10],
    count: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for ReadBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn an_upload_in_tiny_chunks_does_not_keep_the_buffers_that_they_arrived_in() {
    let count = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counted, highest) = (count.clone(), most.clone());
    let chunk = move |byte: u8| {
        let now = counted.fetch_add(1, Ordering::Relaxed) + 1;
        highest.fetch_max(now, Ordering::Relaxed);
        Ok(Bytes::from_owner(ReadBuffer { bytes: [byte; 8 << 10], count: counted.clone() }).slice(..1))
    };
    let body = [HEAD, &[0; 5000]].concat();
    let Err(problem) = form(stream::iter(body.into_iter().map(chunk))).await else { panic!("the form ended") };
    assert!(problem.to_string().contains("it ends before its last boundary"), "{problem}");
    assert!(most.load(Ordering::Relaxed) <= 2, "{most:?} buffers");
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn ignored_fields_have_a_limit_of_their_own() {
    let field = |name: &str, bytes: usize| {
        let value = "x".repeat(bytes);
        Bytes::from(format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"))
    };
    let preamble = Bytes::from("x\r\n".repeat(MAX_SKIPPED_BYTES));
    for frame in [
        vec![field("other", MAX_SKIPPED_BYTES)],
        vec![field("a", MAX_SKIPPED_BYTES / 2), field("b", MAX_SKIPPED_BYTES / 2)],
        vec![field("userId", MAX_SKIPPED_BYTES), field("other", MAX_SKIPPED_BYTES)],
        vec![preamble, field("other", 1)],
    ] {
        // Below the limit of a form with an image.
        let Err(problem) = form(stream::iter(frame.into_iter().map(Ok))).await else { panic!("the form ended") };
        assert_eq!(problem.status_code(), StatusCode::PAYLOAD_TOO_LARGE, "{problem}");
        assert!(problem.to_string().starts_with("form: got more than 65536 bytes"), "{problem}");
    }
    let body = [field("other", MAX_SKIPPED_BYTES - 100), Bytes::from_static(b"--b--")];
    let Err(problem) = form(stream::iter(body.map(Ok))).await else { panic!("there is no image") };
    assert_eq!(problem.status_code(), StatusCode::BAD_REQUEST, "{problem}");
}

#[tokio::test(start_paused = true)]
async fn a_form_whose_image_arrives_slowly_is_refused() {
    // Zeros cannot start a boundary, so that each chunk is passed on at once.
    let trickle = stream::repeat(Bytes::from_static(&[0; 100])).then(async |bytes| {
        tokio::time::sleep(Duration::from_secs(29)).await;
        Ok::<_, PayloadError>(bytes)
    });
    let body = stream::iter([Ok(Bytes::from_static(HEAD))]).chain(trickle);
    let Err(problem) = form(body).await else { panic!("the form ended") };
    assert_eq!(problem.status_code(), StatusCode::REQUEST_TIMEOUT, "{problem}");
    assert!(problem.to_string().contains("too slowly"), "{problem}");
}
