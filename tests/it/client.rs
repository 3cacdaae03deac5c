//! `m3a3 client`: JSON lines, the table, and reconnecting.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::harness::app::{App, eventually};
use crate::harness::binary::{Ran, Workdir};
use crate::harness::ports::free_address;
use crate::harness::receiver::{AUTHORITY, UNTRUSTED_CERTIFICATE};
use crate::harness::scripted_socket::{Peer, ScriptedSocket};
use crate::harness::terminal::Terminal;
use crate::harness::{tls_proxy, until, within};

fn board(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "username": name, "score": 100 })).collect()
}

fn client(workdir: &Workdir, url: &str) -> Command {
    workdir.command(&["client", "--url", url])
}

/// A client that prints JSON lines; killed at the end of the test.
struct Lines {
    child: std::process::Child,
    lines: UnboundedReceiver<Value>,
}

impl Lines {
    fn of(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = unbounded_channel();
        // Ends with the process, which closes its stdout.
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let _ = sender.send(serde_json::from_str(&line.unwrap()).unwrap());
            }
        });
        Self { child, lines }
    }

    async fn next(&mut self) -> Value {
        within("the client prints a line", self.lines.recv()).await.expect("a line")
    }

    async fn begins(&mut self, leaderboard: &Value) {
        assert_eq!(self.next().await, json!({ "event": "connected" }));
        assert_eq!(self.next().await, json!({ "event": "current_leaderboard", "leaderboard": leaderboard }));
    }

    /// Skips boards until the expected one.
    async fn until_board(&mut self, leaderboard: &Value) {
        loop {
            let line = self.next().await;
            assert!(line["leaderboard"].is_array(), "{line}");
            if line["leaderboard"] == *leaderboard {
                return;
            }
        }
    }

    async fn is_lost(&mut self) {
        let line = self.next().await;
        assert_eq!(line["event"], "disconnected", "{line}");
        assert!(!line["reason"].as_str().unwrap().is_empty());
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_score_is_printed_and_the_client_reconnects_to_a_restarted_server() {
    let mut app = App::new(&[]).await;
    // A connection to the server before the restart must not be used for its successor on the same port.
    app.http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let port = free_address().port().to_string();
    let game_server = ["game-server", "--port", &port];
    let mut server = app.start(&game_server);
    let url = server.url().to_owned();
    app.until(&url, "ready").await;
    app.score(&url, "ada", 100).await;
    let mut lines = Lines::of(&mut client(&app.dir, &url));
    assert_eq!(lines.next().await, json!({ "event": "connected" }));
    lines.until_board(&json!([{ "username": "ada", "score": 100 }])).await;
    for end in ["TERM", "KILL"] {
        app.score(&url, "bo", 200.5).await;
        let board = json!([{ "username": "bo", "score": 200.5 }, { "username": "ada", "score": 100 }]);
        lines.until_board(&board).await;
        server.signal(end);
        server.wait();
        // A last update may arrive before.
        let mut line = lines.next().await;
        while line["leaderboard"].is_array() {
            line = lines.next().await;
        }
        assert_eq!(line["event"], "disconnected");
        server = app.start(&game_server);
        assert_eq!(lines.next().await, json!({ "event": "connected" }));
        lines.until_board(&board).await;
        app.score(&url, "bo", 1).await;
        lines.until_board(&json!([{ "username": "ada", "score": 100 }, { "username": "bo", "score": 1 }])).await;
    }
}

#[tokio::test]
async fn over_tls_the_client_follows_only_a_server_with_a_trusted_certificate() {
    let app = App::new(&[]).await;
    let server = app.ready_game_server().await;
    app.score(server.url(), "ada", 100).await;
    let url = tls_proxy::in_front_of(server.url()).await;

    // The certificate is for 127.0.0.1.
    let other_name = url.replace("127.0.0.1", "localhost");
    let untrusted = app.dir.write("authority.pem", UNTRUSTED_CERTIFICATE);
    let no_authority = app.dir.write("empty.pem", "");
    for (url, authority, expected) in [
        (&url, untrusted, "certificate"),
        (&url, no_authority, "No CA certificates were loaded"),
        (&other_name, AUTHORITY.into(), "not valid for name"),
    ] {
        let mut command = client(&app.dir, url);
        command.env("SSL_CERT_FILE", authority);
        let refused = tokio::task::spawn_blocking(move || Ran::of(&mut command)).await.unwrap();
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }

    let mut lines = Lines::of(client(&app.dir, &url).env("SSL_CERT_FILE", AUTHORITY));
    lines.begins(&json!([{ "username": "ada", "score": 100 }])).await;
    app.score(server.url(), "bo", 200.5).await;
    lines.until_board(&json!([{ "username": "bo", "score": 200.5 }, { "username": "ada", "score": 100 }])).await;
}

#[tokio::test]
async fn the_client_reconnects_after_any_end_of_the_connection_and_gets_the_board() {
    let workdir = Workdir::new();
    let server = ScriptedSocket::start().await;
    let mut lines = Lines::of(&mut client(&workdir, &server.url()));
    let ends: [(&str, &[&str]); 8] = [
        ("the end of the stream", &[]),
        ("a reset", &[]),
        ("the end of the Engine.IO connection", &["1"]),
        ("the end of the Socket.IO connection, and silence", &["41"]),
        ("a packet of a type that is none", &["9"]),
        ("a packet that is no JSON", &["42[\"update_leaderboard\","]),
        ("attachments that never come", &["452-[\"update_leaderboard\",{\"_placeholder\":true,\"num\":0}]"]),
        ("a packet that only a client may send", &["3"]),
    ];
    for (at, (end, packets)) in ends.into_iter().enumerate() {
        let name = format!("player {at}");
        let mut peer = server.accept(&board(&[&name])).await;
        lines.begins(&board(&[&name])).await;
        for packet in packets {
            peer.send(packet).await;
        }
        match end {
            "a reset" => peer.reset(),
            "the end of the Socket.IO connection, and silence" => {
                peer.closed().await;
            }
            _ => drop(peer),
        }
        lines.is_lost().await;
    }
}

#[tokio::test]
async fn a_missing_heartbeat_ends_the_connection() {
    let workdir = Workdir::new();
    let server = ScriptedSocket::start().await;
    let mut lines = Lines::of(&mut client(&workdir, &server.url()));
    let mut silent = server.accept_until_answer(100).await;
    silent.welcome(&board(&["a"])).await;
    lines.begins(&board(&["a"])).await;
    lines.is_lost().await;
    let _peer = server.accept(&board(&["b"])).await;
    lines.begins(&board(&["b"])).await;
    silent.closed().await;
}

#[tokio::test]
async fn the_client_reconnects_after_an_outage_even_if_another_server_used_the_port() {
    let workdir = Workdir::new();
    let server = ScriptedSocket::start().await;
    let address = server.address;
    let mut lines = Lines::of(&mut client(&workdir, &server.url()));
    let peer = server.accept(&board(&["a"])).await;
    lines.begins(&board(&["a"])).await;
    // The listener must be closed before the line is printed, so that no attempt succeeds after it.
    drop(server);
    drop(peer);
    lines.is_lost().await;

    let server = ScriptedSocket::on(address).await;
    let unavailable = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    server.accept_silently().await.answer(unavailable).await;
    drop(server.accept_silently().await);
    let mut refusing = server.accept_until_answer(600_000).await;
    refusing.send(r#"44{"message":"later"}"#).await;
    refusing.closed().await;
    let _peer = server.accept(&board(&["b"])).await;
    lines.begins(&board(&["b"])).await;
}

#[tokio::test]
async fn updates_are_printed_with_unchanged_scores_and_invalid_boards_are_ignored() {
    let workdir = Workdir::new();
    let server = ScriptedSocket::start().await;
    let mut lines = Lines::of(client(&workdir, &server.url()).stderr(Stdio::null()));
    let mut peer = server.accept(&json!([])).await;
    lines.begins(&json!([])).await;
    for strange in [json!(null), json!({}), json!([1]), json!([{ "username": "a" }]), json!("text")] {
        peer.emit("update_leaderboard", &strange).await;
    }
    peer.send(r#"42["update_leaderboard"]"#).await;
    peer.send(r#"42["something_else",1]"#).await;
    let scores = json!([
        { "username": "a", "score": 100 }, { "username": "b\u{9b}", "score": 0.1 }, { "username": "c", "score": -7e300 },
    ]);
    peer.emit("update_leaderboard", &scores).await;
    assert_eq!(lines.next().await, json!({ "event": "update_leaderboard", "leaderboard": scores }));
}

#[tokio::test]
async fn a_closed_pipe_ends_the_client_without_an_error() {
    let workdir = Workdir::new();
    let server = ScriptedSocket::start().await;
    let mut command = client(&workdir, &server.url());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _peer = server.accept(&board(&["a"])).await;
    let stdout = child.stdout.take().unwrap();
    let (sender, mut first_line) = unbounded_channel();
    // Reads one line, then closes the pipe.
    std::thread::spawn(move || sender.send(BufReader::new(stdout).lines().next()));
    let line = within("the client prints a line", first_line.recv()).await.unwrap().unwrap().unwrap();
    assert_eq!(line, "{\"event\":\"connected\"}");
    let status = eventually("the client ends", || {
        let status = child.try_wait().unwrap();
        async move { status }
    })
    .await;
    let mut stderr = String::new();
    child.stderr.unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_signal_ends_the_client_with_exit_code_0() {
    let workdir = Workdir::new();
    let server = ScriptedSocket::start().await;
    for signal in ["TERM", "INT", "HUP"] {
        let client = client(&workdir, &server.url());
        // If the tests were started with SIGHUP ignored (nohup), so is the client.
        let mut command = Command::new("/usr/bin/env");
        command.arg("--default-signal=HUP").arg(client.get_program()).args(client.get_args());
        let mut lines = Lines::of(command.env_clear().current_dir(workdir.path()).stderr(Stdio::null()));
        let _peer = server.accept(&board(&["a"])).await;
        lines.begins(&board(&["a"])).await;
        let pid = lines.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        assert_eq!(within("the lines end", lines.lines.recv()).await, None);
        let status = eventually("the client ends", || {
            let status = lines.child.try_wait().unwrap();
            async move { status }
        })
        .await;
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

#[test]
fn an_invalid_url_is_a_usage_error_with_a_suggestion() {
    let workdir = Workdir::new();
    for (url, hint) in [
        ("localhost:3011", "did you mean http://localhost:3011?"),
        ("example.org/game", "did you mean http://example.org/game?"),
        ("", "such as http://localhost:3011"),
        ("ftp://localhost", "such as http://localhost:3011"),
        ("http://localhost?x=1", "such as http://localhost:3011"),
    ] {
        let ran = workdir.run(&["client", "--url", url]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{url:?}");
        assert!(ran.stderr.contains(hint), "{url:?}: {}", ran.stderr);
    }
}

#[test]
fn a_table_needs_a_terminal() {
    let ran = Workdir::new().run(&["client", "--format", "table"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert_eq!(ran.stderr, "m3a3: --format table requires a terminal, and stdout is not one; use --format json\n");
}

/// Runs a client whose first connection fails.
async fn fails(url: &str) -> Ran {
    let (workdir, url) = (Workdir::new(), url.to_owned());
    let ran = tokio::task::spawn_blocking(move || Ran::of(&mut client(&workdir, &url)));
    let ran = within("the client exits", ran).await.unwrap();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    ran
}

#[tokio::test]
async fn an_unreachable_server_is_reported_in_one_line() {
    let nobody = free_address();
    let ran = fails(&format!("http://{nobody}")).await;
    let expected = format!(
        "m3a3: no answer from http://{nobody} (is the game server running?): Connection refused (os error 111)\n"
    );
    assert_eq!(ran.stderr, expected);
    let ran = fails("http://nobody.invalid").await;
    assert!(ran.stderr.starts_with("m3a3: no answer from http://nobody.invalid (is the"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_server_without_socket_io_is_reported_in_one_line() {
    let server = ScriptedSocket::start().await;
    let url = server.url();
    for (http, cause) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP error: 404 Not Found"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP error: 200 OK"),
        ("SSH-2.0-OpenSSH_9.9\r\n", "invalid"),
    ] {
        let (ran, ()) = tokio::join!(fails(&url), async { server.accept_silently().await.answer(http).await });
        let begins = format!("m3a3: {url} is not a Socket.IO server: ");
        assert!(ran.stderr.starts_with(&begins) && ran.stderr.contains(cause), "{cause}: {}", ran.stderr);
    }
    let refuse = async {
        let mut peer = server.accept_until_answer(600_000).await;
        peer.send(r#"44{"message":"members only"}"#).await;
        peer.closed().await;
    };
    let (ran, ()) = tokio::join!(fails(&url), refuse);
    assert!(ran.stderr.contains("rejected the connection") && ran.stderr.contains("members only"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_server_that_sends_nothing_times_out() {
    let server = ScriptedSocket::start().await;
    let url = server.url();
    let (ran, peer) = tokio::join!(fails(&url), server.accept_silently());
    assert_eq!(ran.stderr, format!("m3a3: {url} did not answer within 10s\n"));
    peer.closed().await;
}

const ENTERED: &str = "\u{1b}[?1049h";
const LEFT: &str = "\u{1b}[?1049l";
const CURSOR_SHOWN: &str = "\u{1b}[?25h";

/// A client that displays the board of its server on a terminal.
async fn shown(workdir: &Workdir, server: &ScriptedSocket) -> (Terminal, Peer) {
    let terminal = Terminal::start(&mut client(workdir, &server.url()));
    let peer = server.accept(&board(&["Ada", "Grace"])).await;
    terminal.shows(&[ENTERED, "connected", "Ada", "Grace", "100", "quits"]).await;
    assert!(!terminal.is_as_before());
    (terminal, peer)
}

#[tokio::test]
async fn the_table_uses_the_alternate_screen_and_every_exit_restores_the_terminal() {
    let workdir = Workdir::new();
    let server = ScriptedSocket::start().await;
    for end in ["q", "\u{3}", "\u{1b}", "TERM", "INT"] {
        let (mut terminal, peer) = shown(&workdir, &server).await;
        match end {
            "TERM" | "INT" => terminal.signal(end),
            key => terminal.types(key),
        }
        assert_eq!(terminal.wait().await.code(), Some(0), "{end:?}");
        assert!(terminal.is_as_before(), "{end:?}");
        terminal.shows(&[LEFT, CURSOR_SHOWN]).await;
        let text = terminal.shown();
        assert!(text.ends_with(LEFT), "nothing follows the end: {text:?}");
        peer.closed().await;
    }
}

#[tokio::test]
async fn the_table_shows_updates_and_outages_and_follows_the_size_of_the_terminal() {
    let workdir = Workdir::new();
    let server = ScriptedSocket::start().await;
    let (mut terminal, mut peer) = shown(&workdir, &server).await;
    peer.emit("update_leaderboard", &board(&["Grace", "Hedy\u{1b}[2J\u{202e}"])).await;
    terminal.shows(&["▲1", "new", "Hedy\u{fffd}"]).await;
    drop(peer);
    terminal.shows(&["reconnecting,"]).await;
    let _peer = server.accept(&board(&["Dorothy"])).await;
    terminal.shows(&["Dorothy"]).await;
    for (columns, rows) in [(20, 3), (1, 1), (200, 60), (80, 24)] {
        let before = terminal.shown().len();
        terminal.resize(columns, rows);
        until("it is redrawn", || terminal.shown().len() > before).await;
    }
    terminal.types("q");
    assert_eq!(terminal.wait().await.code(), Some(0));
    assert!(!terminal.shown().contains("\u{202e}"));
}

#[tokio::test]
async fn an_error_is_printed_on_the_restored_terminal() {
    let workdir = Workdir::new();
    let nobody = free_address();
    let mut terminal = Terminal::start(&mut client(&workdir, &format!("http://{nobody}")));
    assert_eq!(terminal.wait().await.code(), Some(1));
    assert!(terminal.is_as_before());
    terminal.shows(&[LEFT, "no answer from"]).await;
    let text = terminal.shown();
    assert!(text.rfind(LEFT) < text.find("m3a3: no answer from"), "{text:?}");
}
