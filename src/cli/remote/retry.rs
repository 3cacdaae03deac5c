//! Exponential backoff: attempts, and the waits between them.

use std::time::Duration;

use crate::backoff;

/// The number of attempts and the waits between them, which double.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// The total number of attempts; 0 means 1.
    pub(crate) attempts: u32,
    /// The wait after the first attempt.
    pub(crate) base: Duration,
    /// The longest wait.
    pub(crate) max: Duration,
}

/// The result of an attempt.
pub(crate) enum Attempt<T> {
    /// Not worth a retry.
    Final(T),
    /// Worth a retry; `last` is the result after the last attempt.
    Retry {
        last: T,
        /// The wait that the server asked for (`Retry-After`), instead of the exponential one.
        retry_after: Option<Duration>,
    },
}

impl<T> Attempt<T> {
    /// Applies `change` to the result.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Attempt<U> {
        match self {
            Self::Final(result) => Attempt::Final(change(result)),
            Self::Retry { last, retry_after } => Attempt::Retry { last: change(last), retry_after },
        }
    }
}

impl Backoff {
    /// The wait after attempt number `attempt` (from 1); `None` after the last one.
    pub(crate) fn wait_after(&self, attempt: u32, retry_after: Option<Duration>) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let retry_after = retry_after.map(|wait| wait.min(self.max));
        Some(retry_after.unwrap_or_else(|| backoff::exponential(attempt, self.base, self.max)))
    }

    /// Runs attempts until one is final or none is left, and returns the last result.
    pub(crate) async fn retry<T>(&self, mut attempt: impl AsyncFnMut() -> Attempt<T>) -> T {
        let mut number = 1;
        loop {
            let (last, retry_after) = match attempt().await {
                Attempt::Final(result) => return result,
                Attempt::Retry { last, retry_after } => (last, retry_after),
            };
            match self.wait_after(number, retry_after) {
                None => return last,
                Some(wait) => tokio::time::sleep(wait).await,
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;

    const BACKOFF: Backoff = Backoff { attempts: 5, base: Duration::from_secs(1), max: Duration::from_secs(30) };

    #[test]
    fn waits_double_up_to_the_maximum() {
        let waits = |backoff: Backoff| -> Vec<u64> {
            (1..).map_while(|attempt| backoff.wait_after(attempt, None)).map(|wait| wait.as_secs()).collect()
        };
        assert_eq!(waits(BACKOFF), [1, 2, 4, 8]);
        assert_eq!(waits(Backoff { attempts: 8, ..BACKOFF }), [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(waits(Backoff { attempts: 1, ..BACKOFF }), [0; 0]);
    }

    #[test]
    fn retry_after_replaces_the_wait_up_to_the_maximum() {
        assert_eq!(BACKOFF.wait_after(1, Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(BACKOFF.wait_after(1, Some(Duration::from_secs(7000))), Some(Duration::from_secs(30)));
        assert_eq!(BACKOFF.wait_after(5, Some(Duration::from_secs(7))), None);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_with_a_final_result_or_the_last_attempt() {
        let started = Instant::now();
        let mut tries = 0;
        let last = BACKOFF
            .retry(async || {
                tries += 1;
                Attempt::Retry { last: tries, retry_after: None }
            })
            .await;
        assert_eq!((last, started.elapsed().as_secs()), (5, 15));

        let mut tries = 0;
        let result = BACKOFF
            .retry(async || {
                tries += 1;
                if tries == 2 { Attempt::Final(tries) } else { Attempt::Retry { last: 0, retry_after: None } }
            })
            .await;
        assert_eq!((result, started.elapsed().as_secs()), (2, 16));
    }

    proptest! {
        #[test]
        fn no_number_overflows(attempts in any::<u32>(), base in any::<u64>(), max in any::<u64>(), attempt in 1_u32..) {
            let (base, max) = (Duration::from_secs(base), Duration::from_secs(max));
            let wait = Backoff { attempts, base, max }.wait_after(attempt, None);
            prop_assert!(wait.is_none_or(|wait| wait <= max));
        }
    }
}
