//! The run of a schedule: each action at its time, and the supervision of the processes in between.

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

/// Everything that faults happen to.
pub struct World {
    pub cluster: Cluster,
    pub reader: Option<LongReader>,
    /// Before the installation, whose folder it lies on.
    pub disk: Option<Disk>,
    pub installation: Arc<Installation>,
    pub redis: Redis,
    pub proxy: Proxy,
    pub runtime: Handle,
}

impl World {
    /// Runs the schedule, on a thread of its own.
    pub fn run(mut self, steps: &[Step]) -> Self {
        let mut journal = std::fs::File::create(self.installation.logs.join("actions.log")).unwrap();
        let started = Instant::now();
        for step in steps {
            while started.elapsed() < step.at {
                self.cluster.supervise(&self.installation);
                std::thread::sleep(TICK.min(step.at.saturating_sub(started.elapsed())));
            }
            let _ = writeln!(journal, "{step} (at {:.3} s)", started.elapsed().as_secs_f64());
            self.act(step.action);
        }
        self.heal();
        self
    }

    /// Supervises the processes for as long as `goes_on` says so.
    pub fn supervise_while(mut self, goes_on: impl Fn() -> bool) -> Self {
        while goes_on() {
            self.cluster.supervise(&self.installation);
            std::thread::sleep(TICK);
        }
        self
    }

    fn act(&mut self, action: Action) {
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
            Action::RedisRefuse(refuses) => self.redis.pair().refuse(refuses),
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

    /// A job dies with its fifth worker; chance is not to make one look like an image that kills its workers.
    fn spare_unlucky_jobs(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(2);
        let unlucky = "SELECT count(*) AS count FROM jobs WHERE state IN ('queued', 'running') AND crashes > 2";
        while crate::verdict::count(&self.installation, unlucky) > Some(0) && Instant::now() < deadline {
            self.cluster.supervise(&self.installation);
            std::thread::sleep(TICK);
        }
    }

    /// Ends whatever fault is left. The clock stays as it is: jobs must not depend on its being set right again.
    fn heal(&mut self) {
        self.proxy.set(Mode::Pass);
        self.disk.iter().for_each(Disk::free);
        self.reader = None;
        for node in 0..self.cluster.len() {
            self.cluster.resume(node);
        }
    }
}

/// Waits for the processes to be ready for the first time.
pub async fn until_ready(http: &reqwest::Client, urls: &[String]) {
    let deadline = Instant::now() + DEADLINE;
    for url in urls {
        loop {
            let ready = async { http.get(format!("{url}/readyz")).send().await.ok()?.text().await.ok() };
            if ready.await.is_some_and(|body| body.contains("\"ready\"")) {
                break;
            }
            assert!(Instant::now() < deadline, "{url} does not get ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
