//! `Expect: 100-continue`: clients that send a body only if the server wants it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::app::App;
use crate::harness::pictures::jpeg;
use crate::harness::raw_http::{connect, exchange, read_answer};
use crate::harness::within;

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const EXPECT: &str = "Expect: 100-continue\r\n";

/// The head of a POST request.
fn head(path: &str, fields: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n")
}

/// A form with this image.
fn form(image: &[u8]) -> Vec<u8> {
    let user = "--x\r\nContent-Disposition: form-data; name=\"userId\"\r\n\r\n1\r\n";
    let part = "--x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\n";
    [user.as_bytes(), part.as_bytes(), image, b"\r\n--x--\r\n"].concat()
}

fn form_head(length: usize, fields: &str) -> String {
    let form = "Content-Type: multipart/form-data; boundary=x";
    head("/enqueue", &format!("{form}\r\nContent-Length: {length}\r\n{fields}"))
}

/// Sends a head, and reads the interim response.
async fn invited(url: &str, head: &str) -> TcpStream {
    let mut stream = connect(url).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = vec![0; CONTINUE.len()];
    within("the interim response", stream.read_exact(&mut interim)).await.unwrap();
    assert_eq!(String::from_utf8(interim).unwrap(), CONTINUE);
    stream
}

/// Sends a head without its body, and returns the status of the first response.
async fn refused(url: &str, head: &str) -> u16 {
    let mut stream = connect(url).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    read_answer(stream).await.expect("a response").status
}

#[tokio::test]
async fn a_client_that_waits_before_it_sends_its_body_is_invited() {
    let app = App::new(&[]).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    let body = form(&jpeg(1));
    let mut stream = invited(serve.url(), &form_head(body.len(), EXPECT)).await;
    // In parts, so that the handler waits in between.
    for part in body.chunks(100) {
        stream.write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_answer(stream).await.unwrap().status, 200);
    assert_eq!(app.count("SELECT count(*) FROM images"), 1);

    let chunked = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nexpect: 100-Continue\r\n";
    let mut stream = invited(game.url(), &head("/score", chunked)).await;
    let score = "{\"username\": \"ada\", \"score\": 7}";
    stream.write_all(format!("{:x}\r\n{score}\r\n0\r\n\r\n", score.len()).as_bytes()).await.unwrap();
    assert_eq!(read_answer(stream).await.unwrap().status, 200);
    assert_eq!(app.count("SELECT count(*) FROM scores"), 1);
}

#[tokio::test]
async fn a_refused_request_gets_its_final_response_instead_of_an_invitation() {
    let settings = [
        "auth.token=s3cret",
        "serve.max_upload_bytes=100000",
        "serve.trusted_proxies=127.0.0.1/32",
        "limits.uploads_per_minute=1",
        "limits.uploads_burst=1",
    ];
    let app = App::new(&settings).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    let token = format!("{EXPECT}Authorization: Bearer s3cret\r\n");
    for (head, status) in [
        (form_head(1000, EXPECT), 401),
        (form_head(1000, &format!("{EXPECT}X-Forwarded-For: 192.0.2.1\r\n")), 401),
        (form_head(1000, &format!("{EXPECT}X-Forwarded-For: 192.0.2.1\r\n")), 429),
        (form_head(1_000_000, &token), 413),
        (head("/enqueue", &format!("Content-Type: text/plain\r\nContent-Length: 9\r\n{token}")), 415),
        (head("/enqueue?x=1", &format!("Content-Length: 9\r\n{token}")), 400),
        (head("/nothing", &format!("Content-Length: 9\r\n{token}")), 404),
        (head("/status/1", &format!("Content-Length: 9\r\n{token}")), 405),
    ] {
        assert_eq!(refused(serve.url(), &head).await, status, "{head}");
    }
    let json = "Content-Type: application/json\r\nContent-Length: 9\r\n";
    assert_eq!(refused(game.url(), &head("/score", &format!("{json}{EXPECT}"))).await, 401);
    assert_eq!(app.count("SELECT count(*) FROM images"), 0);
}

#[tokio::test]
async fn a_refused_client_that_sends_its_body_all_the_same_reads_the_refusal() {
    let app = App::new(&["auth.token=s3cret"]).await;
    let serve = app.serve();
    let body = form(&vec![0; 1_000_000]);
    let request = [form_head(body.len(), EXPECT).as_bytes(), &body].concat();
    let answer = exchange(serve.url(), request).await.expect("a response");
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_client_that_sends_its_body_at_once_is_served_and_its_connection_is_kept() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let body = form(&jpeg(1));
    let first = form_head(body.len(), EXPECT).replace("Connection: close\r\n", "");
    let last = "GET /status/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = exchange(serve.url(), [first.as_bytes(), &body, last.as_bytes()].concat()).await.unwrap();
    assert_eq!(answer.status, 100);
    let rest = String::from_utf8(answer.body).unwrap();
    assert_eq!(rest.matches("HTTP/1.1 200 OK").count(), 2, "{rest}");
    assert_eq!(rest.matches("100 Continue").count(), 0, "{rest}");
}

#[tokio::test]
async fn requests_without_a_body_are_not_continued_and_other_expectations_fail() {
    let app = App::new(&[]).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    let request = |line: &str, fields: &str| format!("{line}\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
    for (line, status) in [
        ("GET /status/1 HTTP/1.1", 404),
        ("HEAD /status/1 HTTP/1.1", 404),
        ("OPTIONS /enqueue HTTP/1.1", 204),
        ("GET /status-live/1?timeout=1 HTTP/1.1", 408),
    ] {
        assert_eq!(refused(serve.url(), &request(line, EXPECT)).await, status, "{line}");
    }
    for url in [serve.url(), game.url()] {
        for expected in ["200-ok", "100-continue, 200-ok"] {
            let fields = format!("Expect: {expected}\r\nContent-Length: 9\r\n");
            assert_eq!(refused(url, &head("/enqueue", &fields)).await, 417, "{expected}");
        }
    }
    // RFC 9110: a client of HTTP/1.0 knows no interim responses.
    let body = form(&jpeg(1));
    let old = form_head(body.len(), EXPECT).replace("HTTP/1.1", "HTTP/1.0");
    let answer = exchange(serve.url(), [old.as_bytes(), &body].concat()).await.unwrap();
    assert_eq!(answer.status, 200);
}
