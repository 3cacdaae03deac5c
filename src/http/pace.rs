//! The minimum rate of a request body, so that a slow client cannot hold a permit forever.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use actix_web::http::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::Problem;

/// The longest pause within a body.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Waiting time before the rate is enforced. Only the time spent waiting for the client counts.
const GRACE: Duration = Duration::from_secs(30);
/// The minimum average rate after that, in bytes per second.
const MIN_RATE: u64 = 1 << 10;

/// The pace of one body.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    received: Received,
    waited: Duration,
}

/// Counts the bytes of a body; shared with the stream that reads them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received(Rc<Cell<u64>>);

impl Received {
    pub(crate) fn add(&self, bytes: usize) {
        self.0.set(self.0.get().saturating_add(bytes as u64));
    }
}

impl Pace {
    pub(crate) fn received(&self) -> Received {
        self.received.clone()
    }

    /// Awaits the next part of the body. Cancel safe if `next` is.
    ///
    /// # Errors
    /// 408 when nothing arrives for [`STALL_TIMEOUT`], or too little on average.
    pub(crate) async fn with_stall_timeout<T>(&mut self, next: impl Future<Output = T>) -> Result<T, Problem> {
        let mut next = std::pin::pin!(next);
        let began = Instant::now();
        let result = loop {
            let (allowed, problem) = self.allowed();
            match timeout_at(began + allowed, &mut next).await {
                Ok(part) => break Ok(part),
                // Bytes that do not complete a part may have arrived, and extend the limit.
                Err(_) if self.allowed().0 > began.elapsed() => {}
                Err(_) => break Err(problem()),
            }
        };
        self.waited += began.elapsed();
        result
    }

    /// The time limit of the next part, and the problem when it is exceeded.
    fn allowed(&self) -> (Duration, fn() -> Problem) {
        let earned = GRACE.max(Duration::from_secs(self.received.0.get() / MIN_RATE));
        match earned.saturating_sub(self.waited) {
            left if left < STALL_TIMEOUT => (left, too_slow),
            _ => (STALL_TIMEOUT, stalled),
        }
    }
}

fn stalled() -> Problem {
    let detail = format!("The body stalled: no data received for {} seconds.", STALL_TIMEOUT.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}

fn too_slow() -> Problem {
    let detail = format!(
        "The body arrives too slowly: after {} seconds, at least {MIN_RATE} bytes per second are expected on average.",
        GRACE.as_secs()
    );
    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;
    use tokio::time::sleep;

    use super::*;

    /// Receives `count` parts of this many bytes at this interval.
    async fn receive(bytes: usize, interval: Duration, count: usize) -> Result<Duration, Problem> {
        let (mut pace, began) = (Pace::default(), Instant::now());
        for _ in 0..count {
            pace.with_stall_timeout(sleep(interval)).await?;
            pace.received().add(bytes);
        }
        Ok(began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_below_the_minimum_rate_is_refused_after_half_a_minute() {
        let began = Instant::now();
        let problem = receive(1, Duration::from_secs(29), 1000).await.unwrap_err();
        assert_eq!(problem.status_code(), StatusCode::REQUEST_TIMEOUT);
        assert!(problem.to_string().contains("1024 bytes per second"), "{problem}");
        assert!(began.elapsed() <= Duration::from_secs(31), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_above_the_minimum_rate_has_no_time_limit() {
        let took = receive(2048, Duration::from_secs(1), 3600).await.unwrap();
        assert!(took >= Duration::from_secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_refused_no_matter_how_much_has_arrived() {
        let mut pace = Pace::default();
        pace.received().add(50 << 20);
        let problem = pace.with_stall_timeout(std::future::pending::<()>()).await.unwrap_err();
        assert!(problem.to_string().contains("no data received"), "{problem}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_time_spent_waiting_for_the_client_counts() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.with_stall_timeout(std::future::ready(())).await.unwrap();
            pace.received().add(1);
            sleep(Duration::from_secs(10)).await;
        }
    }
}
