//! The machine: its cores, and what a process has used of it. Measured on Linux only.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// CPU time of all its threads, in user and kernel mode.
    pub cpu: Duration,
    /// Resident memory.
    pub rss_kib: u64,
}

impl Usage {
    /// Of a process; `None` where the system does not tell.
    pub fn of(pid: u32) -> Option<Self> {
        // proc_pid_stat(5): utime and stime are the 14th and 15th fields; the 2nd, in parentheses, may hold spaces.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let cpu = Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(Self { cpu, rss_kib: rss.trim().strip_suffix(" kB")?.parse().ok()? })
    }
}

/// Where the server runs, and where the load comes from.
#[derive(Debug, Clone, Copy)]
pub enum Cores {
    /// Each on one of its own.
    Apart {
        /// The server's.
        server: usize,
        /// This process's.
        generator: usize,
    },
    /// Wherever the system puts them: there is one core only, or no way to choose.
    Together,
}

impl Cores {
    /// Takes two cores if there are two, and moves this process, which is to have one thread only as yet, to one.
    #[cfg(target_os = "linux")]
    pub fn choose() -> anyhow::Result<Self> {
        use rustix::thread::{CpuSet, sched_getaffinity};

        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let (Some(server), Some(generator)) = (cores.next(), cores.next()) else { return Ok(Self::Together) };
        pin(generator)?;
        Ok(Self::Apart { server, generator })
    }

    /// There is no way to choose.
    #[cfg(not(target_os = "linux"))]
    pub fn choose() -> anyhow::Result<Self> {
        Ok(Self::Together)
    }

    /// Starts a process on the server's core: a child runs where the thread that starts it may.
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

/// Every held poll is an open file here, too.
pub fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it is not allowed, opening a connection fails and says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
