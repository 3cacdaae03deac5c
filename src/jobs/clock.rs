//! The wall clock and the monotonic clock, and the detection of a wall clock that was set.
//!
//! Leases and due times are wall-clock times, because several processes share them. Setting the wall clock makes all of
//! them wrong at once; comparing it with the monotonic clock of the same process detects that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::db::{UnixMillis, now};

/// A difference between the clocks up to this is not taken for a clock that was set.
const TOLERANCE: Duration = Duration::from_secs(1);
/// Added to the tolerance per unit of elapsed time: twice the fastest slew of NTP (500 ppm).
const MAX_DRIFT: f64 = 0.001;

/// The clocks of a process.
pub trait Clock: Send + Sync {
    /// The wall clock, which may jump.
    fn wall(&self) -> UnixMillis;

    /// The time since a fixed moment; never jumps.
    fn monotonic(&self) -> Duration;
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> UnixMillis {
        now()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Suspends decisions that rely on the wall clock for a while after it was set.
pub(super) struct ClockGuard {
    clock: Arc<dyn Clock>,
    suspension: Duration,
    observed: (UnixMillis, Duration),
    /// A time of the monotonic clock.
    suspended_until: Duration,
}

impl ClockGuard {
    /// Takes the current wall clock as correct.
    pub(super) fn new(clock: Arc<dyn Clock>, suspension: Duration) -> Self {
        let observed = (clock.wall(), clock.monotonic());
        Self { clock, suspension, observed, suspended_until: Duration::ZERO }
    }

    /// Whether the wall clock has been steady for the whole suspension, up to now.
    pub(super) fn is_steady(&mut self) -> bool {
        let (wall, monotonic) = (self.clock.wall(), self.clock.monotonic());
        let (last_wall, last_monotonic) = std::mem::replace(&mut self.observed, (wall, monotonic));
        let elapsed = monotonic.saturating_sub(last_monotonic);
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let step_ms = wall.saturating_sub(last_wall).saturating_sub(elapsed_ms);
        let tolerance = TOLERANCE + elapsed.mul_f64(MAX_DRIFT);
        if u128::from(step_ms.unsigned_abs()) > tolerance.as_millis() {
            tracing::warn!(
                step_ms,
                suspension_s = self.suspension.as_secs_f64(),
                "the clock was set; no lease or job expires until the suspension is over"
            );
            self.suspend();
        }
        monotonic >= self.suspended_until
    }

    /// Starts or restarts the suspension.
    pub(super) fn suspend(&mut self) {
        self.suspended_until = self.clock.monotonic().saturating_add(self.suspension);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    const SUSPENSION: Duration = Duration::from_secs(30);

    /// A pair of clocks that the test moves.
    #[derive(Default)]
    pub(crate) struct ModelClock(Mutex<(UnixMillis, Duration)>);

    impl ModelClock {
        pub(crate) fn advance(&self, by: Duration) {
            let mut clocks = self.0.lock().unwrap();
            clocks.0 += i64::try_from(by.as_millis()).unwrap();
            clocks.1 += by;
        }

        pub(crate) fn step(&self, by_ms: i64) {
            self.0.lock().unwrap().0 += by_ms;
        }
    }

    impl Clock for ModelClock {
        fn wall(&self) -> UnixMillis {
            self.0.lock().unwrap().0
        }

        fn monotonic(&self) -> Duration {
            self.0.lock().unwrap().1
        }
    }

    fn guard() -> (Arc<ModelClock>, ClockGuard) {
        let clock = Arc::new(ModelClock::default());
        (clock.clone(), ClockGuard::new(clock, SUSPENSION))
    }

    #[test]
    fn a_clock_set_in_either_direction_is_unsteady_until_the_suspension_is_over() {
        for step_ms in [3_600_000, -3_600_000, 2_000, -2_000] {
            let (clock, mut guard) = guard();
            clock.advance(Duration::from_secs(1));
            assert!(guard.is_steady());
            clock.step(step_ms);
            clock.advance(Duration::from_secs(1));
            assert!(!guard.is_steady(), "{step_ms}");
            clock.advance(SUSPENSION - Duration::from_millis(1));
            assert!(!guard.is_steady(), "{step_ms}");
            clock.advance(Duration::from_millis(1));
            assert!(guard.is_steady(), "{step_ms}");
        }
    }

    #[test]
    fn a_second_step_restarts_the_suspension() {
        let (clock, mut guard) = guard();
        clock.step(60_000);
        assert!(!guard.is_steady());
        clock.advance(SUSPENSION / 2);
        clock.step(-60_000);
        assert!(!guard.is_steady());
        clock.advance(SUSPENSION / 2);
        assert!(!guard.is_steady());
        clock.advance(SUSPENSION / 2);
        assert!(guard.is_steady());
    }

    proptest! {
        #[test]
        fn a_slewed_clock_is_steady_however_late_it_is_read(seconds in proptest::collection::vec(0_u64..5000, 1..50)) {
            let (clock, mut guard) = guard();
            for seconds in seconds {
                clock.advance(Duration::from_secs(seconds));
                clock.step(i64::try_from(seconds / 2).unwrap());
                prop_assert!(guard.is_steady());
            }
        }
    }
}
