//! `GET /leaderboard-feed`: the board as server-sent events.
//!
//! An event stream as in the HTML standard: `retry:` first, then `id:` and `data:` for the current board and for each
//! update, and comments as heartbeats, by which both ends detect a lost connection. A slow client skips intermediate
//! updates but always receives the latest.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{once, unfold};
use futures_util::{StreamExt, future::ready};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::board::Board;
use super::openapi::{BoardEvent, TAG};
use super::subscribers::{FeedGuard, FeedHandle};
use crate::http::draining::{Draining, Held};
use crate::http::limits::ConcurrencyGuard;
use crate::http::openapi::responses::TooManyRequests;
use crate::http::{Problem, limits};

/// Between an event and the next comment.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");
/// The client reconnects two seconds after a connection loss.
const RETRY_FIELD: Bytes = Bytes::from_static(b"retry: 2000\n\n");

/// An open feed.
struct Feed {
    boards: Boards,
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
    responses(
        (
            status = 200,
            description = "An endless stream; the schema is that of one event.",
            body = BoardEvent,
            content_type = "text/event-stream"
        ),
        (status = 429, response = TooManyRequests)
    )
)]
pub(super) async fn get(
    feeds: web::Data<FeedHandle>,
    draining: web::Data<Draining>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let share = limits::feed(&request)?;
    let (first_board, updates) = feeds.subscribe();
    let held = draining.hold();
    let feed = Feed {
        boards: Boards { first_board: Some(first_board), updates, sent_seq: 0 },
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
        tokio::select! {
            biased;
            next = timeout(HEARTBEAT_INTERVAL, self.boards.next()) => next.unwrap_or(Some(HEARTBEAT)),
            () = &mut self.turn => None,
        }
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

    use tokio::time::Instant;

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
}
