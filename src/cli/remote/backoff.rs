//! Trying again: how often, and how long to wait in between.

use std::time::Duration;

use crate::backoff;

/// A number of attempts and the waits between them, which double.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// Attempts in all; 0 is as good as 1.
    pub(crate) attempts: u32,
    /// The wait after the first attempt.
    pub(crate) base: Duration,
    /// The longest wait.
    pub(crate) max: Duration,
}

/// What an attempt came to.
pub(crate) enum Attempt<T> {
    /// An answer that trying again would not change.
    Final(T),
    /// An answer to be content with only if there is no attempt left.
    Again {
        /// The answer.
        last: T,
        /// The wait that the other side asked for, which takes the place of the usual one.
        asked: Option<Duration>,
    },
}

impl<T> Attempt<T> {
    /// The same attempt with its answer changed.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Attempt<U> {
        match self {
            Self::Final(answer) => Attempt::Final(change(answer)),
            Self::Again { last, asked } => Attempt::Again { last: change(last), asked },
        }
    }
}

impl Backoff {
    /// How long to wait after the attempt of this number (from 1); `None` when it was the last.
    pub(crate) fn wait_after(&self, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let asked = asked.map(|asked| asked.min(self.max));
        Some(asked.unwrap_or_else(|| backoff::exponential(attempt, self.base, self.max)))
    }

    /// Attempts until an answer is final or no attempt is left, and returns the last answer.
    pub(crate) async fn retry<T>(&self, mut attempt: impl AsyncFnMut() -> Attempt<T>) -> T {
        let mut number = 1;
        loop {
            let (last, asked) = match attempt().await {
                Attempt::Final(answer) => return answer,
                Attempt::Again { last, asked } => (last, asked),
            };
            match self.wait_after(number, asked) {
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

    const OLD: Backoff = Backoff { attempts: 5, base: Duration::from_secs(1), max: Duration::from_secs(30) };

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits = |backoff: Backoff| -> Vec<u64> {
            (1..).map_while(|attempt| backoff.wait_after(attempt, None)).map(|wait| wait.as_secs()).collect()
        };
        assert_eq!(waits(OLD), [1, 2, 4, 8]);
        assert_eq!(waits(Backoff { attempts: 8, ..OLD }), [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(waits(Backoff { attempts: 1, ..OLD }), [0; 0]);
    }

    #[test]
    fn what_the_server_asks_for_is_done_up_to_the_longest() {
        assert_eq!(OLD.wait_after(1, Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(OLD.wait_after(1, Some(Duration::from_secs(7000))), Some(Duration::from_secs(30)));
        assert_eq!(OLD.wait_after(5, Some(Duration::from_secs(7))), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_tries_until_an_answer_is_final_or_no_attempt_is_left() {
        let begun = Instant::now();
        let mut tries = 0;
        let last = OLD
            .retry(async || {
                tries += 1;
                Attempt::Again { last: tries, asked: None }
            })
            .await;
        assert_eq!((last, begun.elapsed().as_secs()), (5, 15));

        let mut tries = 0;
        let answer = OLD
            .retry(async || {
                tries += 1;
                if tries == 2 { Attempt::Final(tries) } else { Attempt::Again { last: 0, asked: None } }
            })
            .await;
        assert_eq!((answer, begun.elapsed().as_secs()), (2, 16));
    }

    proptest! {
        #[test]
        fn no_numbers_overflow(attempts in any::<u32>(), base in any::<u64>(), max in any::<u64>(), attempt in 1_u32..) {
            let (base, max) = (Duration::from_secs(base), Duration::from_secs(max));
            let wait = Backoff { attempts, base, max }.wait_after(attempt, None);
            prop_assert!(wait.is_none_or(|wait| wait <= max));
        }
    }
}
