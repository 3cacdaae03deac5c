//! `GET /leaderboard-feed`: the board as server-sent events.
//!
//! An event stream as in the HTML standard: `retry:` first, then `id:` and `data:` for the current board and for each
//! update, and comments as heartbeats, by which both ends detect a lost connection. A slow client skips intermediate
//! updates but always receives the latest. A feed ends when the user token of its client expires.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::future::{pending, ready};
use futures_util::stream::{once, unfold};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::board::Board;
use super::openapi::{BoardEvent, TAG};
use super::subscribers::{FeedGuard, FeedHandle};
use crate::http::auth::Admission;
use crate::http::draining::{Draining, Held};
use crate::http::limits::ConcurrencyGuard;
use crate::http::openapi::responses::{TooManyRequests, Unauthorized, Unavailable};
use crate::http::{Problem, limits};

/// Between an event and the next comment.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");
/// The client reconnects two seconds after a connection loss.
const RETRY_FIELD: Bytes = Bytes::from_static(b"retry: 2000\n\n");

/// An open feed.
struct Feed {
    boards: Boards,
    /// When the token of the client expires.
    expires: Option<Instant>,
    /// When the feed is to end in the drain of the server.
    turn: Pin<Box<dyn Future<Output = ()>>>,
    _held: Held,
    _guard: FeedGuard,
    /// The share of the limit of the client's address.
    _share: Option<ConcurrencyGuard>,
}

/// The boards of a feed.
struct Boards {
    first_board: Option<oneshot::Receiver<Board>>,
    updates: watch::Receiver<Option<Board>>,
    /// The sequence of the last sent board.
    sent_seq: u64,
}

/// Stream the board
///
/// Server-sent events with the top ten, initially and after every change: `data: [{"username","score"}, …]`. Socket.IO
/// v4 clients receive the same on `/socket.io/`, as `current_leaderboard` and `update_leaderboard`.
#[utoipa::path(
    get,
    path = "/leaderboard-feed",
    operation_id = "streamLeaderboard",
    tag = TAG,
    security((), ("token" = [])),
    responses(
        (
            status = 200,
            description = "An endless stream; the schema is that of one event.",
            body = BoardEvent,
            content_type = "text/event-stream"
        ),
        (status = 401, response = Unauthorized),
        (status = 429, response = TooManyRequests),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn get(
    feeds: web::Data<FeedHandle>,
    draining: web::Data<Draining>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let share = limits::feed(&request)?;
    let expires = request.extensions().get::<Admission>().and_then(|admission| admission.expires);
    let (first_board, updates) = feeds.subscribe();
    let held = draining.hold();
    let feed = Feed {
        boards: Boards { first_board: Some(first_board), updates, sent_seq: 0 },
        expires,
        turn: Box::pin(held.turn()),
        _held: held,
        _guard: feeds.open(),
        _share: share,
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache, no-transform"))
        // Disables buffering in nginx.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events(feed)))
}

fn events(feed: Feed) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let boards = unfold(feed, |mut feed| async move { Some((feed.next().await?, feed)) });
    once(ready(RETRY_FIELD)).chain(boards).map(Ok)
}

impl Feed {
    /// The next board or heartbeat; `None` when the feed is to end.
    async fn next(&mut self) -> Option<Bytes> {
        let expires = self.expires;
        // Checked first, since a board may always be ready.
        if expires.is_some_and(|expires| expires <= Instant::now()) {
            return None;
        }
        tokio::select! {
            biased;
            next = timeout(HEARTBEAT_INTERVAL, self.boards.next()) => next.unwrap_or(Some(HEARTBEAT)),
            () = &mut self.turn => None,
            () = at(expires) => None,
        }
    }
}

/// Waits until this time, or forever.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

impl Boards {
    /// The first board, then each update that is newer than the last sent board. Cancel safe.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first_board) = &mut self.first_board {
            // An update that is not newer than the first board is skipped below.
            let board = first_board.await.ok()?;
            self.first_board = None;
            return Some(self.send(&board));
        }
        loop {
            self.updates.changed().await.ok()?;
            let board = self.updates.borrow_and_update().clone();
            if let Some(board) = board.filter(|board| board.read_seq > self.sent_seq) {
                return Some(self.send(&board));
            }
        }
    }

    fn send(&mut self, board: &Board) -> Bytes {
        self.sent_seq = board.read_seq;
        board.event.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use super::*;
    use crate::http::draining;

    #[tokio::test(start_paused = true)]
    async fn an_idle_feed_gets_a_heartbeat_after_each_interval() {
        let (sender, first_board) = oneshot::channel();
        let (update, updates) = watch::channel(None);
        let draining = Draining::new(draining::Settings::default());
        let held = draining.hold();
        let feed = Feed {
            boards: Boards { first_board: Some(first_board), updates, sent_seq: 0 },
            expires: None,
            turn: Box::pin(held.turn()),
            _held: held,
            _guard: FeedGuard::new(&Arc::default()),
            _share: None,
        };
        let mut events = pin!(events(feed));
        let mut next = async || {
            // The paused clock advances to the next timer when all tasks wait.
            let start = Instant::now();
            let event = events.next().await.map(|event| event.unwrap());
            (event, start.elapsed().as_secs())
        };
        let board = |read_seq| Board::new(read_seq, Vec::new());
        let interval = HEARTBEAT_INTERVAL.as_secs();

        assert_eq!(next().await, (Some(RETRY_FIELD), 0));
        for _ in 0..2 {
            assert_eq!(next().await, (Some(HEARTBEAT), interval));
        }
        assert!(sender.send(board(1)).is_ok());
        assert_eq!(next().await, (Some(board(1).event), 0));
        assert_eq!(next().await, (Some(HEARTBEAT), interval));
        update.send_replace(Some(board(2)));
        assert_eq!(next().await, (Some(board(2).event), 0));
        assert_eq!(next().await, (Some(HEARTBEAT), interval));
        draining.close_gradually().await;
        assert_eq!(next().await, (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_ends_when_its_token_expires_even_if_there_is_always_an_update() {
        let (sender, first_board) = oneshot::channel();
        let (update, updates) = watch::channel(None);
        let board = |read_seq| Board::new(read_seq, Vec::new());
        assert!(sender.send(board(1)).is_ok());
        let lifetime = Duration::from_secs(40);
        let held = Draining::new(draining::Settings::default()).hold();
        let feed = Feed {
            boards: Boards { first_board: Some(first_board), updates, sent_seq: 0 },
            expires: Some(Instant::now() + lifetime),
            turn: Box::pin(held.turn()),
            _held: held,
            _guard: FeedGuard::new(&Arc::default()),
            _share: None,
        };
        let (start, mut events) = (Instant::now(), pin!(events(feed)));
        let mut boards = 0;
        while let Some(event) = events.next().await {
            if event.unwrap() != RETRY_FIELD {
                boards += 1;
                tokio::time::advance(Duration::from_secs(1)).await;
                update.send_replace(Some(board(boards + 1)));
            }
        }
        assert_eq!((start.elapsed(), boards), (lifetime, lifetime.as_secs()));
    }
}
