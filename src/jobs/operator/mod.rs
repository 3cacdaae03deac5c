//! The operators' view of jobs: the logic behind `m3a3 jobs`, `/admin/jobs`, the metrics and the doctor.
//!
//! - `listing`: lists jobs, shows one with its attempts
//! - `actions`: retries and cancels jobs
//! - `hooks`: the effects of a retry or a cancellation outside of the row of the job, by kind
//! - `backlog`: counts unfinished and dead jobs
//! - `health`: expired leases, jobs that wait for their environment
//! - `age`: ages and times in arguments

mod actions;
mod age;
mod backlog;
mod health;
mod hooks;
mod listing;

pub use actions::{Intervention, cancel};
pub(crate) use actions::{retry, retry_all};
pub(crate) use age::{Age, since};
pub(crate) use backlog::{Backlog, backlog};
pub(crate) use health::{Delayed, ExpiredLease, delayed, expired_leases, newest_job};
pub use hooks::KindHooks;
pub use listing::{AttemptSummary, JobDetails, JobSummary, show};
pub(crate) use listing::{Filter, list};

pub(crate) use super::pruning::purge;
