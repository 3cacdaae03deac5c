//! The embedded broker replies like Redis: scripts of commands, with replies that were recorded from Redis 7.0.
//!
//! The recordings are snapshots, so that the broker is also checked on machines without Redis. If Redis is installed,
//! it is checked against the same snapshots. Exceptions: ids and versions are masked; the broker has one database,
//! supports neither quotes in inline requests nor SUBSCRIBE inside MULTI, and rejects the commands and options that it
//! does not need.
//!
//! A line of a script in `conformance/` is a command for the first connection, with percent-encoded arguments. The
//! prefix `other` selects the second connection; a number is the number of replies to read. `read` reads a message
//! without sending a command.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::redis::{Kind, TestRedis};
use crate::harness::wire::Wire;
use crate::harness::within;

const STRINGS_AND_KEYS: &str = include_str!("conformance/strings_and_keys.txt");
const SORTED_SETS: &str = include_str!("conformance/sorted_sets.txt");

/// Redis 7.2 and later use the shortest representation instead.
const FRACTIONS: &str = include_str!("conformance/fractions.txt");

const TRANSACTIONS: &str = include_str!("conformance/transactions.txt");
const WATCH: &str = include_str!("conformance/watch.txt");
const CHANNELS: &str = include_str!("conformance/channels.txt");

/// RESP2 allows only a few commands on a connection with subscriptions; RESP3 has no such restriction.
const LISTENING: &str = include_str!("conformance/listening.txt");

const OWN_MESSAGES: &str = include_str!("conformance/own_messages.txt");
const HELLO: &str = include_str!("conformance/hello.txt");
const PASSWORD: &str = include_str!("conformance/password.txt");
const PASSWORD_BY_AUTH: &str = include_str!("conformance/password_by_auth.txt");

/// Inputs after which the connection is closed, each on a connection of its own.
const INPUTS: [&[u8]; 12] = [
    b"*x\r\n",
    b"*99999999999\r\n",
    b"*1\r\n:1\r\n",
    b"*1\r\n*1\r\n$4\r\nPING\r\n",
    b"*1\r\n\r\n",
    b"*1\r\n$x\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$99999999999\r\n",
    b"*2\r\n$4\r\nPING\r\n+OK\r\n",
    b"PING\r\nQUIT\r\nPING\r\n",
    b"\r\n*0\r\n*-1\r\n\n  PING   hello  \r\nQUIT\r\n",
    b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n",
];

#[tokio::test]
async fn the_embedded_broker_replies_like_redis() {
    conform(Kind::Embedded).await;
}

#[tokio::test]
async fn redis_replies_as_recorded() {
    let there = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
    if there || Kind::asked_for() == Kind::Real {
        conform(Kind::Real).await;
    } else {
        eprintln!("redis-server is not installed: only the embedded broker is checked");
    }
}

async fn conform(kind: Kind) {
    let redis = TestRedis::of_kind(kind, "").await;
    for (version, resp) in [("2", "resp2"), ("3", "resp3")] {
        for (name, script) in [
            ("strings_and_keys", STRINGS_AND_KEYS),
            ("sorted_sets", SORTED_SETS),
            ("transactions", TRANSACTIONS),
            ("channels", CHANNELS),
            ("listening", LISTENING),
            ("watch", WATCH),
        ] {
            insta::assert_snapshot!(format!("{name}_{resp}"), transcript(&redis, Some(version), script).await);
        }
        if writes_seventeen_digits(&redis).await {
            insta::assert_snapshot!(format!("fractions_{resp}"), transcript(&redis, Some(version), FRACTIONS).await);
        }
    }
    insta::assert_snapshot!("own_messages", transcript(&redis, Some("3"), OWN_MESSAGES).await);
    insta::assert_snapshot!("hello", transcript(&redis, None, HELLO).await);
    insta::assert_snapshot!("malformed_input", malformed_input(redis.address()).await);

    let guarded = TestRedis::of_kind(kind, "secret").await;
    insta::assert_snapshot!("password", transcript(&guarded, None, PASSWORD).await);
    insta::assert_snapshot!("password_by_auth", transcript(&guarded, None, PASSWORD_BY_AUTH).await);
}

/// Whether this is Redis 7.0 or the broker.
async fn writes_seventeen_digits(redis: &TestRedis) -> bool {
    let info = Wire::connect(redis.address()).await.ask("INFO server").await;
    let seventeen = info.contains("redis_version:7.0.");
    if !seventeen {
        eprintln!("this Redis is not 7.0 and formats fractions differently: they are not compared");
    }
    seventeen
}

#[tokio::test]
async fn a_restart_has_a_new_run_id_and_no_data() {
    let mut redis = TestRedis::start().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::connect(redis.address()).await;
        assert_eq!(wire.ask("GET k").await, "$-1\r\n");
        assert_eq!(wire.ask("SET k v").await, "+OK\r\n");
        let info = wire.ask("INFO server").await;
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).expect("a run id").to_owned();
        assert_eq!(run_id.len(), 40);
        runs.push(run_id);
        drop(wire);
        redis.restart_empty().await;
    }
    assert_ne!(runs[0], runs[1]);
}

#[tokio::test]
async fn only_a_subscriber_that_does_not_read_is_disconnected() {
    let redis = TestRedis::of_kind(Kind::Embedded, "").await;
    let (mut slow, mut publisher) = (Wire::connect(redis.address()).await, Wire::connect(redis.address()).await);
    slow.ask("SUBSCRIBE ch").await;
    let publish = format!("PUBLISH ch {}", "x".repeat(1 << 20));
    // More than the outbox of a client and the socket buffers hold.
    let mut receivers = ":1\r\n".to_owned();
    for _ in 0..200 {
        receivers = publisher.ask(&publish).await;
    }
    assert_eq!(receivers, ":0\r\n");
    assert_eq!(publisher.ask("PING").await, "+PONG\r\n");
}

#[tokio::test]
async fn an_unauthenticated_client_cannot_announce_a_large_request() {
    let redis = TestRedis::with_password("secret").await;
    for (request, answer) in [
        ("*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"),
        ("*2\r\n$4\r\nAUTH\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"),
    ] {
        assert_eq!(until_closed(redis.address(), request.as_bytes()).await, answer);
    }
}

/// Runs a script on two new connections. Returns the commands with their replies.
async fn transcript(redis: &TestRedis, version: Option<&str>, script: &str) -> String {
    let (mut first, mut other) = (Wire::connect(redis.address()).await, Wire::connect(redis.address()).await);
    if let Some(version) = version {
        first.ask(&format!("HELLO {version}")).await;
    }
    let mut transcript = String::new();
    for line in script.trim().lines() {
        let replies = if let Some(command) = line.strip_prefix("other ") {
            other.ask(command).await
        } else if line == "read" {
            first.reply().await
        } else if let Some((count, command)) = line.split_once(' ').and_then(|(n, c)| Some((n.parse().ok()?, c))) {
            first.ask_for(command, count).await
        } else {
            first.ask(line).await
        };
        let _ = writeln!(transcript, "> {line}\n{}", masked(line, &replies).escape_debug());
    }
    transcript
}

async fn malformed_input(address: SocketAddr) -> String {
    let mut transcript = String::new();
    for input in INPUTS {
        let answer = until_closed(address, input).await;
        let _ = writeln!(transcript, "> {}\n{}", input.escape_ascii(), answer.escape_debug());
    }
    transcript
}

async fn until_closed(address: SocketAddr, input: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(input).await.unwrap();
    let mut answer = Vec::new();
    within("closing the connection", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// Masks values that differ between runs.
fn masked(line: &str, replies: &str) -> String {
    if line.starts_with("CLIENT ID") && !replies.contains('-') {
        return "(number)".to_owned();
    }
    let mut parts: Vec<&str> = replies.split("\r\n").collect();
    for at in 0..parts.len().saturating_sub(2) {
        match parts[at] {
            "version" => (parts[at + 1], parts[at + 2]) = ("(size)", "(version)"),
            "id" => parts[at + 1] = "(number)",
            _ => {}
        }
    }
    parts.join("\r\n")
}
