use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;

use actix_http::{HttpMessage, Method, Response};
use actix_service::fn_service;
use actix_web::body::{BodyStream, SizedStream};
use actix_web::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{once, repeat_with};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::Instant;

use super::*;
use crate::http::draining::Settings;

/// The body of `/large`, which is larger than all buffers.
const LARGE: usize = 4 << 20;

/// A client's side of a connection.
struct Client {
    requests: SendRequest<Bytes>,
    /// Ends when the server closes the connection.
    closed: JoinHandle<Result<(), h2::Error>>,
    draining: Draining,
    /// Ends when the server has.
    served: JoinHandle<()>,
    /// Whether the client reads and writes nothing more.
    is_frozen: Rc<Cell<bool>>,
    /// The requests that the server has.
    held: Rc<Cell<usize>>,
    /// The request bodies that ended with an error.
    errors: Rc<Cell<usize>>,
}

impl Client {
    async fn connect() -> Self {
        Self::with_window(65_535).await
    }

    /// With this number of bytes that the server may send in a stream before they are read.
    async fn with_window(bytes: u32) -> Self {
        let (near, far) = tokio::io::duplex(4 << 10);
        let draining = Draining::new(Settings::default());
        let [held, errors] = [const { Cell::new(0) }; 2].map(Rc::new);
        let service = Rc::new(fn_service({
            let (held, errors) = (Rc::clone(&held), Rc::clone(&errors));
            move |request| answer(request, Held::new(&held), Rc::clone(&errors))
        }));
        let served = spawn_local(serve(far, Some(([192, 0, 2, 1], 1000).into()), service, draining.clone()));
        let mut client = h2::client::Builder::new();
        let (requests, mut connection) = client.initial_window_size(bytes).handshake(near).await.unwrap();
        let is_frozen = Rc::new(Cell::new(false));
        let frozen = Rc::clone(&is_frozen);
        let running = poll_fn(move |context| match frozen.get() {
            true => Poll::Pending,
            false => Pin::new(&mut connection).poll(context),
        });
        Self { requests, closed: spawn_local(running), draining, served, is_frozen, held, errors }
    }

    async fn send(&mut self, method: &str, path: &str) -> (ResponseFuture, SendStream<Bytes>) {
        let request = http::Request::builder().method(method).uri(format!("https://example.org{path}"));
        let request = request.header("host", "other.example").header("x-test", "1").body(()).unwrap();
        self.requests = self.requests.clone().ready().await.unwrap();
        self.requests.send_request(request, method != "POST").unwrap()
    }

    async fn get(&mut self, path: &str) -> http::Response<RecvStream> {
        self.send("GET", path).await.0.await.unwrap()
    }

    /// Waits until the server has closed the connection. Returns how long that took, in seconds.
    async fn closed(self) -> u64 {
        let (began, Self { closed, requests, .. }) = (Instant::now(), self);
        let _ = closed.await.unwrap();
        drop(requests);
        began.elapsed().as_secs()
    }
}

/// Counts a request in progress.
struct Held(Rc<Cell<usize>>);

impl Held {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn answer(
    mut request: Request,
    held: Held,
    errors: Rc<Cell<usize>>,
) -> Result<Response<BoxBody>, Response<BoxBody>> {
    let mut response = Response::build(StatusCode::OK);
    let host = request.headers().get("host").unwrap().to_str().unwrap().to_owned();
    let body = match request.path() {
        "/large" => BoxBody::new(Bytes::from(vec![7; LARGE])),
        "/endless" => BoxBody::new(BodyStream::new(repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[0; 1024]))))),
        "/short" => BoxBody::new(SizedStream::new(10, once(async { Ok::<_, io::Error>(Bytes::from_static(b"5")) }))),
        "/held" => pending().await,
        "/204" => return Ok(Response::new(StatusCode::NO_CONTENT)),
        "/304" => return Ok(Response::new(StatusCode::NOT_MODIFIED).set_body(BoxBody::new(()))),
        "/slow" => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            BoxBody::new("slow")
        }
        _ => {
            let mut body = BytesMut::new();
            let mut payload = request.take_payload();
            while let Some(chunk) = payload.next().await {
                match chunk {
                    Ok(chunk) => body.extend_from_slice(&chunk),
                    Err(_) => errors.set(errors.get() + 1),
                }
            }
            let (method, uri) = (request.method(), request.uri());
            let fields = request.headers().get_all("host").count();
            let peer = request.peer_addr().unwrap();
            BoxBody::new(format!("{method} {uri} {host} {fields} {peer} {}", String::from_utf8_lossy(&body)))
        }
    };
    drop(held);
    if request.method() == Method::DELETE {
        return Err(Response::new(StatusCode::CONFLICT));
    }
    Ok(response.insert_header(("x-answer", "1")).message_body(body).unwrap().map_into_boxed_body())
}

/// The whole body, and what ended it.
async fn read(mut body: RecvStream) -> (Vec<u8>, Option<h2::Error>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        match chunk {
            Ok(chunk) => {
                bytes.extend_from_slice(&chunk);
                body.flow_control().release_capacity(chunk.len()).unwrap();
            }
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

async fn text(response: http::Response<RecvStream>) -> String {
    String::from_utf8(read(response.into_body()).await.0).unwrap()
}

/// Awaits a condition that other tasks of the connection bring about.
async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(1);
    while !condition() {
        assert!(Instant::now() < deadline, "the condition does not hold within a second");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

macro_rules! on_a_connection {
    ($($name:ident: $test:expr;)+) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            LocalSet::new().run_until(async { $test(Client::connect().await).await }).await;
        }
    )+};
}

on_a_connection! {
    a_request_and_its_response_keep_their_parts: async |mut client: Client| {
        let (response, mut body) = client.send("POST", "/echo?a=%20b").await;
        body.send_data(Bytes::from_static(b"first "), false).unwrap();
        body.send_data(Bytes::from_static(b"second"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["x-answer"], "1");
        let expected = "POST /echo?a=%20b example.org 1 192.0.2.1:1000 first second";
        assert_eq!(response.headers()["content-length"], expected.len().to_string().as_str());
        assert_eq!(text(response).await, expected);

        let (response, _) = client.send("DELETE", "/").await;
        assert_eq!(response.await.unwrap().status(), 409);
    };

    a_response_to_head_has_the_length_and_no_body: async |mut client: Client| {
        let (response, _) = client.send("HEAD", "/large").await;
        let response = response.await.unwrap();
        assert_eq!(response.headers()["content-length"], LARGE.to_string().as_str());
        assert!(response.into_body().is_end_stream());
    };

    a_large_response_arrives_whole: async |mut client: Client| {
        let (body, error) = read(client.get("/large").await.into_body()).await;
        assert!(body == vec![7; LARGE] && error.is_none(), "{} bytes, {error:?}", body.len());
    };

    a_body_that_ends_early_resets_its_stream: async |mut client: Client| {
        // hyper may reset it before it has sent the response.
        let error = match client.send("GET", "/short").await.0.await {
            Ok(response) => read(response.into_body()).await.1.unwrap(),
            Err(error) => error,
        };
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
        assert!(text(client.get("/").await).await.starts_with("GET / "), "the connection goes on");
    };

    a_reset_stream_drops_its_request: async |mut client: Client| {
        let (response, _) = client.send("GET", "/held").await;
        let held = Rc::clone(&client.held);
        until(|| held.get() == 1).await;
        drop(response);
        until(|| held.get() == 0).await;
    };

    a_closed_connection_drops_its_requests: async |mut client: Client| {
        let (_response, _) = client.send("GET", "/held").await;
        let held = Rc::clone(&client.held);
        until(|| held.get() == 1).await;
        client.closed.abort();
        until(|| held.get() == 0).await;
    };

    a_connection_has_a_limited_number_of_streams: async |mut client: Client| {
        text(client.get("/").await).await;
        let mut held = Vec::new();
        for _ in 0..MAX_STREAMS {
            held.push(client.send("GET", "/held").await);
        }
        let next = client.send("GET", "/").await;
        let count = Rc::clone(&client.held);
        until(|| count.get() == MAX_STREAMS as usize).await;
        held.pop();
        assert_eq!(next.0.await.unwrap().status(), 200);
    };

    a_head_that_is_too_large_is_refused: async |mut client: Client| {
        let request = http::Request::builder().uri("https://example.org/");
        let request = request.header("x-large", "a".repeat(MAX_HEAD_BYTES as usize)).body(()).unwrap();
        let sent = client.requests.send_request(request, true).unwrap();
        assert_eq!(sent.0.await.unwrap().status(), 431);
        assert!(text(client.get("/").await).await.starts_with("GET / "), "the connection goes on");
    };

    a_connection_without_a_request_ends_soon: async |client: Client| {
        let seconds = client.closed().await;
        assert!((10..=16).contains(&seconds), "{seconds}");
    };

    an_idle_connection_ends_but_not_a_held_request: async |mut client: Client| {
        let (response, _) = client.send("GET", "/held").await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        drop(response);
        let seconds = client.closed().await;
        assert!((75..=81).contains(&seconds), "{seconds}");
    };

    a_response_that_is_not_read_is_reset_and_the_connection_goes_on: async |mut client: Client| {
        let (held, _) = client.send("GET", "/held").await;
        let (began, mut unread) = (Instant::now(), client.get("/endless").await.into_body());
        let mut received = 0;
        let error = loop {
            match unread.data().await.unwrap() {
                Ok(chunk) => received += chunk.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
        assert!((60..=61).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert!(received < 1 << 20, "{received}");
        // The window of the connection.
        unread.flow_control().release_capacity(received).unwrap();
        assert!(text(client.get("/").await).await.starts_with("GET / "));
        assert_eq!(client.held.get(), 1);
        drop(held);
    };

    a_small_response_that_is_not_read_is_reset_too: async |_: Client| {
        let mut client = Client::with_window(1).await;
        let mut unread = client.get("/").await.into_body();
        assert_eq!(unread.data().await.unwrap().unwrap().len(), 1);
        let began = Instant::now();
        let error = unread.data().await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
        assert!((59..=61).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    };

    a_client_that_reads_nothing_at_all_is_disconnected: async |mut client: Client| {
        let held = Rc::clone(&client.held);
        let _held = client.send("GET", "/held").await;
        let _endless = client.send("GET", "/endless").await;
        until(|| held.get() == 1).await;
        client.is_frozen.set(true);
        let began = Instant::now();
        while held.get() > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!((50..=66).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    };

    an_invalid_target_or_host_is_refused: async |mut client: Client| {
        for (uri, host) in [("https://example.org/é", None), ("/", None), ("/", Some(["a", "b"]))] {
            let mut request = http::Request::get(uri);
            for host in host.iter().flatten() {
                request = request.header("host", *host);
            }
            let (response, _) = client.requests.send_request(request.body(()).unwrap(), true).unwrap();
            assert_eq!(response.await.unwrap().status(), 400, "{uri} {host:?}");
        }
    };

    a_body_that_is_reset_is_incomplete: async |mut client: Client| {
        for reason in [h2::Reason::NO_ERROR, h2::Reason::CANCEL] {
            let (_response, mut body) = client.send("POST", "/body").await;
            body.send_data(Bytes::from_static(b"a part"), false).unwrap();
            let errors = Rc::clone(&client.errors);
            let before = errors.get();
            body.send_reset(reason);
            until(|| errors.get() > before).await;
        }
    };

    responses_without_content_have_no_length: async |mut client: Client| {
        for status in [204, 304] {
            let response = client.get(&format!("/{status}")).await;
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().get("content-length"), None, "{status}");
        }
    };

    a_client_that_reads_slowly_is_not_disconnected: async |mut client: Client| {
        let mut body = client.get("/large").await.into_body();
        let (began, mut received) = (Instant::now(), 0);
        while let Some(chunk) = body.data().await {
            let chunk = chunk.unwrap_or_else(|error| panic!("{error} after {:?}, {received} bytes", began.elapsed()));
            received += chunk.len();
            body.flow_control().release_capacity(chunk.len()).unwrap();
            // At 8 KB/s.
            tokio::time::sleep(Duration::from_millis(chunk.len() as u64 / 8)).await;
        }
        assert_eq!(received, LARGE);
        assert!(began.elapsed() > Duration::from_secs(400), "{:?}", began.elapsed());
    };

    a_client_that_does_not_answer_goaway_delays_the_drain_for_seconds_only: async |mut client: Client| {
        text(client.get("/").await).await;
        client.is_frozen.set(true);
        let began = Instant::now();
        client.draining.close_gradually().await;
        client.draining.end();
        client.served.await.unwrap();
        assert!(began.elapsed() <= CLOSE_TIMEOUT + Duration::from_millis(10), "{:?}", began.elapsed());
    };

    the_drain_ends_a_connection_after_its_requests: async |mut client: Client| {
        let (response, _) = client.send("GET", "/slow").await;
        let held = Rc::clone(&client.held);
        until(|| held.get() == 1).await;
        client.draining.close_gradually().await;
        client.draining.end();
        assert_eq!(text(response.await.unwrap()).await, "slow");
        let seconds = client.closed().await;
        assert!(seconds <= 1, "{seconds}");
    };
}
