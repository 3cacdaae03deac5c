//! Permanent proof: real processes and a real Redis under a seeded schedule of faults, while clients use them. Once
//! everything is quiet, nothing that was answered with 200 may be missing.
//!
//! `cargo test --test chaos` runs a short schedule. `M3A3_TEST_CHAOS_SEED` and `M3A3_TEST_CHAOS_SECONDS` make it another or a longer
//! one; a seed gives the same schedule and the same clients every time, on machines that allow the same faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "all of this is tests, which may fail so")]

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
mod verdict;
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
/// How many faults a failing run shows.
const MAX_SHOWN: usize = 60;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is {value:?}, expected a number")))
}

/// What a run is made of.
struct Plan {
    seed: u64,
    length: Duration,
    /// Kept when the run fails.
    logs: PathBuf,
}

impl Plan {
    fn of_environment() -> Self {
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
    /// The command that runs the same again.
    fn replay(&self) -> String {
        let kept = ["M3A3_TEST_CHAOS_FAULTS", "M3A3_TEST_REDIS"].into_iter();
        let kept = kept.filter_map(|name| Some(format!("{name}={} ", std::env::var(name).ok()?))).collect::<String>();
        let (seed, seconds) = (self.seed, self.length.as_secs());
        format!(
            "{kept}M3A3_TEST_CHAOS_SEED={seed} M3A3_TEST_CHAOS_SECONDS={seconds} cargo test --test chaos -- --nocapture"
        )
    }
}

/// Builds the world, and says which faults it allows.
async fn build(plan: &Plan, receiver: &Receiver) -> (World, Vec<Family>) {
    let dir = Workdir::new();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut families =
        vec![Family::Kill, Family::KillAll, Family::Pause, Family::Terminate, Family::Network, Family::LongReader];
    let disk = Disk::mount(&data);
    match &disk {
        Some(_) => families.push(Family::FullDisk),
        None => eprintln!("chaos: no tmpfs can be mounted (root may): NO FULL DISK in this run"),
    }
    let clock = Clock::install(&plan.logs);
    match &clock {
        Some(_) => families.push(Family::Clock),
        None => eprintln!("chaos: libfaketime is not installed (package faketime): NO CLOCK JUMPS in this run"),
    }
    let redis = Redis::start(&plan.logs).await;
    families.extend(redis.families());
    if let Redis::Embedded(_) = redis {
        eprintln!("chaos: on the embedded broker: NO SNAPSHOTS, NO FAIL-OVERS, NO REFUSALS of Redis in this run");
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
async fn nothing_that_was_answered_is_lost_whatever_fails() {
    // The client asks for a provider although it talks plain HTTP here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let plan = Plan::of_environment();
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
    let (faults, report) = perform(&plan, world, &receiver, steps).await;
    println!("{report}");
    assert!(
        faults.is_empty(),
        "{} faults; replay with: {}\nlogs and database: {}\n{}{}",
        faults.len(),
        plan.replay(),
        plan.logs.display(),
        faults.iter().take(MAX_SHOWN).map(|fault| format!("{fault}\n")).collect::<String>(),
        if faults.len() > MAX_SHOWN { format!("and {} more", faults.len() - MAX_SHOWN) } else { String::new() },
    );
    let _ = std::fs::remove_dir_all(&plan.logs);
}

/// Runs everything, and says what is wrong, and in a line what happened.
async fn perform(plan: &Plan, world: World, receiver: &Receiver, steps: Vec<Step>) -> (Vec<String>, String) {
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
    let healed = Instant::now();

    let answered = std::mem::take(&mut *clients.answered.lock().unwrap());
    let installation = Arc::clone(&world.installation);
    let redis = world.redis.address();
    let (mut world, mut faults) = supervised(world, async {
        let mut faults = verdict::until_quiet(&installation).await;
        faults.extend(verdict::lost(&installation, &answered, receiver).await);
        faults.extend(verdict::misunderstood(&answered));
        faults.extend(verdict::unproven(&answered));
        faults.extend(verdict::given_up(&installation, &answered));
        faults.extend(verdict::doubled(&installation));
        faults.extend(verdict::board_differences(&installation, |command| redis::ask(redis, command)).await);
        faults.extend(verdict::blind_watchers(&clients.http, &watchers).await);
        faults
    })
    .await;
    let settled = healed.elapsed();
    world.cluster.stop(&world.installation);
    faults.extend(verdict::panics(&world.installation));
    faults.extend(verdict::audit(&world.installation));
    for crash in &world.cluster.crashes {
        match crash.is_fatal() {
            true => faults.push(format!("CRASH {crash}")),
            false => println!("chaos: {crash}"),
        }
    }
    if !faults.is_empty() {
        keep_database(&world.installation);
    }
    (faults, described(&answered, &world.cluster, settled))
}

fn described(answered: &Answered, cluster: &Cluster, settled: Duration) -> String {
    let added: i64 = answered.added.values().map(|points| points.answered).sum();
    format!(
        "chaos: {} uploads, {} scores set, {added} added, {} orders answered with 200; others: {:?}; \
         {} kills, {} ends by themselves; quiet after {:.1} s",
        answered.uploads.len(),
        answered.set.len(),
        answered.orders.len(),
        answered.refused,
        cluster.kills,
        cluster.crashes.len(),
        settled.as_secs_f64()
    )
}

/// Lets the processes be supervised while something is awaited.
async fn supervised<T>(world: World, awaited: impl Future<Output = T>) -> (World, T) {
    let goes_on = Arc::new(AtomicBool::new(true));
    let supervision = {
        let goes_on = Arc::clone(&goes_on);
        tokio::task::spawn_blocking(move || world.supervise_while(|| goes_on.load(Ordering::SeqCst)))
    };
    let value = awaited.await;
    goes_on.store(false, Ordering::SeqCst);
    (supervision.await.unwrap(), value)
}

fn keep_database(installation: &Installation) {
    for name in ["m3a3.db", "m3a3.db-wal"] {
        let _ = std::fs::copy(installation.dir.path().join("data").join(name), installation.logs.join(name));
    }
}
