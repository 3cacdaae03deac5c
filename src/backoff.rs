//! Exponential backoff, for everything that retries: jobs, HTTP requests of the command line, the terminal client.
//!
//! Owns, consumes and publishes nothing. Never reads a clock and never draws a random number: the caller passes it in.

use std::time::Duration;

/// The delay after this many consecutive failures, from 1: `base`, doubled with each further failure, at most `cap`.
pub(crate) fn exponential(failures: u32, base: Duration, cap: Duration) -> Duration {
    base.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(cap)
}

/// The same with equal jitter: half of the delay is fixed, half random, so that clients that failed together do not
/// retry together. `random` is uniform in `0.0..1.0`.
pub(crate) fn jittered(failures: u32, base: Duration, cap: Duration, random: f64) -> Duration {
    exponential(failures, base, cap).mul_f64(0.5 + 0.5 * random)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: Duration = Duration::from_secs(1);
    const CAP: Duration = Duration::from_secs(60);

    #[test]
    fn the_delay_doubles_up_to_the_cap() {
        let delays: Vec<u64> = (1..=8).map(|failures| exponential(failures, BASE, CAP).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(exponential(0, BASE, CAP), BASE);
    }

    #[test]
    fn jitter_takes_at_most_half_of_the_delay() {
        assert_eq!(jittered(3, BASE, CAP, 0.0), Duration::from_secs(2));
        assert_eq!(jittered(3, BASE, CAP, 1.0), Duration::from_secs(4));
        assert_eq!(jittered(u32::MAX, BASE, CAP, 1.0), CAP);
    }

    proptest! {
        #[test]
        fn no_input_overflows(failures in any::<u32>(), base in any::<u64>(), cap in any::<u64>(), random in 0.0..1.0) {
            let (base, cap) = (Duration::from_millis(base), Duration::from_millis(cap));
            prop_assert!(exponential(failures, base, cap) <= cap);
            prop_assert!(jittered(failures, base, cap, random) <= exponential(failures, base, cap));
        }
    }
}
