//! Cores, and CPU time and memory of processes (Linux only).

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// CPU time and memory of a process.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time of all its threads, in user and kernel mode.
    pub cpu: Duration,
    /// The part in kernel mode.
    pub kernel: Duration,
    /// Resident memory.
    pub rss_kib: u64,
}

impl Usage {
    /// `None` on systems without `/proc`.
    pub fn of(pid: u32) -> Option<Self> {
        // proc_pid_stat(5): utime and stime are fields 14 and 15; field 2, in parentheses, may contain spaces.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let time = |ticks: u64| Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64);
        let (user, kernel) = (time(fields.get(11)?.parse().ok()?), time(fields.get(12)?.parse().ok()?));
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(Self { cpu: user + kernel, kernel, rss_kib: rss.trim().strip_suffix(" kB")?.parse().ok()? })
    }
}

/// The cores of the server and the load generator.
#[derive(Debug, Clone, Copy)]
pub enum Cores {
    /// One core each.
    Apart {
        /// The core of the server.
        server: usize,
        /// The core of this process.
        generator: usize,
    },
    /// Scheduled by the system: there is only one core, or no affinity.
    Together,
}

impl Cores {
    /// Selects two cores if there are two, and moves this process, which must still be single-threaded, to one of them.
    #[cfg(target_os = "linux")]
    pub fn choose() -> anyhow::Result<Self> {
        use rustix::thread::{CpuSet, sched_getaffinity};

        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let (Some(server), Some(generator)) = (cores.next(), cores.next()) else { return Ok(Self::Together) };
        pin(generator)?;
        Ok(Self::Apart { server, generator })
    }

    /// Affinity is not supported.
    #[cfg(not(target_os = "linux"))]
    pub fn choose() -> anyhow::Result<Self> {
        Ok(Self::Together)
    }

    /// Starts a process on the server's core: children inherit the affinity of the thread.
    pub fn on_servers<T>(&self, start: impl FnOnce() -> T) -> anyhow::Result<T> {
        let Self::Apart { server, generator } = *self else { return Ok(start()) };
        pin(server)?;
        let started = start();
        pin(generator)?;
        Ok(started)
    }
}

impl std::fmt::Display for Cores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Apart { server, generator } => {
                write!(f, "the server alone on core {server}, load generator and broker on core {generator}")
            }
            Self::Together => f.write_str("the server, load generator and broker share the cores"),
        }
    }
}

#[cfg(target_os = "linux")]
fn pin(core: usize) -> anyhow::Result<()> {
    let mut only = rustix::thread::CpuSet::new();
    only.set(core);
    Ok(rustix::thread::sched_setaffinity(None, &only)?)
}

#[cfg(not(target_os = "linux"))]
fn pin(_core: usize) -> anyhow::Result<()> {
    Ok(())
}

/// Raises the limit of open files: every long poll is a socket in this process too.
pub fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it cannot be raised, opening a connection fails with a clear error.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
