//! Invalid Socket.IO requests and frames: each is rejected or dropped, and the server keeps working.

use m3a3::socketio::Settings;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::harness::bridge::Bridge;
use crate::harness::problem::{assert_raw_problem, assert_refused};
use crate::harness::raw_http::RawAnswer;
use crate::harness::websocket::{
    BINARY, CLOSE, CONTINUATION, PING, PONG, SocketClient, TEXT, Websocket, frame, request,
};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
const UNKNOWN: &str = "&sid=AAAAAAAAAAAAAAHs";

/// Asserts that a valid client still gets the first board and updates.
async fn assert_works(bridge: &Bridge, what: &str) {
    let mut client = SocketClient::connect(&bridge.url).await;
    assert_eq!(client.event().await.unwrap().0, "current_leaderboard", "after {what}");
    bridge.update(&json!([what])).await;
    client.until_update(&json!([what])).await;
}

/// The code and message of an error of the engine.io server.
const INVALID: [(u64, &str); 5] = [
    (0, "Transport unknown"),
    (1, "Session ID unknown"),
    (2, "Bad handshake method"),
    (3, "Bad request"),
    (5, "Unsupported protocol version"),
];

fn assert_invalid_body(what: &str, status: u16, kind: &str, body: &[u8], code: u64) {
    let (_, message) = INVALID.into_iter().find(|(known, _)| *known == code).unwrap();
    let text = String::from_utf8_lossy(body);
    assert_eq!((status, kind), (400, "application/json"), "{what}: {text}");
    assert_eq!(text, json!({ "code": code, "message": message }).to_string(), "{what}");
}

async fn assert_invalid(what: &str, request: reqwest::RequestBuilder, code: u64) {
    let response = request.send().await.unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_invalid_body(what, response.status().as_u16(), &kind, &response.bytes().await.unwrap(), code);
}

fn assert_raw_invalid(what: &str, answer: &RawAnswer, code: u64) {
    let kind = answer.head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    assert_invalid_body(what, answer.status, kind, &answer.body, code);
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn an_invalid_polling_request_is_rejected_like_by_engine_io() {
    let bridge = Bridge::start();
    let http = http();
    for (query, code) in [
        ("", 0),
        ("EIO=4", 0),
        ("EIO=4&transport=carrier-pigeon", 0),
        ("EIO=3&transport=polling", 5),
        ("transport=polling", 5),
        ("EIO=4&transport=websocket", 3),
        ("EIO=4&transport=polling&sid=garbage", 1),
        ("EIO=4&transport=polling&sid=AAAAAAAAAAAAAAHs", 1),
        ("EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAHs", 1),
    ] {
        let get = http.get(format!("{}/socket.io/?{query}", bridge.url));
        assert_invalid(query, get, code).await;
    }
    let post = |query: &str| http.post(format!("{}{POLLING}{query}", bridge.url)).body("40");
    assert_invalid("POST without a session", post(""), 2).await;
    assert_invalid("POST to an unknown session", post(UNKNOWN), 1).await;
    assert_invalid("PUT", http.put(format!("{}{POLLING}", bridge.url)), 2).await;
    assert_invalid("PUT to an unknown transport", http.put(format!("{}/socket.io/", bridge.url)), 0).await;
    assert_works(&bridge, "bad requests").await;
}

#[tokio::test]
async fn an_invalid_websocket_request_is_rejected_without_a_101() {
    let bridge = Bridge::start();
    for (target, from, to, code) in [
        ("/socket.io/", "", "", 0),
        ("/socket.io/?EIO=3&transport=websocket", "", "", 5),
        (POLLING, "", "", 3),
        ("/socket.io/?EIO=4&transport=websocket&sid=x", "", "", 1),
        ("/socket.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAHs", "", "", 1),
        (WEBSOCKET, "GET ", "POST ", 2),
    ] {
        let request = request(target, |head| if from.is_empty() { head } else { head.replace(from, to) });
        let Err(answer) = Websocket::request(&bridge.url, &request).await else { panic!("{target}: 101") };
        assert_raw_invalid(target, &answer, code);
    }
    let cases: [(&str, &str, &str, u16, &str); 5] = [
        ("/", "", "", 404, "no websocket"),
        (WEBSOCKET, "AAECAwQFBgcICQoLDA0ODw==", "short", 400, "not a websocket request"),
        (WEBSOCKET, "Sec-WebSocket-Key", "X-Other", 400, "not a websocket request"),
        (WEBSOCKET, "Version: 13", "Version: 8", 400, "not a websocket request"),
        (WEBSOCKET, "Connection: Upgrade", "Connection: close", 400, "not a websocket request"),
    ];
    for (target, from, to, status, names) in cases {
        let what = format!("{target} with {to:?} for {from:?}");
        let request = request(target, |head| if from.is_empty() { head } else { head.replace(from, to) });
        let Err(answer) = Websocket::request(&bridge.url, &request).await else { panic!("{what}: 101") };
        assert_raw_problem(&what, &answer, status, names);
    }
    assert_works(&bridge, "bad websocket requests").await;
}

#[tokio::test]
async fn a_session_has_one_websocket() {
    let bridge = Bridge::start();
    let mut client = SocketClient::open(&bridge.url).await;
    client.websocket.text("40").await;
    let connected = client.packet().await.unwrap();
    let connected: serde_json::Value = serde_json::from_str(connected.strip_prefix("40").unwrap()).unwrap();
    let target = format!("{WEBSOCKET}&sid={}", connected["sid"].as_str().unwrap());
    let Err(answer) = Websocket::open(&bridge.url, &target).await else { panic!("a second websocket") };
    assert_raw_invalid("a second websocket", &answer, 3);
    bridge.update(&json!(1)).await;
    assert_eq!(client.until_update(&json!(1)).await, 0);
}

#[tokio::test]
async fn any_posted_body_is_accepted_or_rejected() {
    let bridge = Bridge::start();
    let http = http();
    let open = async || {
        let opened = http.get(format!("{}{POLLING}", bridge.url)).send().await.unwrap().text().await.unwrap();
        let opened: serde_json::Value = serde_json::from_str(&opened[1..]).unwrap();
        format!("{}{POLLING}&sid={}", bridge.url, opened["sid"].as_str().unwrap())
    };
    let too_large = "4".repeat(Settings::default().max_payload + 1);
    assert_refused("too large", http.post(open().await).body(too_large), 413, "larger than 65536 bytes").await;
    let garbage: [&[u8]; 7] =
        [b"garbage", b"\xff\xfe\x00", b"9", b"6", b"0{}", b"\x1e\x1e\x1e", "4€\u{1e}é".as_bytes()];
    for body in garbage {
        let what = String::from_utf8_lossy(body);
        assert_invalid(&what, http.post(open().await).body(body), 3).await;
    }
    for body in HOSTILE_TEXTS {
        let answer = http.post(open().await).body(*body).send().await.unwrap();
        assert!(answer.status().as_u16() < 500, "{body:?}: {}", answer.status());
    }
    assert_works(&bridge, "bad posts").await;
}

#[tokio::test]
async fn two_polls_at_once_end_a_session() {
    let bridge = Bridge::start();
    let http = http();
    let opened = http.get(format!("{}{POLLING}", bridge.url)).send().await.unwrap().text().await.unwrap();
    let opened: serde_json::Value = serde_json::from_str(&opened[1..]).unwrap();
    let url = format!("{}{POLLING}&sid={}", bridge.url, opened["sid"].as_str().unwrap());
    // The first returns the first ping, so that the second and third are held.
    assert_eq!(http.get(&url).send().await.unwrap().text().await.unwrap(), "2");
    let (one, other) = tokio::join!(http.get(&url).send(), http.get(&url).send());
    let mut statuses = [one.unwrap().status().as_u16(), other.unwrap().status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
}

/// Texts that are sent before and after the connection to the namespace.
const HOSTILE_TEXTS: &[&str] = &[
    "",
    "4",
    "0",
    "1",
    "2",
    "2probe",
    "3",
    "3probe",
    "5",
    "6",
    "7",
    "9",
    "b",
    "bAAAA",
    "b!!!!",
    "é",
    "4é",
    "garbage",
    "40",
    "4040",
    "40{",
    "40{}",
    "40/",
    "40/,",
    "40/nowhere",
    "40/nowhere,{\"token\":1}",
    "40/é€,",
    "41",
    "41/nowhere,",
    "42",
    "42[",
    "42[]",
    "42{}",
    "42[1]",
    "42[null]",
    "42[\"update_leaderboard\",[]]",
    "42/nowhere,[\"a\"]",
    "42999999999999999999999999[\"a\"]",
    "429223372036854775807[\"a\"]",
    "42-1[\"a\"]",
    "43",
    "431[]",
    "4399999999999999999999[]",
    "44",
    "44{\"message\":\"no\"}",
    "45",
    "451-",
    "451-[\"a\",{\"_placeholder\":true,\"num\":0}]",
    "4518446744073709551616-[\"a\"]",
    "459-[\"a\"]",
    "45-[\"a\"]",
    "450-[\"a\"]",
    "46",
    "461-1[{\"_placeholder\":true,\"num\":7}]",
    "47",
    "4\u{1e}4",
    "42[\"\\ud800\"]",
];

#[tokio::test]
async fn the_server_survives_any_text() {
    let bridge = Bridge::start();
    let deep = format!("42[\"a\",{}", "[".repeat(50_000));
    let long = format!("42[\"{}\"]", "a".repeat(60_000));
    for text in HOSTILE_TEXTS.iter().copied().chain([deep.as_str(), long.as_str()]) {
        for is_connected in [false, true] {
            let mut client = SocketClient::open(&bridge.url).await;
            if is_connected {
                client.websocket.text("40").await;
            }
            client.websocket.text(text).await;
            // Announced and unannounced attachments.
            client.websocket.send(BINARY, b"\x00\x01").await;
            client.websocket.text(text).await;
        }
    }
    assert_works(&bridge, "hostile texts").await;
}

#[tokio::test]
async fn a_wrong_namespace_is_rejected_and_the_right_one_still_works() {
    let bridge = Bridge::start();
    let mut client = SocketClient::open(&bridge.url).await;
    client.websocket.text("40/nowhere,").await;
    assert_eq!(client.packet().await.unwrap(), "44/nowhere,{\"message\":\"Invalid namespace\"}");
    client.websocket.text("40").await;
    assert!(client.packet().await.unwrap().starts_with("40{"));
    assert_eq!(client.event().await.unwrap().0, "current_leaderboard");
}

#[tokio::test]
async fn a_fragmented_packet_is_read_with_a_ping_in_between() {
    let bridge = Bridge::start();
    let mut client = SocketClient::open(&bridge.url).await;
    let stream = &mut client.websocket.0;
    for byte in [frame(false, TEXT, b"4"), frame(true, PING, b"?"), frame(true, CONTINUATION, b"0")].concat() {
        // Byte by byte.
        stream.write_all(&[byte]).await.unwrap();
    }
    // The first ping of the session may arrive before the pong.
    let mut answer = client.websocket.frame().await.unwrap();
    if answer == (TEXT, b"2".to_vec()) {
        answer = client.websocket.frame().await.unwrap();
    }
    assert_eq!(answer, (PONG, b"?".to_vec()));
    assert!(client.packet().await.unwrap().starts_with("40{"));
}

#[tokio::test]
async fn malformed_frames_end_only_their_connection() {
    let bridge = Bridge::start();
    let too_large = Settings::default().max_payload + 1;
    let mut unmasked = frame(true, TEXT, b"40");
    unmasked[1] &= 0x7f;
    let fragments = [vec![frame(false, TEXT, &[b'4'; 30_000])], vec![frame(false, CONTINUATION, &[b'4'; 30_000]); 2]];
    let broken: [(&str, Vec<u8>); 12] = [
        ("garbage", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("an unmasked frame", unmasked),
        ("a reserved bit", vec![0xc1, 0x80, 0, 0, 0, 0]),
        ("a reserved opcode", frame(true, 3, b"")),
        ("a fragmented ping", frame(false, PING, b"")),
        ("a ping that is too long", frame(true, PING, &[0; 126])),
        ("a continuation of nothing", frame(true, CONTINUATION, b"0")),
        ("a text within a text", [frame(false, TEXT, b"4"), frame(true, TEXT, b"0")].concat()),
        ("text that is not UTF-8", frame(true, TEXT, b"4\xff")),
        ("a length of 2^63", [&[0x81, 0xff][..], &[0xff; 8], &[0; 4]].concat()),
        ("a frame that is too large", frame(true, TEXT, &vec![b'4'; too_large])),
        ("fragments that become too large", fragments.concat().concat()),
    ];
    for (what, bytes) in broken {
        let mut client = SocketClient::connect(&bridge.url).await;
        let _ = client.websocket.0.write_all(&bytes).await;
        client.websocket.until_closed().await;
        assert_works(&bridge, what).await;
    }
}

#[tokio::test]
async fn a_close_frame_is_valid_at_any_time() {
    let bridge = Bridge::start();
    for payload in [&b""[..], b"\x03\xe8", b"\x03\xe8bye", b"\x00"] {
        let mut client = SocketClient::connect(&bridge.url).await;
        client.websocket.send(CLOSE, payload).await;
        client.websocket.until_closed().await;
    }
    crate::harness::until("all sockets are removed", || bridge.sockets.connected() == 0).await;
    assert_works(&bridge, "goodbyes").await;
}

#[tokio::test]
async fn the_size_of_attachments_is_limited() {
    let bridge = Bridge::start();
    for announcement in ["458-[\"a\"]", "459999-[\"a\"]"] {
        let mut client = SocketClient::connect(&bridge.url).await;
        client.websocket.text(announcement).await;
        for _ in 0..4 {
            client.websocket.send(BINARY, &[0; 40_000]).await;
        }
        client.websocket.until_closed().await;
    }
    assert_works(&bridge, "attachments").await;
}
