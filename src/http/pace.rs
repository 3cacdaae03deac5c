//! The least rate at which a body has to arrive, so that no client holds a place for ever by sending next to nothing.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use actix_web::http::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::Problem;

/// The longest silence within a body.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Only the time spent waiting for the client counts, and this much of it is free.
const GRACE: Duration = Duration::from_secs(30);
/// The least average rate after that, in bytes per second.
const MIN_RATE: u64 = 1 << 10;

/// The pace of one body.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    received: Received,
    waited: Duration,
}

/// Counts the bytes of a body as they arrive, wherever they are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received(Rc<Cell<u64>>);

impl Received {
    /// Counts further bytes.
    pub(crate) fn add(&self, bytes: usize) {
        self.0.set(self.0.get().saturating_add(bytes as u64));
    }
}

impl Pace {
    /// The counter of this body's bytes.
    pub(crate) fn received(&self) -> Received {
        self.received.clone()
    }

    /// Awaits the next part of the body. Cancel safe if `next` is.
    ///
    /// # Errors
    /// 408 when nothing arrives for half a minute, or too little on average.
    pub(crate) async fn with_stall_timeout<T>(&mut self, next: impl Future<Output = T>) -> Result<T, Problem> {
        let mut next = std::pin::pin!(next);
        let began = Instant::now();
        let result = loop {
            let (allowed, problem) = self.allowed();
            match timeout_at(began + allowed, &mut next).await {
                Ok(part) => break Ok(part),
                // Bytes that do not complete a part may have arrived meanwhile, and bought time.
                Err(_) if self.allowed().0 > began.elapsed() => {}
                Err(_) => break Err(problem()),
            }
        };
        self.waited += began.elapsed();
        result
    }

    /// How long the next part may take, and what to say if it takes longer.
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

    /// Receives parts of this many bytes, each this much later than the one before, until `most` have arrived.
    async fn receive(bytes: usize, interval: Duration, most: usize) -> Result<Duration, Problem> {
        let (mut pace, began) = (Pace::default(), Instant::now());
        for _ in 0..most {
            pace.with_stall_timeout(sleep(interval)).await?;
            pace.received().add(bytes);
        }
        Ok(began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_given_up_soon_after_half_a_minute() {
        let began = Instant::now();
        let problem = receive(1, Duration::from_secs(29), 1000).await.unwrap_err();
        assert_eq!(problem.status_code(), StatusCode::REQUEST_TIMEOUT);
        assert!(problem.to_string().contains("1024 bytes per second"), "{problem}");
        assert!(began.elapsed() <= Duration::from_secs(31), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_above_the_least_rate_may_take_its_time() {
        let took = receive(2048, Duration::from_secs(1), 3600).await.unwrap();
        assert!(took >= Duration::from_secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_given_up_whatever_has_arrived_before_it() {
        let mut pace = Pace::default();
        pace.received().add(50 << 20);
        let problem = pace.with_stall_timeout(std::future::pending::<()>()).await.unwrap_err();
        assert!(problem.to_string().contains("no data received"), "{problem}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_for_the_client_does_not_count() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.with_stall_timeout(std::future::ready(())).await.unwrap();
            pace.received().add(1);
            sleep(Duration::from_secs(10)).await;
        }
    }
}
