//! A child process that runs one stage repeatedly and reports its cost. Measures on Linux only.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::stage::Stage;

/// The report on the last line of the child's output.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// CPU milliseconds of each round, in user and kernel mode.
    cpu: Vec<f64>,
    /// Resident memory in KiB before the file was read, 0 if unknown.
    idle: u64,
    /// Peak resident memory in KiB, 0 if unknown.
    peak: u64,
}

impl Report {
    /// Median CPU milliseconds of the rounds.
    pub fn cpu(&self) -> f64 {
        let mut sorted = self.cpu.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Peak memory of the work in MB, including the bytes of the file.
    pub fn above_idle(&self) -> f64 {
        self.peak.saturating_sub(self.idle) as f64 / 1024.0
    }
}

/// Measures a stage in a child process; `rounds` are the numbers of warm-up rounds and of measured rounds.
pub fn measure(stage: Stage, file: &Path, rounds: (usize, usize)) -> anyhow::Result<Report> {
    let mut process = Command::new(std::env::current_exe()?);
    process
        .args(["--again", stage.name()])
        .arg(file)
        .arg("-")
        .args([rounds.0, rounds.1].map(|count| count.to_string()));
    let done = process.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(done.status.success(), "{} failed", stage.name());
    Ok(serde_json::from_slice(&done.stdout)?)
}

/// Runs the child process: `STAGE FILE OUTPUT WARM-UPS ROUNDS`, where the output `-` discards the thumbnail.
pub fn run(request: &[String]) -> anyhow::Result<()> {
    let [stage, file, output, warm_ups, rounds] = request else {
        anyhow::bail!("expected STAGE FILE OUTPUT WARM-UPS ROUNDS")
    };
    let idle = memory("VmRSS:").unwrap_or(0);
    let mut work = Stage::named(stage)?.prepared(Path::new(file))?;
    let mut made = Vec::new();
    for _ in 0..warm_ups.parse()? {
        made = work()?;
    }
    let mut cpu = Vec::new();
    for _ in 0..rounds.parse()? {
        let before = cpu_time();
        made = work()?;
        cpu.push(cpu_time() - before);
    }
    if output != "-" {
        std::fs::write(output, made).context("cannot write the thumbnail")?;
    }
    println!("{}", serde_json::to_string(&Report { cpu, idle, peak: memory("VmHWM:").unwrap_or(0) })?);
    Ok(())
}

/// CPU milliseconds of this process.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// A memory field of this process's status in KiB (proc_pid_status(5)).
fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
