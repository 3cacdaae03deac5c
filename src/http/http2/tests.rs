use std::cell::Cell;
use std::future::pending;
use std::io;

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
    /// The requests to `/held` that the server has.
    held: Rc<Cell<usize>>,
}

impl Client {
    async fn connect() -> Self {
        let (near, far) = tokio::io::duplex(64 << 10);
        let draining = Draining::new(Settings::default());
        let held = Rc::new(Cell::new(0));
        let service = Rc::new(fn_service({
            let held = Rc::clone(&held);
            move |request| answer(request, Held::new(&held))
        }));
        spawn_local(serve(far, Some(([192, 0, 2, 1], 1000).into()), service, draining.clone()));
        let (requests, connection) = h2::client::handshake(near).await.unwrap();
        Self { requests, closed: spawn_local(connection), draining, held }
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

/// Counts a request to `/held`.
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

async fn answer(mut request: Request, held: Held) -> Result<Response<BoxBody>, Response<BoxBody>> {
    let mut response = Response::build(StatusCode::OK);
    let host = request.headers().get("host").unwrap().to_str().unwrap().to_owned();
    let body = match request.path() {
        "/large" => BoxBody::new(Bytes::from(vec![7; LARGE])),
        "/endless" => BoxBody::new(BodyStream::new(repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[0; 1024]))))),
        "/short" => BoxBody::new(SizedStream::new(10, once(async { Ok::<_, io::Error>(Bytes::from_static(b"5")) }))),
        "/held" => pending().await,
        "/slow" => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            BoxBody::new("slow")
        }
        _ => {
            let mut body = BytesMut::new();
            let mut payload = request.take_payload();
            while let Some(chunk) = payload.next().await {
                body.extend_from_slice(&chunk.unwrap());
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

    a_client_that_does_not_read_a_response_is_disconnected: async |mut client: Client| {
        let _unread = client.get("/endless").await;
        let seconds = client.closed().await;
        assert!((60..=66).contains(&seconds), "{seconds}");
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
