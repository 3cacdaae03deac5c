//! A rate limit for log messages.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Admits one message per interval.
#[derive(Debug)]
pub(super) struct Throttle {
    interval: Duration,
    last: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, last: Mutex::new(None) }
    }

    /// Whether a message may be logged now.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let admitted = last.is_none_or(|last| now.duration_since(last) >= self.interval);
        if admitted {
            *last = Some(now);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_per_interval_is_admitted() {
        let throttle = Throttle::new(Duration::from_secs(10));
        let start = Instant::now();
        let admitted = |seconds| throttle.admits(start + Duration::from_secs(seconds));
        assert_eq!([0, 1, 9, 10, 11, 30].map(admitted), [true, false, false, true, false, true]);
    }
}
