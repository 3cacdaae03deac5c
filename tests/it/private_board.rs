//! A board that is not public: every way to read it, with every kind of token.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::app::{App, Process};
use crate::harness::binary::{Ran, Workdir};
use crate::harness::feed::Feed;
use crate::harness::websocket::{self, SocketClient, Websocket};
use crate::harness::within;
use crate::user_tokens::{ADMIN, SERVICE, SETTINGS, changed, claims, hs256, now_s};

const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
/// The leeway of expiry, in seconds (docs/api.md, "User tokens").
const LEEWAY_S: u64 = 30;

/// A game server whose board has one player and is not public.
async fn closed_board() -> (App, Process) {
    let app = App::new(&[&SETTINGS[..], &["auth.public_board=false"]].concat()).await;
    let game = app.ready_game_server().await;
    score(&app, game.url(), "ada", 1).await;
    app.redis_has_every_score().await;
    (app, game)
}

async fn score(app: &App, url: &str, name: &str, score: u64) {
    let request = app.http.post(format!("{url}/score")).bearer_auth(SERVICE);
    let response = request.json(&json!({ "username": name, "score": score })).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

/// Tokens, and whether they open the board.
fn tokens() -> Vec<(&'static str, Option<String>, bool)> {
    vec![
        ("no token", None, false),
        ("a wrong token", Some("wrong".to_owned()), false),
        ("an expired user token", Some(changed("exp", json!(now_s() - LEEWAY_S - 60))), false),
        ("a user token of another issuer", Some(changed("iss", json!("evil"))), false),
        ("a user token", Some(hs256(&claims("status"))), true),
        ("a user token without scopes", Some(hs256(&claims(""))), true),
        ("the service token", Some(SERVICE.to_owned()), true),
        ("the admin token", Some(ADMIN.to_owned()), true),
    ]
}

/// The CONNECT packet to a namespace with this token.
fn connect_packet(namespace: &str, token: Option<&str>) -> String {
    let payload = token.map(|token| json!({ "token": token }).to_string());
    format!("40{namespace}{}", payload.unwrap_or_default())
}

/// Whether the answer to a CONNECT packet accepts it; a refusal has a message.
fn is_accepted(packet: &str) -> bool {
    if packet.starts_with("40{\"sid\":") {
        return true;
    }
    let error: Value = serde_json::from_str(packet.strip_prefix("44").unwrap_or_else(|| panic!("{packet}"))).unwrap();
    let message = error["message"].as_str().unwrap();
    assert!(error.as_object().unwrap().len() == 1 && message.contains("token"), "{packet}");
    false
}

/// Opens a websocket session, with this token in the handshake.
async fn open_with_header(url: &str, token: Option<&str>) -> SocketClient {
    let header = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = websocket::request(WEBSOCKET, |head| head.replacen("Host:", &format!("{header}Host:"), 1));
    let websocket = Websocket::request(url, &request).await.unwrap_or_else(|answer| panic!("{answer:?}"));
    let mut client = SocketClient { websocket };
    assert!(client.packet().await.unwrap().starts_with("0{\"sid\":"));
    client
}

/// Opens a polling session, sends a CONNECT packet, and returns the packets of the next poll.
async fn poll(app: &App, url: &str, header: Option<&str>, packet: &str) -> Vec<String> {
    let send = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.text().await.unwrap()
    };
    let mut handshake = app.http.get(format!("{url}{POLLING}"));
    if let Some(token) = header {
        handshake = handshake.bearer_auth(token);
    }
    let open: Value = serde_json::from_str(send(handshake).await.strip_prefix('0').unwrap()).unwrap();
    let session = format!("{url}{POLLING}&sid={}", open["sid"].as_str().unwrap());
    send(app.http.post(&session).body(packet.to_owned())).await;
    // Without pings.
    let packets = send(app.http.get(&session)).await;
    packets.split('\u{1e}').filter(|packet| *packet != "2").map(str::to_owned).collect()
}

#[tokio::test]
async fn a_closed_board_is_read_over_http_with_any_valid_token_only() {
    let (app, game) = closed_board().await;
    for (kind, token, opens) in tokens() {
        for path in ["/leaderboard", "/leaderboard/ada", "/leaderboard-feed"] {
            let authorized = |method| {
                let request = app.http.request(method, format!("{}{path}", game.url()));
                token.iter().fold(request, |request, token| request.bearer_auth(token))
            };
            let response = authorized(Method::GET).send().await.unwrap();
            assert_eq!(response.status(), if opens { 200 } else { 401 }, "{path} with {kind}");
            if opens && path != "/leaderboard-feed" {
                assert_eq!(response.headers()["cache-control"], "private, no-cache", "{path} with {kind}");
            }
            if !opens {
                assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
                assert!(!response.text().await.unwrap().contains("ada"), "{path} with {kind}");
                assert_eq!(authorized(Method::HEAD).send().await.unwrap().status(), 401, "HEAD {path} with {kind}");
            }
        }
    }
    for path in ["/", "/docs", "/openapi.json", "/healthz", "/readyz"] {
        let response = app.http.get(format!("{}{path}", game.url())).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_closed_board_is_read_over_socket_io_with_any_valid_token_only() {
    let (app, game) = closed_board().await;
    let url = game.url();
    for (kind, token, opens) in tokens() {
        let token = token.as_deref();
        let (bare, with_token) = (connect_packet("", None), connect_packet("", token));
        for (way, header, packet) in [("payload", None, &with_token), ("header", token, &bare)] {
            let mut client = open_with_header(url, header).await;
            client.websocket.text(packet).await;
            assert_eq!(is_accepted(&client.packet().await.unwrap()), opens, "websocket, {way}, {kind}");
            let polled = poll(&app, url, header, packet).await;
            assert_eq!(is_accepted(&polled[0]), opens, "polling, {way}, {kind}");
            if opens {
                assert!(client.event().await.unwrap().1[0]["username"] == "ada", "{way}, {kind}");
            } else {
                assert_eq!(polled.len(), 1, "{way}, {kind}: {polled:?}");
            }
        }
    }
    // The payload counts, and what is no text is no token.
    let mut client = open_with_header(url, Some(SERVICE)).await;
    for (packet, accepted) in [(connect_packet("", Some("wrong")), false), ("40{\"token\":7}".to_owned(), true)] {
        client.websocket.text(&packet).await;
        assert_eq!(is_accepted(&client.packet().await.unwrap()), accepted, "{packet}");
    }
}

#[tokio::test]
async fn a_refused_socket_gets_nothing_of_the_board_in_any_namespace() {
    let (app, game) = closed_board().await;
    let url = game.url();
    let mut refused = SocketClient::open(url).await;
    refused.websocket.text("40").await;
    assert!(!is_accepted(&refused.packet().await.unwrap()));
    refused.websocket.text(&connect_packet("/admin,", Some(SERVICE))).await;
    assert_eq!(refused.packet().await.unwrap(), "44/admin,{\"message\":\"Invalid namespace\"}");

    let mut watching = SocketClient::open(url).await;
    watching.websocket.text(&connect_packet("", Some(SERVICE))).await;
    assert!(is_accepted(&watching.packet().await.unwrap()));
    score(&app, url, "bo", 2).await;
    watching.until_update(&json!([{ "username": "bo", "score": 2 }, { "username": "ada", "score": 1 }])).await;
    refused.websocket.text(&connect_packet("", Some(SERVICE))).await;
    assert!(is_accepted(&refused.packet().await.unwrap()), "the first packet since the refusal");
    assert_eq!(refused.event().await.unwrap().1[0]["username"], "bo");
}

#[tokio::test]
async fn sockets_and_feeds_end_when_their_user_token_expires() {
    let (app, game) = closed_board().await;
    // A slow machine may need longer than the first lifetimes to connect.
    for lifetime_s in [2, 6, 18] {
        let token = changed("exp", json!(now_s() + lifetime_s - LEEWAY_S));
        let mut socket = SocketClient::open(game.url()).await;
        socket.websocket.text(&connect_packet("", Some(&token))).await;
        let is_connected = is_accepted(&socket.packet().await.unwrap());
        let http = app.http.clone();
        let feed = http.get(format!("{}/leaderboard-feed", game.url())).bearer_auth(&token).send().await.unwrap();
        if !is_connected || feed.status() == 401 {
            continue;
        }
        within("the feed ends", feed.text()).await.unwrap();
        // Events may come before.
        let mut packet = socket.packet().await.unwrap();
        while packet.starts_with("42") {
            packet = socket.packet().await.unwrap();
        }
        assert_eq!(packet, "41", "DISCONNECT");
        socket.websocket.text(&connect_packet("", Some(&token))).await;
        assert!(!is_accepted(&socket.packet().await.unwrap()), "it has expired");
        return;
    }
    panic!("no token was accepted in time");
}

#[tokio::test]
async fn the_client_sends_its_token() {
    let (app, game) = closed_board().await;
    for (kind, token, opens) in tokens() {
        let mut command = app.dir.command(&["client", "--url", game.url()]);
        if let Some(token) = &token {
            command.args(["--token", token]);
        }
        if opens {
            assert_eq!(Process::start(&mut command).first_line, "{\"event\":\"connected\"}", "{kind}");
            continue;
        }
        let ran = Ran::of(&mut command);
        assert_eq!(ran.code, Some(1), "{kind}");
        let message = format!("m3a3: {} rejected the connection: ", game.url());
        assert!(ran.stderr.starts_with(&message) && ran.stderr.contains("token"), "{kind}: {}", ran.stderr);
    }
    let mut command = app.dir.command(&["client", "--url", game.url()]);
    command.env("M3A3_AUTH__TOKEN", SERVICE);
    assert_eq!(Process::start(&mut command).first_line, "{\"event\":\"connected\"}", "from the environment");
}

#[tokio::test]
async fn pages_of_other_origins_may_send_a_token_to_a_closed_feed() {
    let (app, game) = closed_board().await;
    for path in ["/leaderboard-feed", "/socket.io/"] {
        let preflight = app.http.request(Method::OPTIONS, format!("{}{path}", game.url()));
        let preflight = preflight.header("origin", "https://shop.example");
        let preflight = preflight.header("access-control-request-method", "GET");
        let answer = preflight.header("access-control-request-headers", "authorization").send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        assert_eq!(answer.headers()["access-control-allow-origin"], "*", "{path}");
        assert_eq!(answer.headers()["access-control-allow-headers"], "authorization", "{path}");
    }
    let refused = app.http.get(format!("{}/leaderboard-feed", game.url())).header("origin", "https://shop.example");
    let refused = refused.send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["access-control-allow-origin"]),
        (401, &"*".parse().unwrap())
    );
}

#[tokio::test]
async fn the_board_of_a_server_with_tokens_is_public_by_default() {
    let app = App::new(&SETTINGS).await;
    let game = app.ready_game_server().await;
    score(&app, game.url(), "ada", 1).await;
    let board = json!([{ "username": "ada", "score": 1 }]);
    Feed::open(&app.http, game.url()).await.until(&board).await;
    let mut socket = SocketClient::connect(game.url()).await;
    assert_eq!(socket.event().await.unwrap().1, board);
}

#[test]
fn a_board_that_nobody_could_read_is_a_configuration_error() {
    let ran = Workdir::new().run(&["game-server", "--set", "auth.public_board=false"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("auth.public_board is false, but clients need no token"), "{}", ran.stderr);
}
