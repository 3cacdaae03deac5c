//! HTTP/2 of both servers, which clients choose in the TLS handshake.

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::harness::app::{Process, eventually};
use crate::harness::pictures::jpeg;
use crate::harness::within;
use crate::tls::{TlsApp, until_metric};

/// A connection to a server.
struct Connection {
    requests: SendRequest<Bytes>,
    /// Ends with the connection.
    ended: JoinHandle<Result<(), h2::Error>>,
    url: String,
    authorization: Option<&'static str>,
}

impl Connection {
    async fn open(tls: &TlsApp, process: &Process) -> Self {
        let stream = tls.authority.connect(process.url(), &["h2", "http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        Self { requests, ended: tokio::spawn(connection), url: process.url().to_owned(), authorization: None }
    }

    async fn send(&mut self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Response<RecvStream> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = self.authorization.iter().fold(request, |request, token| request.header("authorization", *token));
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.requests = self.requests.clone().ready().await.unwrap();
        let (response, mut stream) = self.requests.send_request(request.body(()).unwrap(), body.is_empty()).unwrap();
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body), true).unwrap();
        }
        within("the response", response).await.unwrap()
    }

    /// Waits for the end of the connection. Its last write may fail, since the server closes it.
    async fn until_ended(self) {
        let _ = within("the end of the connection", self.ended).await.unwrap();
    }

    async fn get(&mut self, path: &str) -> (u16, Value) {
        json_of(self.send("GET", path, &[], &[]).await).await
    }

    async fn upload(&mut self, image: &[u8]) -> (u16, Value) {
        let head = "--b\r\nContent-Disposition: form-data; name=\"userId\"\r\n\r\n1\r\n--b\r\nContent-Disposition: \
                    form-data; name=\"image\"; filename=\"a.jpg\"\r\n\r\n";
        let body = [head.as_bytes(), image, b"\r\n--b--\r\n"].concat();
        let fields = [("content-type", "multipart/form-data; boundary=b")];
        json_of(self.send("POST", "/enqueue", &fields, &body).await).await
    }
}

async fn body_of(response: Response<RecvStream>) -> (u16, Vec<u8>) {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = within("the body", body.data()).await {
        let chunk = chunk.unwrap();
        bytes.extend_from_slice(&chunk);
        body.flow_control().release_capacity(chunk.len()).unwrap();
    }
    (head.status.as_u16(), bytes)
}

async fn json_of(response: Response<RecvStream>) -> (u16, Value) {
    let (status, body) = body_of(response).await;
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_becomes_a_thumbnail_over_one_connection() {
    let tls = TlsApp::new(&["log.requests=true"]).await;
    let (mut serve, _worker) = (tls.app.serve(), tls.app.worker());
    let mut client = Connection::open(&tls, &serve).await;
    let (status, accepted) = client.upload(&jpeg(1)).await;
    assert_eq!(status, 200, "{accepted}");
    let (status, done) = client.get(&format!("{}/live?timeout=60", accepted["statusUrl"].as_str().unwrap())).await;
    assert_eq!((status, &done["status"]), (200, &json!("done")), "{done}");
    let path = done["thumbnailUrl"].as_str().unwrap();
    let whole = client.send("GET", path, &[], &[]).await;
    let (tag, length) = (whole.headers()["etag"].clone(), whole.headers()["content-length"].clone());
    let (status, bytes) = body_of(whole).await;
    assert_eq!((status, bytes.len().to_string().as_str()), (200, length.to_str().unwrap()));
    let head = client.send("HEAD", path, &[], &[]).await;
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &length));
    assert_eq!(body_of(head).await.1, b"");
    let (status, part) = body_of(client.send("GET", path, &[("range", "bytes=2-9")], &[]).await).await;
    assert_eq!((status, part.as_slice()), (206, &bytes[2..10]));
    let cached = client.send("GET", path, &[("if-none-match", tag.to_str().unwrap())], &[]).await;
    assert_eq!(body_of(cached).await, (304, vec![]));

    assert!(tokio::task::block_in_place(|| serve.stop()).success());
    let log = serve.stderr();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn requests_meet_the_same_checks_as_over_http_1_1() {
    let tls = TlsApp::new(&["serve.max_upload_bytes=100000", "auth.token=a-service-token-of-a-backend"]).await;
    let serve = tls.app.serve();
    let mut client = Connection::open(&tls, &serve).await;
    let (status, problem) = client.get("/jobs/none").await;
    assert_eq!(status, 401, "{problem}");
    client.authorization = Some("Bearer a-service-token-of-a-backend");
    let (status, problem) = client.upload(&vec![0xff; 200_000]).await;
    assert_eq!(status, 413, "{problem}");
    let fields = [("content-type", "application/json")];
    let (status, problem) = json_of(client.send("POST", "/enqueue", &fields, b"{\"userId\": ").await).await;
    assert_eq!((status, &problem["type"]), (400, &json!("about:blank")), "{problem}");
    let (status, problem) = json_of(client.send("CONNECT", "", &[], &[]).await).await;
    assert!((400..500).contains(&status), "{status} {problem}");
    assert_eq!(client.get("/healthz").await.0, 200, "the connection goes on");
}

#[tokio::test]
async fn a_feed_and_scores_share_a_connection_to_the_game_server() {
    let tls = TlsApp::new(&[]).await;
    let mut game = tls.app.game_server();
    let mut client = Connection::open(&tls, &game).await;
    let mut feed = client.send("GET", "/leaderboard-feed", &[], &[]).await.into_body();
    let fields = [("content-type", "application/json")];
    let score = json!({ "username": "ada", "score": 42 }).to_string();
    let (status, scored) = json_of(client.send("POST", "/score", &fields, score.as_bytes()).await).await;
    assert_eq!(status, 200, "{scored}");
    let mut received = String::new();
    while !received.contains("\"ada\"") {
        let chunk = within("an event", feed.data()).await.expect("an event").unwrap();
        feed.flow_control().release_capacity(chunk.len()).unwrap();
        received.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    game.signal("TERM");
    while within("the end of the feed", feed.data()).await.is_some() {}
    client.until_ended().await;
    assert!(game.wait().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_sigterm_a_held_poll_is_answered_and_the_connection_ends_with_goaway() {
    // Without GOAWAY, the drain would last until the end of a window.
    let tls = TlsApp::new(&["shutdown.grace_s=3600", "shutdown.spread_s=600"]).await;
    let mut serve = tls.app.serve();
    let mut client = Connection::open(&tls, &serve).await;
    assert_eq!(client.upload(&jpeg(1)).await.0, 200);
    let mut idle = Connection::open(&tls, &serve).await;
    assert_eq!(idle.get("/healthz").await.0, 200);
    let held = tokio::spawn(async move { (client.get("/status-live/1?timeout=60").await, client) });
    until_metric(&tls.client(), &serve, "m3a3_held_polls 1.0").await;
    serve.signal("TERM");
    let ((status, pending), client) = within("the response", held).await.unwrap();
    assert_eq!((status, &pending["status"]), (408, &json!("pending")));
    client.until_ended().await;
    idle.until_ended().await;
    assert!(tokio::task::block_in_place(|| serve.wait()).success());
}

#[tokio::test]
async fn a_reset_stream_and_a_lost_connection_drop_their_polls() {
    let tls = TlsApp::new(&[]).await;
    let serve = tls.app.serve();
    let mut client = Connection::open(&tls, &serve).await;
    assert_eq!(client.upload(&jpeg(1)).await.0, 200);
    let (http, url) = (tls.client(), serve.url());
    let poll = || Request::get(format!("{url}/status-live/1?timeout=60")).body(()).unwrap();
    let (response, _) = client.requests.send_request(poll(), true).unwrap();
    until_metric(&http, &serve, "m3a3_held_polls 1.0").await;
    drop(response);
    until_metric(&http, &serve, "m3a3_held_polls 0.0").await;
    let _response = client.requests.send_request(poll(), true).unwrap();
    until_metric(&http, &serve, "m3a3_held_polls 1.0").await;
    client.ended.abort();
    until_metric(&http, &serve, "m3a3_held_polls 0.0").await;
}

#[tokio::test]
async fn a_flood_of_header_fields_and_of_resets_ends_only_its_connection() {
    let tls = TlsApp::new(&[]).await;
    let serve = tls.app.serve();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // A HEADERS frame without END_HEADERS, then CONTINUATION frames with more of the block (CVE-2024-27316).
    let literal = [&[0x40, 1, b'a', 127, 0x81, 0x7f][..], &[b'a'; 16_000]].concat();
    let continuation = [&[0, 0x3e, 0x86, 9, 0, 0, 0, 0, 1][..], &literal].concat();
    let mut flood = [&preface[..], &[0, 0, 0, 1, 0, 0, 0, 0, 1]].concat();
    for _ in 0..1_000 {
        flood.extend_from_slice(&continuation);
    }
    // Requests that are reset at once (CVE-2023-44487).
    let mut resets = preface.to_vec();
    for stream in (1..20_000_u32).step_by(2) {
        let stream = stream.to_be_bytes();
        resets.extend_from_slice(&[&[0, 0, 3, 1, 5][..], &stream, &[0x82, 0x84, 0x87]].concat());
        resets.extend_from_slice(&[&[0, 0, 4, 3, 0][..], &stream, &[0, 0, 0, 8]].concat());
    }
    for hostile in [flood, resets] {
        let mut stream = tls.authority.connect(serve.url(), &["h2"]).await;
        // The server may close the connection before it has everything.
        let _ = stream.write_all(&hostile).await;
        within("the end of the connection", async {
            let mut received = Vec::new();
            let _ = stream.read_to_end(&mut received).await;
        })
        .await;
    }
    eventually("another client is served", || async {
        let mut client = Connection::open(&tls, &serve).await;
        (client.get("/healthz").await.0 == 200).then_some(())
    })
    .await;
}
