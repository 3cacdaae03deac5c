//! Process metrics of the operating system, with the standard names of Prometheus clients.
//!
//! Memory and open files are read from `/proc`, and omitted on systems without it.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{FutureExt, future};
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::{Kind, Metrics, Sample};

pub(super) fn add_metrics(metrics: Metrics) -> Metrics {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let build = vec![Sample { labels: vec![("version", env!("CARGO_PKG_VERSION").to_owned())], value: 1.0 }];
    metrics
        .with("m3a3_build_info", "The version that is running", Kind::Gauge, move || {
            future::ready(build.clone()).boxed()
        })
        .with_value(
            "process_start_time_seconds",
            "Start time of the process, in seconds since 1970",
            Kind::Gauge,
            move || started,
        )
        .with_value("process_cpu_seconds", "User and system CPU time of the process", Kind::Counter, cpu_seconds)
        .with("process_resident_memory_bytes", "Resident memory", Kind::Gauge, || if_known(resident_bytes()))
        .with("process_open_fds", "Open file descriptors", Kind::Gauge, || if_known(open_files()))
        .with("process_max_fds", "Limit of open file descriptors", Kind::Gauge, || if_known(max_files()))
}

fn if_known(value: Option<f64>) -> future::BoxFuture<'static, Vec<Sample>> {
    future::ready(value.map(Sample::from).into_iter().collect()).boxed()
}

fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// The second number of `statm` counts resident pages (proc(5)).
fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size() as f64)
}

/// Includes the descriptor that reads the folder.
fn open_files() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

fn max_files() -> Option<f64> {
    getrlimit(Resource::Nofile).current.map(|limit| limit as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_memory_and_files() {
        assert!(cpu_seconds() > 0.0);
        assert!(resident_bytes().unwrap() > 1e6);
        let (open, max) = (open_files().unwrap(), max_files().unwrap_or(f64::MAX));
        assert!((3.0..max).contains(&open), "{open} of {max}");
    }
}
