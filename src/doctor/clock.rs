//! The clock: leases, retries and signatures stand and fall with it.

use super::Finding;
use crate::db::{UnixMillis, timestamp};

/// How far the database may be ahead: two processes read the clock at different moments.
const TOLERANCE_MS: i64 = 2_000;
/// When this was written; no clock that goes right says less.
const PAST_MS: i64 = 1_793_491_200_000;

/// `newest` is when the newest job was made.
pub(super) fn check(newest: Option<UnixMillis>, at: UnixMillis) -> Finding {
    let told = timestamp::text(at);
    let advice = "set the clock (timedatectl set-ntp true): until it is there again, jobs wait";
    match newest {
        _ if at < PAST_MS => Finding::error("clock", format!("it says {told}, which is past"), advice),
        Some(newest) if newest > at + TOLERANCE_MS => {
            let detail = format!("it says {told}, but a job was made at {}", timestamp::text(newest));
            Finding::error("clock", detail, advice)
        }
        _ => Finding::ok("clock", told),
    }
}
