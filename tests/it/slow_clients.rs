//! Clients that connect and then send too little: they are disconnected in time, and nobody waits for them.

use std::io;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::app::App;
use crate::harness::pictures::jpeg;

/// Ten thousand connections take a slow machine a while.
const PATIENCE: Duration = Duration::from_secs(180);
/// Half of the limit of open files, if that is lower.
const CONNECTIONS: usize = 10_000;
/// Connections that are opened at the same time; the queue of the listener is longer.
const OPENING: usize = 256;

/// What a slow client sends: nothing, or the beginning of a head or of a body.
const BEGINNINGS: [&str; 4] = [
    "",
    "GET /healthz HTTP/1.1\r\nHost: loc",
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: webso",
    "POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
];
/// The last of them are bodies: those have 30 s, and then need a minimum rate.
const HEADS: usize = 3;

async fn open(address: &str, at: usize) -> io::Result<TcpStream> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(BEGINNINGS[at % BEGINNINGS.len()].as_bytes()).await?;
    Ok(connection)
}

/// Reads until the server has closed the connection, with 408 or without a response.
async fn until_closed(mut connection: TcpStream) {
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = connection.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_slow_connections_do_not_keep_others_from_being_served_and_are_closed_in_time() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let limit = maximum.map_or(CONNECTIONS, |maximum| CONNECTIONS.min(maximum as usize / 2));
    let connections = limit / (2 * BEGINNINGS.len()) * 2 * BEGINNINGS.len();
    assert!(connections >= 1_000, "the limit of open files is too low: {maximum:?}");
    let app = App::new(&[]).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    let _worker = app.worker();
    // Each beginning is sent to both.
    let address = |at: usize| [&serve, &game][at / BEGINNINGS.len() % 2].url().strip_prefix("http://").unwrap();
    let opened = stream::iter(0..connections).map(|at| open(address(at), at));
    let opened = opened.buffered(OPENING).try_collect::<Vec<_>>();
    let slow = timeout(PATIENCE, opened).await.expect("all connections are opened").unwrap();

    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    assert_eq!(app.outcome(serve.url(), &accepted).await["status"], "done");
    app.score(game.url(), "ada", 1).await;
    let (_bodies, heads): (Vec<_>, Vec<_>) =
        slow.into_iter().enumerate().partition(|(at, _)| at % BEGINNINGS.len() >= HEADS);
    let closed = stream::iter(heads)
        .map(|(_, connection)| until_closed(connection))
        .buffer_unordered(connections)
        .collect::<Vec<_>>();
    assert_eq!(
        timeout(PATIENCE, closed).await.expect("all connections are closed").len(),
        connections / BEGINNINGS.len() * HEADS
    );
}
