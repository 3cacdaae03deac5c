//! TLS of both servers: HTTP and websockets.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use reqwest::Client;
use reqwest::header::HeaderValue;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::app::{App, Process, answer, eventually};
use crate::harness::binary::Ran;
use crate::harness::certificates::Issued;
use crate::harness::feed::Feed;
use crate::harness::websocket::{TEXT, Websocket, event};
use crate::harness::within;

/// An installation with a certificate of a private authority.
pub struct TlsApp {
    pub app: App,
    pub authority: Issued,
}

impl TlsApp {
    pub async fn new(settings: &[&str]) -> Self {
        let app = App::new(&[&["serve.tls.cert=cert.pem", "serve.tls.key=key.pem"], settings].concat()).await;
        let authority = Issued::authority("m3a3 test authority");
        authority.server(90).write(app.dir.path());
        Self { app, authority }
    }

    /// A client that trusts the authority.
    pub fn client(&self) -> Client {
        self.authority.client().build().unwrap()
    }
}

/// Waits until the metrics contain this line.
pub async fn until_metric(http: &Client, process: &Process, line: &str) {
    let line = format!("\n{line}\n");
    eventually(&format!("the metrics have {line:?}"), || async {
        let response = http.get(format!("{}/metrics", process.url())).send().await.unwrap();
        response.text().await.unwrap().contains(&line).then_some(())
    })
    .await;
}

/// A bitmap of more than four megabytes, which is larger than the buffers of a connection.
fn large_bitmap() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = RgbImage::from_fn(1200, 1200, |x, y| Rgb([x as u8, y as u8, (x * y) as u8]));
    image.write_to(&mut bytes, ImageFormat::Bmp).unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn both_servers_speak_http_1_1_over_tls_to_clients_that_offer_nothing_else() {
    let tls = TlsApp::new(&[]).await;
    for process in [tls.app.serve(), tls.app.game_server()] {
        assert!(process.url().starts_with("https://127.0.0.1:"), "{}", process.url());
        let client = tls.client();
        let metrics = client.get(format!("{}/metrics", process.url())).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("\nm3a3_tls_certificate_expiry_seconds "), "{metrics}");
        for alpn in [&["http/1.1"][..], &[]] {
            let mut stream = tls.authority.connect(process.url(), alpn).await;
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut response = String::new();
            within("the response", stream.read_to_string(&mut response)).await.unwrap();
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        }
    }
}

#[tokio::test]
async fn a_large_upload_becomes_a_thumbnail_over_tls() {
    let tls = TlsApp::new(&["log.requests=true"]).await;
    let (mut serve, _worker, http) = (tls.app.serve(), tls.app.worker(), tls.client());
    let url = serve.url().to_owned();
    let image = large_bitmap();
    assert!(image.len() > 4 << 20);
    let form = Form::new().text("userId", "1").part("image", Part::bytes(image).file_name("large.bmp"));
    let (status, accepted) = answer(http.post(format!("{url}/enqueue")).multipart(form)).await.unwrap();
    assert_eq!(status, 200, "{accepted}");
    let live = format!("{url}{}/live?timeout=60", accepted["statusUrl"].as_str().unwrap());
    let (_, done) = answer(http.get(live)).await.unwrap();
    assert_eq!(done["status"], "done", "{done}");

    let thumbnail = format!("{url}{}", done["thumbnailUrl"].as_str().unwrap());
    let whole = http.get(&thumbnail).send().await.unwrap();
    assert_eq!(whole.status(), 200);
    let bytes = whole.bytes().await.unwrap();
    let head = http.head(&thumbnail).send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &HeaderValue::from(bytes.len())));
    let range = http.get(&thumbnail).header("range", "bytes=2-9").send().await.unwrap();
    assert_eq!(range.status(), 206);
    assert_eq!(range.bytes().await.unwrap(), bytes.slice(2..10));
    let tag = head.headers()["etag"].clone();
    assert!(head.bytes().await.unwrap().is_empty());
    let cached = http.get(&thumbnail).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(cached.status(), 304);

    assert!(serve.stop().success());
    let log = serve.stderr();
    assert!(log.contains("scheme=\"https\""), "{log}");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn a_refused_upload_over_tls_gets_its_response() {
    let tls = TlsApp::new(&["serve.max_upload_bytes=1000"]).await;
    let (serve, http) = (tls.app.serve(), tls.client());
    let form = Form::new().text("userId", "1").part("image", Part::bytes(large_bitmap()).file_name("large.bmp"));
    let (status, problem) =
        within("the refusal", answer(http.post(format!("{}/enqueue", serve.url())).multipart(form))).await.unwrap();
    assert_eq!(status, 413, "{problem}");
    let (status, health) = answer(http.get(format!("{}/healthz", serve.url()))).await.unwrap();
    assert_eq!((status, health), (200, json!({ "status": "ok" })));
}

#[tokio::test]
async fn a_feed_a_websocket_and_scores_share_the_port_of_the_game_server() {
    let tls = TlsApp::new(&[]).await;
    let (mut game, http) = (tls.app.game_server(), tls.client());
    let url = game.url().to_owned();
    let mut feed = Feed::open(&http, &url).await;
    let stream = tls.authority.connect(&url, &["http/1.1"]).await;
    let mut websocket = Websocket::over(stream, "/socket.io/?EIO=4&transport=websocket").await;
    websocket.text("40").await;
    let (status, scored) =
        answer(http.post(format!("{url}/score")).json(&json!({ "username": "ada", "score": 42 }))).await.unwrap();
    assert_eq!(status, 200, "{scored}");
    let is_ada = |board: &Value| board.to_string().contains("\"ada\"");
    feed.until_board(is_ada).await;
    loop {
        let (opcode, payload) = websocket.frame().await.expect("an update");
        assert_eq!(opcode, TEXT);
        if event(&String::from_utf8(payload).unwrap()).is_some_and(|(_, board)| is_ada(&board)) {
            break;
        }
    }
    game.signal("TERM");
    feed.until_closed().await;
    websocket.until_closed().await;
    assert!(game.wait().success());
}

#[tokio::test]
async fn requests_in_progress_are_answered_at_sigterm_and_idle_connections_end() {
    // Without the end of idle connections, the drain would last almost an hour.
    let tls = TlsApp::new(&["shutdown.grace_s=3600"]).await;
    let (mut serve, http) = (tls.app.serve(), tls.client());
    let url = serve.url().to_owned();
    let idle = tls.client();
    assert_eq!(idle.get(format!("{url}/healthz")).send().await.unwrap().status(), 200);
    let form = Form::new().text("userId", "1").part("image", Part::bytes(large_bitmap()).file_name("large.bmp"));
    let (status, _) = answer(http.post(format!("{url}/enqueue")).multipart(form)).await.unwrap();
    assert_eq!(status, 200);
    let poll = tokio::spawn(answer(http.get(format!("{url}/status-live/1?timeout=60"))));
    until_metric(&idle, &serve, "m3a3_held_polls 1.0").await;
    serve.signal("TERM");
    let (status, pending) = within("the response", poll).await.unwrap().unwrap();
    assert_eq!((status, &pending["status"]), (408, &json!("pending")));
    assert!(serve.wait().success());
}

#[tokio::test]
async fn the_poll_of_a_lost_connection_is_dropped() {
    let tls = TlsApp::new(&[]).await;
    let (serve, http) = (tls.app.serve(), tls.client());
    let url = serve.url();
    let form = Form::new().text("userId", "1").part("image", Part::bytes(large_bitmap()).file_name("large.bmp"));
    assert_eq!(answer(http.post(format!("{url}/enqueue")).multipart(form)).await.unwrap().0, 200);
    let lost = tls.client();
    let poll = tokio::spawn(lost.get(format!("{url}/status-live/1?timeout=60")).send());
    until_metric(&http, &serve, "m3a3_held_polls 1.0").await;
    poll.abort();
    // The last handle of the client closes its connection.
    drop(lost);
    until_metric(&http, &serve, "m3a3_held_polls 0.0").await;
}

#[tokio::test]
async fn plain_http_and_tls_1_1_are_closed_without_a_warning() {
    let tls = TlsApp::new(&[]).await;
    let mut serve = tls.app.serve();
    let url = serve.url().to_owned();
    // A ClientHello of TLS 1.1 with one cipher suite, without extensions.
    let hello = [&[3, 2][..], &[7; 32], &[0], &[0, 2, 0xc0, 0x13], &[1, 0]].concat();
    let hello = [&[1, 0, 0, hello.len() as u8][..], &hello].concat();
    let hello = [&[22, 3, 1, 0, hello.len() as u8][..], &hello].concat();
    for sent in [&b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], hello.as_slice(), &b"\0"[..]] {
        let mut stream = TcpStream::connect(url.strip_prefix("https://").unwrap()).await.unwrap();
        stream.write_all(sent).await.unwrap();
        if sent.len() == 1 {
            stream.shutdown().await.unwrap();
        }
        let mut received = Vec::new();
        within("the end of the connection", async {
            // A reset is an end as well.
            let _ = stream.read_to_end(&mut received).await;
        })
        .await;
        // A fatal alert, or nothing.
        assert!(received.is_empty() || received[0] == 21, "{received:?}");
    }
    assert_eq!(tls.client().get(format!("{url}/healthz")).send().await.unwrap().status(), 200);
    assert!(serve.stop().success());
    let log = serve.stderr();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn commands_on_the_same_data_reach_a_server_with_a_private_certificate() {
    let tls = TlsApp::new(&[]).await;
    let (serve, game) = (tls.app.serve(), tls.app.game_server());
    let run = |args: &[&str]| {
        let mut command = tls.app.command(args);
        tokio::task::spawn_blocking(move || Ran::of(&mut command))
    };
    for (server, process) in [("api", &serve), ("game", &game)] {
        let ran = run(&["healthcheck", server, "--live"]).await.unwrap();
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert!(ran.stdout.contains(process.url()), "{}", ran.stdout);
    }
    // The authority is verified for a URL that the user gives.
    let with_url = run(&["healthcheck", "--url", serve.url()]).await.unwrap();
    assert_eq!(with_url.code, Some(1), "{}", with_url.stdout);
    let authority = tls.app.dir.write("authority.pem", tls.authority.cert_pem());
    let mut command = tls.app.command(&["healthcheck", "--live", "--url", serve.url()]);
    command.env("SSL_CERT_FILE", authority);
    let ran = tokio::task::spawn_blocking(move || Ran::of(&mut command)).await.unwrap();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}
