//! `GET /leaderboard-feed`: the board as server-sent events.
//!
//! Follows the HTML standard's event stream: `retry:` first, then an `id:` and `data:` for the present board and for each
//! update, and a comment now and then, by which both ends notice that the other has gone. A feed that is read too slowly
//! misses boards, never the last one.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{once, unfold};
use futures_util::{StreamExt, future::ready};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::broadcast::{FeedGuard, FeedHandle};

/// How often a feed without next_board gets a comment.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");
/// Tells the client to come back after two seconds when the connection breaks.
const RETRY_FIELD: Bytes = Bytes::from_static(b"retry: 2000\n\n");

/// One feed's place in the stream of boards.
struct Feed {
    first: Option<oneshot::Receiver<Board>>,
    updates: watch::Receiver<Option<Board>>,
    /// The reading that was sent last.
    sent: u64,
    shutdown: CancellationToken,
    _guard: FeedGuard,
}

pub(super) async fn get(feeds: web::Data<FeedHandle>, shutdown: web::Data<CancellationToken>) -> HttpResponse {
    let (first, updates) = feeds.watch();
    let feed =
        Feed { first: Some(first), updates, sent: 0, shutdown: shutdown.get_ref().clone(), _guard: feeds.open() };
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-cache, no-transform"))
        // Tells nginx not to collect the stream.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events(feed))
}

fn events(feed: Feed) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let boards = unfold(feed, |mut feed| async move { Some((feed.next().await?, feed)) });
    once(ready(RETRY_FIELD)).chain(boards).map(Ok)
}

impl Feed {
    /// The next board or heartbeat; `None` at the shutdown.
    async fn next(&mut self) -> Option<Bytes> {
        let shutdown = self.shutdown.clone();
        let next = shutdown.run_until_cancelled(timeout(HEARTBEAT_INTERVAL, self.next_board())).await?;
        next.unwrap_or(Some(HEARTBEAT))
    }

    /// The first board, then each update that is newer than what was sent. Cancel safe.
    async fn next_board(&mut self) -> Option<Bytes> {
        if let Some(first) = &mut self.first {
            // An update may come before the first board, but is never older than one that was asked for before it.
            let board = first.await.ok()?;
            self.first = None;
            return Some(self.send(&board));
        }
        loop {
            self.updates.changed().await.ok()?;
            let board = self.updates.borrow_and_update().clone();
            if let Some(board) = board.filter(|board| board.reading > self.sent) {
                return Some(self.send(&board));
            }
        }
    }

    fn send(&mut self, board: &Board) -> Bytes {
        self.sent = board.reading;
        board.event.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_feed_without_news_gets_a_comment_after_each_interval_before_the_first_board_and_after() {
        let (send_first, first) = oneshot::channel();
        let (update, updates) = watch::channel(None);
        let shutdown = CancellationToken::new();
        let guard = FeedGuard::take(&Arc::default());
        let feed = Feed { first: Some(first), updates, sent: 0, shutdown: shutdown.clone(), _guard: guard };
        let mut events = pin!(events(feed));
        let mut next = async || {
            // The clock stands still while anything can go on, and then goes on to what is due first.
            let begun = Instant::now();
            let event = events.next().await.map(|event| event.unwrap());
            (event, begun.elapsed().as_secs())
        };
        let board = |reading| Board::new(reading, Vec::new());
        let interval = HEARTBEAT_INTERVAL.as_secs();

        assert_eq!(next().await, (Some(RETRY_FIELD), 0));
        for _ in 0..2 {
            assert_eq!(next().await, (Some(HEARTBEAT), interval));
        }
        assert!(send_first.send(board(1)).is_ok());
        assert_eq!(next().await, (Some(board(1).event), 0));
        assert_eq!(next().await, (Some(HEARTBEAT), interval));
        update.send_replace(Some(board(2)));
        assert_eq!(next().await, (Some(board(2).event), 0));
        assert_eq!(next().await, (Some(HEARTBEAT), interval));
        shutdown.cancel();
        assert_eq!(next().await, (None, 0));
    }
}
