//! Checks the clock, on which leases, retries and signatures depend.

use super::Finding;
use crate::db::{UnixMillis, timestamp};

/// How far a job's creation time may be ahead of this clock: two processes read the clock at different moments.
const TOLERANCE_MS: i64 = 2_000;
/// The time at which this file was written; a correct clock is later.
const PAST_MS: i64 = 1_793_491_200_000;

/// `newest` is the creation time of the newest job.
pub(super) fn check(newest: Option<UnixMillis>, at: UnixMillis) -> Finding {
    let time = timestamp::text(at);
    let advice = "set the clock (timedatectl set-ntp true); until it has caught up, jobs wait";
    match newest {
        _ if at < PAST_MS => Finding::error("clock", format!("it shows {time}, which is past"), advice),
        Some(newest) if newest > at + TOLERANCE_MS => {
            let detail = format!("it shows {time}, but a job was created at {}", timestamp::text(newest));
            Finding::error("clock", detail, advice)
        }
        _ => Finding::ok("clock", time),
    }
}
