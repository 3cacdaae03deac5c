//! Runs a schedule: executes each action at its time, and supervises the processes in between.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::cluster::{Cluster, Installation};
use crate::disk::{Disk, LongReader};
use crate::harness::app::DEADLINE;
use crate::proxy::{Mode, Proxy};
use crate::redis::Redis;
use crate::schedule::{Action, Step};

const TICK: Duration = Duration::from_millis(10);

/// Everything that is exposed to faults.
pub struct World {
    pub cluster: Cluster,
    pub reader: Option<LongReader>,
    /// Dropped before the installation, which contains its mount point.
    pub disk: Option<Disk>,
    pub installation: Arc<Installation>,
    pub redis: Redis,
    pub proxy: Proxy,
    pub runtime: Handle,
}

impl World {
    /// Runs the schedule. Blocks the thread.
    pub fn run(mut self, steps: &[Step]) -> Self {
        let mut journal = std::fs::File::create(self.installation.logs.join("actions.log")).unwrap();
        let started = Instant::now();
        for step in steps {
            while started.elapsed() < step.at {
                self.cluster.supervise(&self.installation);
                std::thread::sleep(TICK.min(step.at.saturating_sub(started.elapsed())));
            }
            let _ = writeln!(journal, "{step} (at {:.3} s)", started.elapsed().as_secs_f64());
            self.execute(step.action);
        }
        self.end_faults();
        self
    }

    /// Supervises the processes while `is_running` returns true.
    pub fn supervise_while(mut self, is_running: impl Fn() -> bool) -> Self {
        while is_running() {
            self.cluster.supervise(&self.installation);
            std::thread::sleep(TICK);
        }
        self
    }

    fn execute(&mut self, action: Action) {
        match action {
            Action::Kill(node) => {
                self.spare_unlucky_jobs();
                self.cluster.kill(node);
            }
            Action::KillAll => {
                self.spare_unlucky_jobs();
                (0..self.cluster.len()).for_each(|node| self.cluster.kill(node));
            }
            Action::Terminate(node) => self.cluster.terminate(node),
            Action::Pause(node) => self.cluster.pause(node),
            Action::Resume(node) => self.cluster.resume(node),
            Action::RedisDown => self.redis.down(&self.runtime),
            Action::RedisUpEmpty => self.redis.up_empty(&self.runtime),
            Action::RedisKeepSnapshot => self.redis.pair().keep_snapshot(),
            Action::RedisUpFromSnapshot => self.redis.pair().up_from_snapshot(),
            Action::RedisDetachReplica => self.redis.pair().detach_replica(),
            Action::RedisFailOver => {
                self.redis.pair().fail_over();
                self.proxy.target(self.redis.address());
            }
            Action::RedisAttachReplica => self.redis.pair().attach_replica(),
            Action::RedisRefuse(rejects) => self.redis.pair().reject_writes(rejects),
            Action::ForeignWrite(number) => {
                self.redis.ask(&format!("ZADD leaderboard {number} foreign-{number}"));
            }
            Action::Network(mode) => self.proxy.set(mode),
            Action::FillDisk => self.disk.iter().for_each(Disk::fill),
            Action::FreeDisk => self.disk.iter().for_each(Disk::free),
            Action::BeginRead => self.reader = LongReader::open(&self.installation.database()),
            Action::EndRead => self.reader = None,
            Action::Clock(hours) => self.installation.clock().iter().for_each(|clock| clock.set(hours)),
        }
    }

    /// A job is dead after its fifth crash. Waits until no job has had several random crashes, which would look like an
    /// image that crashes its workers.
    fn spare_unlucky_jobs(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(2);
        let unlucky = "SELECT count(*) AS count FROM jobs WHERE state IN ('queued', 'running') AND crashes > 2";
        while crate::checks::count(&self.installation, unlucky) > Some(0) && Instant::now() < deadline {
            self.cluster.supervise(&self.installation);
            std::thread::sleep(TICK);
        }
    }

    /// Ends all faults except the clock offset: jobs must not depend on a correct clock.
    fn end_faults(&mut self) {
        self.proxy.set(Mode::Pass);
        self.disk.iter().for_each(Disk::free);
        self.reader = None;
        for node in 0..self.cluster.len() {
            self.cluster.resume(node);
        }
    }
}

/// Waits until all servers are ready.
pub async fn until_ready(http: &reqwest::Client, urls: &[String]) {
    let deadline = Instant::now() + DEADLINE;
    for url in urls {
        loop {
            let ready = async { http.get(format!("{url}/readyz")).send().await.ok()?.text().await.ok() };
            if ready.await.is_some_and(|body| body.contains("\"ready\"")) {
                break;
            }
            assert!(Instant::now() < deadline, "{url} does not become ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
