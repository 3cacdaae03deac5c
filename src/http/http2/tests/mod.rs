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

mod ends;
mod messages;
