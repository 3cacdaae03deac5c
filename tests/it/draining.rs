//! Servers that shut down while clients use them: nobody is refused, and not all return at once.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::task::block_in_place;

use crate::harness::app::{App, eventually};
use crate::harness::feed::Feed;
use crate::harness::ports::free_address;
use crate::harness::raw_http::{self, RawAnswer};
use crate::harness::websocket::{CLOSE, SocketClient};
use crate::harness::within;

/// Far above the deadline of every wait.
const LONG: [&str; 2] = ["shutdown.grace_s=1800", "shutdown.spread_s=600"];
const KEPT: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();

/// The value of a header field.
fn field<'a>(answer: &'a RawAnswer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Sends a request on a connection that stays open, and reads its response until its body, which is an object.
async fn ask(connection: &mut TcpStream, request: &str) -> String {
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with('}') {
        answer.push(char::from(within("the response", connection.read_u8()).await.unwrap()));
    }
    answer.to_ascii_lowercase()
}

/// Opens a poll, and waits until the server holds it.
async fn held_poll(url: &str) -> TcpStream {
    let mut poll = raw_http::connect(url).await;
    poll.write_all(b"GET /status-live/1?timeout=60 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    eventually("the poll is held", || async {
        let metrics = raw_http::get(url, "/metrics").await;
        String::from_utf8(metrics.body).unwrap().contains("\nm3a3_held_polls 1.0\n").then_some(())
    })
    .await;
    poll
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_the_delay_a_server_is_not_ready_but_accepts_connections_and_ctrl_c_ends_it_at_once() {
    let settings = ["shutdown.grace_s=1800", "shutdown.delay_s=600", LONG[1]];
    let app = App::new(&settings).await;
    for mut server in [app.serve(), app.game_server()] {
        let url = server.url().to_owned();
        app.until(&url, "ready").await;
        let _idle = raw_http::connect(&url).await;
        server.signal("TERM");
        app.until(&url, "unavailable").await;
        let (status, report) = app.get(&url, "/readyz").await;
        assert_eq!((status, &report["checks"]["shutdown"]), (503, &json!("the server is shutting down")));
        assert_eq!(app.get(&url, "/healthz").await.0, 200);
        server.signal("INT");
        assert_eq!(block_in_place(|| server.wait()).code(), Some(0), "not after ten minutes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_is_answered_with_a_time_to_return_and_an_idle_connection_gets_one_more_response() {
    let app = App::new(&LONG).await;
    let mut server = app.serve();
    let url = server.url().to_owned();
    let mut idle = raw_http::connect(&url).await;
    assert!(!ask(&mut idle, KEPT).await.contains("connection: close"));
    let poll = held_poll(&url).await;
    server.signal("TERM");
    let answer = raw_http::read_answer(poll).await.expect("an answer");
    let body = json!({ "status": "pending", "message": "Request timed out. Please try again." });
    assert_eq!((answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap()), (408, body));
    let seconds: u64 = field(&answer, "retry-after").unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap();
    assert!((1..=600).contains(&seconds), "{seconds}");
    assert_eq!(field(&answer, "connection"), Some("close"));

    // The server waits for this connection, for ten minutes.
    let last = ask(&mut idle, KEPT).await;
    assert!(last.starts_with("http/1.1 200") && last.contains("connection: close"), "{last}");
    assert_eq!(within("the end", idle.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(block_in_place(|| server.wait()).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_are_told_that_the_server_goes_away_and_feeds_end() {
    let app = App::new(&LONG).await;
    let mut server = app.ready_game_server().await;
    let url = server.url().to_owned();
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(SocketClient::connect(&url).await);
    }
    let mut feed = Feed::open(&app.http, &url).await;
    server.signal("TERM");
    for socket in &mut sockets {
        let mut last = None;
        while let Some(frame) = socket.websocket.frame().await {
            last = Some(frame);
        }
        assert_eq!(last, Some((CLOSE, GOING_AWAY.to_vec())));
    }
    feed.until_closed().await;
    // The client of the feed keeps the connection for its next request.
    drop(feed);
    drop(app.http);
    assert_eq!(block_in_place(|| server.wait()).code(), Some(0));
}

/// A client that sends requests until it is dropped; a failed one ends the test.
struct Client {
    answered: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Client {
    /// Of one request after the other.
    fn start<F: Future<Output = u16> + Send>(mut request: impl FnMut() -> F + Send + 'static) -> Self {
        let answered = Arc::new(AtomicUsize::new(0));
        let counted = answered.clone();
        let task = tokio::spawn(async move {
            loop {
                assert_eq!(request().await, 200);
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { answered, task }
    }

    /// Whose requests have a connection each.
    fn connecting(url: &str) -> Self {
        let url = url.to_owned();
        Self::start(move || {
            let url = url.clone();
            async move { raw_http::get(&url, "/healthz").await.status }
        })
    }

    /// That keeps its connection.
    fn keeping(url: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.get(format!("{url}/healthz"));
        Self::start(move || {
            let request = request.try_clone().unwrap();
            async move { request.send().await.unwrap().status().as_u16() }
        })
    }

    /// Waits for two responses: the second is of a request that was sent after the call.
    async fn answered_again(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("a response", || async {
            assert!(!self.task.is_finished(), "a request failed");
            (self.answered.load(Ordering::Relaxed) >= before + 2).then_some(())
        })
        .await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn replace(app: &App, command: &str) {
    let mut first = app.start(&[command]);
    let url = first.url().to_owned();
    let clients: Vec<_> = (0..4).flat_map(|_| [Client::connecting(&url), Client::keeping(&url)]).collect();
    let all_answered = || join_all(clients.iter().map(Client::answered_again));
    all_answered().await;
    let mut second = block_in_place(|| app.start(&[command]));
    assert_eq!(second.url(), url);
    all_answered().await;
    first.signal("TERM");
    assert_eq!(block_in_place(|| first.wait()).code(), Some(0));
    all_answered().await;
    drop(clients);
    assert!(block_in_place(|| second.stop()).success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_takes_over_the_port_of_the_first_and_no_request_fails() {
    for (command, key) in [("serve", "serve.port"), ("game-server", "game.port")] {
        let port = format!("{key}={}", free_address().port());
        let app = App::new(&["serve.reuse_port=true", "shutdown.spread_s=20", &port]).await;
        replace(&app, command).await;
    }
}
