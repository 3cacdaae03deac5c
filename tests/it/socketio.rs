//! Socket.IO as clients use it: first boards, updates, transports, heartbeats, slow clients, shutdown.

use std::collections::VecDeque;
use std::time::Duration;

use m3a3::socketio::Settings;
use serde_json::{Value, json};

use crate::harness::bridge::Bridge;
use crate::harness::websocket::{CLOSE, SocketClient, TEXT, Websocket, event};
use crate::harness::{until, within};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// A session of the polling transport.
struct Polling {
    http: reqwest::Client,
    url: String,
    sid: String,
    /// Packets of the last poll that were not returned yet.
    received: VecDeque<String>,
}

impl Polling {
    /// Opens a session, connects it to the main namespace, and waits for the first board.
    async fn connect(bridge: &Bridge) -> Self {
        let mut session = Self::open(bridge).await;
        session.post("40").await;
        assert!(session.packet().await.starts_with("40{\"sid\":"));
        assert_eq!(event(&session.packet().await), Some(("current_leaderboard".to_owned(), json!([]))));
        session
    }

    /// Opens a session without connecting it to a namespace.
    async fn open(bridge: &Bridge) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let opened = http.get(format!("{}{POLLING}", bridge.url)).send().await.unwrap().text().await.unwrap();
        let opened: Value = serde_json::from_str(opened.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(opened["upgrades"], json!(["websocket"]));
        let sid = opened["sid"].as_str().unwrap().to_owned();
        Self { http, url: format!("{}{POLLING}&sid={sid}", bridge.url), sid, received: VecDeque::new() }
    }

    async fn post(&self, packets: &str) {
        let answer = self.http.post(&self.url).body(packets.to_owned()).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "ok"));
    }

    /// The next packet except pings, which are answered.
    async fn packet(&mut self) -> String {
        loop {
            match self.received.pop_front() {
                Some(ping) if ping == "2" => self.post("3").await,
                Some(packet) => return packet,
                None => {
                    let answer = within("the response to a poll", self.http.get(&self.url).send()).await.unwrap();
                    assert_eq!(answer.status(), 200);
                    self.received.extend(answer.text().await.unwrap().split('\x1e').map(str::to_owned));
                }
            }
        }
    }
}

/// A top ten of realistic length.
fn board(number: usize) -> Value {
    let entry =
        |rank: usize| json!({ "username": format!("a player of rank {rank:05}"), "score": number * 100 + rank });
    (0..10).map(entry).collect()
}

#[tokio::test]
async fn a_websocket_gets_the_first_board_and_every_update_that_it_has_time_for() {
    let bridge = Bridge::start();
    let mut client = SocketClient::connect(&bridge.url).await;
    assert_eq!(client.event().await, Some(("current_leaderboard".to_owned(), json!([]))));
    for number in 0..3 {
        bridge.update(&board(number)).await;
        assert_eq!(client.event().await, Some(("update_leaderboard".to_owned(), board(number))));
    }
    assert_eq!(bridge.sockets.connected(), 1);
    client.websocket.text("41").await;
    until("the socket is removed", || bridge.sockets.connected() == 0).await;
}

#[tokio::test]
async fn a_polling_client_gets_the_first_board_and_the_latest_update() {
    let bridge = Bridge::start();
    let mut client = Polling::connect(&bridge).await;
    let poll = async { client.packet().await };
    let update = async { bridge.update(&board(1)).await };
    assert_eq!(event(&tokio::join!(poll, update).0), Some(("update_leaderboard".to_owned(), board(1))));
    client.post("1").await;
    until("the socket is removed", || bridge.sockets.connected() == 0).await;
}

#[tokio::test]
async fn between_two_polls_all_updates_but_the_latest_are_skipped() {
    let bridge = Bridge::start();
    let mut client = Polling::connect(&bridge).await;
    for number in 0..1000 {
        bridge.update(&board(number)).await;
    }
    let mut updates = 1;
    while event(&client.packet().await) != Some(("update_leaderboard".to_owned(), board(999))) {
        updates += 1;
    }
    assert!(updates < 100, "{updates} of 1,000 updates had been kept");
}

#[tokio::test]
async fn an_upgrade_from_polling_to_a_websocket_misses_no_update() {
    let bridge = Bridge::start();
    let mut client = Polling::connect(&bridge).await;
    let target = format!("/socket.io/?EIO=4&transport=websocket&sid={}", client.sid);
    let mut websocket = Websocket::open(&bridge.url, &target).await.expect("a websocket");
    websocket.text("2probe").await;
    // A noop packet ends the poll.
    assert_eq!(client.packet().await, "6");
    assert_eq!(websocket.frame().await, Some((TEXT, b"3probe".to_vec())));
    bridge.update(&board(1)).await;
    websocket.text("5").await;
    let mut client = SocketClient { websocket };
    assert_eq!(client.until_update(&board(1)).await, 0);
    bridge.update(&board(2)).await;
    assert_eq!(client.until_update(&board(2)).await, 0);
    assert_eq!(bridge.sockets.connected(), 1);
}

#[tokio::test]
async fn a_failed_upgrade_ends_the_session() {
    let bridge = Bridge::start();
    let client = Polling::connect(&bridge).await;
    let target = format!("/socket.io/?EIO=4&transport=websocket&sid={}", client.sid);
    let websocket = Websocket::open(&bridge.url, &target).await.expect("a websocket");
    drop(websocket);
    until("the session is removed", || bridge.sockets.connected() == 0).await;
    assert_eq!(client.http.get(&client.url).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn every_origin_may_poll() {
    let bridge = Bridge::start();
    let http = Polling::open(&bridge).await.http;
    let url = format!("{}{POLLING}", bridge.url);
    let preflight = http
        .request(reqwest::Method::OPTIONS, &url)
        .header("Origin", "https://anywhere.example")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type")
        .send();
    let get = http.get(&url).header("Origin", "https://anywhere.example").send();
    let refused = http.get(format!("{url}&sid=x")).header("Origin", "https://anywhere.example").send();
    for (answer, status) in [(preflight.await, 204), (get.await, 200), (refused.await, 400)] {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    }
}

#[tokio::test]
async fn only_clients_that_answer_pings_stay_connected() {
    // Long enough for the client that answers, on a busy machine.
    let (ping_interval, ping_timeout) = (Duration::from_millis(100), Duration::from_secs(2));
    let bridge = Bridge::with(Settings { ping_interval, ping_timeout, ..Settings::default() });
    let mut silent = SocketClient::connect(&bridge.url).await;
    let mut client = SocketClient::connect(&bridge.url).await;
    assert_eq!(client.event().await.unwrap().0, "current_leaderboard");
    let answering = async {
        loop {
            assert_eq!(client.websocket.frame().await, Some((TEXT, b"2".to_vec())));
            client.websocket.text("3").await;
        }
    };
    tokio::select! {
        () = answering => {}
        () = silent.websocket.until_closed() => {}
    }
    bridge.update(&board(1)).await;
    assert_eq!(client.until_update(&board(1)).await, 0);
    until("one is left", || bridge.sockets.connected() == 1).await;
}

#[tokio::test]
async fn a_session_that_never_connects_to_the_namespace_is_closed() {
    let bridge = Bridge::with(Settings { connect_timeout: Duration::from_millis(100), ..Settings::default() });
    let mut websocket = SocketClient::open(&bridge.url).await;
    let polling = Polling::open(&bridge).await;
    websocket.websocket.until_closed().await;
    let gone = async || polling.http.post(&polling.url).body("3").send().await.unwrap().status() == 400;
    crate::harness::until_async("the polling session is gone", gone).await;
}

#[tokio::test]
async fn a_slow_client_skips_updates_but_not_the_latest_and_delays_no_other() {
    const UPDATES: usize = 3000;
    // The write timeout must not disconnect the slow client during this test.
    let long = Duration::from_secs(3600);
    let bridge = Bridge::with(Settings { write_timeout: long, ping_timeout: long, ..Settings::default() });
    let mut slow = SocketClient::connect(&bridge.url).await;
    let mut quick = SocketClient::connect(&bridge.url).await;
    // 40 kB each, so that the socket buffers hold only a few.
    let large = |number: usize| json!([number, "x".repeat(40_000)]);
    for number in 0..UPDATES {
        bridge.update(&large(number)).await;
        if number % 10 == 0 {
            quick.until_update(&large(number)).await;
        }
    }
    quick.until_update(&large(UPDATES - 1)).await;
    let before = slow.until_update(&large(UPDATES - 1)).await;
    assert!(before < UPDATES / 2, "{before} of {UPDATES} updates were kept for it");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_disconnected_even_if_it_answers_pings() {
    let bridge = Bridge::with(Settings { write_timeout: Duration::from_millis(200), ..Settings::default() });
    let mut client = SocketClient::connect(&bridge.url).await;
    let large = json!("x".repeat(1 << 20));
    let dropped = async {
        while bridge.sockets.connected() > 0 {
            bridge.update(&large).await;
            client.websocket.text("3").await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the end of its session", dropped).await;
}

#[tokio::test]
async fn shutdown_closes_a_thousand_sockets() {
    let bridge = Bridge::start();
    let mut clients = Vec::new();
    for _ in 0..1000 {
        clients.push(SocketClient::connect(&bridge.url).await);
    }
    let halfway = SocketClient::open(&bridge.url).await;
    let polling = Polling::open(&bridge).await;
    let held = tokio::spawn(polling.http.get(&polling.url).send());
    bridge.update(&board(1)).await;
    bridge.stop();
    for client in &mut clients {
        let mut last = None;
        while let Some((opcode, _)) = client.websocket.frame().await {
            last = Some(opcode);
        }
        // engineioxide usually sends a Close packet before it. Clients reconnect in the same way without one.
        assert_eq!(last, Some(CLOSE), "the websocket is closed, then the connection");
    }
    bridge.ended().await;
    let mut websocket = halfway.websocket;
    websocket.until_closed().await;
    within("the end of the poll", held).await.unwrap().ok();
}
