//! Chaos test: real processes and a real Redis under a seeded schedule of faults, while clients send requests. After
//! the faults have ended and all jobs have finished, no request that was answered with 200 may be lost.
//!
//! `cargo test --test chaos` runs a short schedule. `M3A3_TEST_CHAOS_SEED` and `M3A3_TEST_CHAOS_SECONDS` select another
//! or a longer one. A seed always produces the same schedule and the same clients, on machines that support the same
//! faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "all of this is tests, which may fail so")]

mod checks;
mod clients;
mod clock;
mod cluster;
mod disk;
#[allow(dead_code, unused_imports, reason = "the other test target uses all of it")]
#[path = "../it/harness/mod.rs"]
mod harness;
mod proxy;
mod receiver;
mod redis;
mod run;
mod schedule;
mod seed;
mod watchers;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::clients::{Answered, Clients};
use crate::clock::Clock;
use crate::cluster::{Cluster, Installation, LEASE_SECONDS};
use crate::disk::Disk;
use crate::harness::binary::Workdir;
use crate::proxy::Proxy;
use crate::receiver::Receiver;
use crate::redis::Redis;
use crate::run::World;
use crate::schedule::{Family, Step, schedule};
use crate::watchers::Watcher;

const SECONDS: u64 = 20;
const SEED: u64 = 1;
/// The most errors that a failing run prints.
const MAX_SHOWN: usize = 60;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is {value:?}, expected a number")))
}

/// The parameters of a run.
struct Plan {
    seed: u64,
    length: Duration,
    /// Kept if the run fails.
    logs: PathBuf,
}

impl Plan {
    fn from_env() -> Self {
        let seed = match std::env::var("M3A3_TEST_CHAOS_SEED").as_deref() {
            Ok("random") => rand::random_range(0..1_000_000),
            _ => number("M3A3_TEST_CHAOS_SEED").unwrap_or(SEED),
        };
        let length = Duration::from_secs(number("M3A3_TEST_CHAOS_SECONDS").unwrap_or(SECONDS));
        let logs = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}"));
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs).unwrap();
        Self { seed, length, logs }
    }
}

impl Plan {
    /// The command that repeats the run.
    fn replay(&self) -> String {
        let kept = ["M3A3_TEST_CHAOS_FAULTS", "M3A3_TEST_REDIS"].into_iter();
        let kept = kept.filter_map(|name| Some(format!("{name}={} ", std::env::var(name).ok()?))).collect::<String>();
        let (seed, seconds) = (self.seed, self.length.as_secs());
        format!(
            "{kept}M3A3_TEST_CHAOS_SEED={seed} M3A3_TEST_CHAOS_SECONDS={seconds} cargo test --test chaos -- --nocapture"
        )
    }
}

/// Creates the world. Returns it with the faults that it supports.
async fn build(plan: &Plan, receiver: &Receiver) -> (World, Vec<Family>) {
    let dir = Workdir::new();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut families =
        vec![Family::Kill, Family::KillAll, Family::Pause, Family::Terminate, Family::Network, Family::LongReader];
    let disk = Disk::mount(&data);
    match &disk {
        Some(_) => families.push(Family::FullDisk),
        None => eprintln!("chaos: cannot mount a tmpfs (requires root): NO FULL DISK in this run"),
    }
    let clock = Clock::install(&plan.logs);
    match &clock {
        Some(_) => families.push(Family::Clock),
        None => eprintln!("chaos: libfaketime is not installed (package faketime): NO CLOCK JUMPS in this run"),
    }
    let redis = Redis::start(&plan.logs).await;
    families.extend(redis.families());
    if let Redis::Embedded(_) = redis {
        eprintln!(
            "chaos: with the embedded broker: NO SNAPSHOTS, NO FAILOVERS, NO REJECTED WRITES of Redis in this run"
        );
    }
    if let Ok(only) = std::env::var("M3A3_TEST_CHAOS_FAULTS") {
        families.retain(|family| only.split(',').any(|name| format!("{family:?}") == name.trim()));
    }
    let proxy = Proxy::start(redis.address()).await;
    let settings = vec![
        format!("redis.url=redis://{}", proxy.address),
        format!("webhook.url={}", receiver.url),
        format!("jobs.lease_s={LEASE_SECONDS}"),
        "jobs.sweep_interval_s=0.3".to_owned(),
        "jobs.retry_base_s=0.05".to_owned(),
        "jobs.max_attempts=6".to_owned(),
        "serve.min_free_bytes=0".to_owned(),
        "serve.workers=2".to_owned(),
        "game.workers=2".to_owned(),
        "images.concurrency=2".to_owned(),
        "shutdown.grace_s=10".to_owned(),
    ];
    let installation = Arc::new(Installation::new(dir, plan.logs.clone(), settings, clock));
    let cluster = Cluster::new();
    let runtime = tokio::runtime::Handle::current();
    (World { cluster, reader: None, disk, installation, redis, proxy, runtime }, families)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_request_is_lost_under_faults() {
    // The client requires a provider, although it only uses HTTP here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let plan = Plan::from_env();
    let receiver = Receiver::start();
    let (world, families) = build(&plan, &receiver).await;
    let steps = schedule(plan.seed, plan.length, world.cluster.len(), &families);
    let listed: String = steps.iter().map(|step| format!("{step}\n")).collect();
    std::fs::write(plan.logs.join("schedule.log"), listed).unwrap();
    println!(
        "chaos: seed {}, {} s, {} actions out of {families:?}\nchaos: logs and schedule in {}",
        plan.seed,
        plan.length.as_secs(),
        steps.len(),
        plan.logs.display()
    );
    let (errors, report) = run_plan(&plan, world, &receiver, steps).await;
    println!("{report}");
    assert!(
        errors.is_empty(),
        "{} errors; replay with: {}\nlogs and database: {}\n{}{}",
        errors.len(),
        plan.replay(),
        plan.logs.display(),
        errors.iter().take(MAX_SHOWN).map(|error| format!("{error}\n")).collect::<String>(),
        if errors.len() > MAX_SHOWN { format!("and {} more", errors.len() - MAX_SHOWN) } else { String::new() },
    );
    let _ = std::fs::remove_dir_all(&plan.logs);
}

/// Runs everything. Returns the errors, and a summary in one line.
async fn run_plan(plan: &Plan, world: World, receiver: &Receiver, steps: Vec<Step>) -> (Vec<String>, String) {
    let (api, game) = (world.cluster.api.clone(), world.cluster.game.clone());
    let stop = CancellationToken::new();
    let clients = Clients::new(&api, &game, stop.clone());
    let urls: Vec<String> = api.iter().chain(&game).cloned().collect();
    let (world, ()) = supervised(world, run::until_ready(&clients.http, &urls)).await;
    let mut tasks = clients.start(plan.seed);
    let mut watchers: Vec<Watcher> = game.iter().map(|url| Watcher::of_feed(url)).collect();
    watchers.extend(game.iter().map(|url| Watcher::of_socket(url)));

    let world = tokio::task::spawn_blocking(move || world.run(&steps)).await.unwrap();
    stop.cancel();
    let (world, ()) = supervised(world, async { while tasks.join_next().await.is_some() {} }).await;
    let faults_ended = Instant::now();

    let answered = std::mem::take(&mut *clients.answered.lock().unwrap());
    let installation = Arc::clone(&world.installation);
    let redis = world.redis.address();
    let (mut world, mut errors) = supervised(world, async {
        let mut errors = checks::until_jobs_finished(&installation).await;
        errors.extend(checks::lost_requests(&installation, &answered, receiver).await);
        errors.extend(checks::client_errors(&answered));
        errors.extend(checks::kinds_without_success(&answered));
        errors.extend(checks::dead_jobs(&installation, &answered));
        errors.extend(checks::duplicate_images(&installation));
        errors.extend(checks::board_differences(&installation, |command| redis::ask(redis, command)).await);
        errors.extend(checks::stale_watchers(&clients.http, &watchers).await);
        errors
    })
    .await;
    let settled = faults_ended.elapsed();
    world.cluster.stop(&world.installation);
    errors.extend(checks::panics(&world.installation));
    errors.extend(checks::audit(&world.installation));
    for crash in &world.cluster.crashes {
        match crash.is_fatal() {
            true => errors.push(format!("CRASH {crash}")),
            false => println!("chaos: {crash}"),
        }
    }
    if !errors.is_empty() {
        keep_database(&world.installation);
    }
    (errors, summary(&answered, &world.cluster, settled))
}

fn summary(answered: &Answered, cluster: &Cluster, settled: Duration) -> String {
    let added: i64 = answered.added.values().map(|points| points.answered).sum();
    format!(
        "chaos: {} uploads, {} scores set, {added} added, {} orders answered with 200; others: {:?}; \
         {} kills, {} unexpected exits; finished after {:.1} s",
        answered.uploads.len(),
        answered.set.len(),
        answered.orders.len(),
        answered.refused,
        cluster.kills,
        cluster.crashes.len(),
        settled.as_secs_f64()
    )
}

/// Supervises the processes while awaiting a future.
async fn supervised<T>(world: World, awaited: impl Future<Output = T>) -> (World, T) {
    let is_running = Arc::new(AtomicBool::new(true));
    let supervision = {
        let is_running = Arc::clone(&is_running);
        tokio::task::spawn_blocking(move || world.supervise_while(|| is_running.load(Ordering::SeqCst)))
    };
    let value = awaited.await;
    is_running.store(false, Ordering::SeqCst);
    (supervision.await.unwrap(), value)
}

fn keep_database(installation: &Installation) {
    for name in ["m3a3.db", "m3a3.db-wal"] {
        let _ = std::fs::copy(installation.dir.path().join("data").join(name), installation.logs.join(name));
    }
}
