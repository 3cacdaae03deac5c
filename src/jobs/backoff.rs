//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential backoff with equal jitter (half the delay is fixed, half random), so that jobs that failed together do not
/// come back together.
///
/// `attempts` counts the failed attempts so far, from 1; `random` is uniform in `0.0..1.0`.
pub(super) fn delay(attempts: i32, base: Duration, cap: Duration, random: f64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(31);
    let full = base.saturating_mul(1 << doublings).min(cap);
    full.mul_f64(0.5 + 0.5 * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(1);
    const CAP: Duration = Duration::from_secs(60);

    #[test]
    fn the_delay_doubles_until_the_cap() {
        let longest: Vec<u64> = (1..=8).map(|attempts| delay(attempts, BASE, CAP, 1.0).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(delay(i32::MAX, BASE, CAP, 1.0), CAP);
    }

    #[test]
    fn jitter_never_takes_more_than_half() {
        assert_eq!(delay(3, BASE, CAP, 0.0), Duration::from_secs(2));
    }
}
