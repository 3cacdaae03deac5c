//! The mirror against a model of Redis. A seed interleaves the steps of up to three servers with crashes and all faults
//! of Redis. Invariant: once the faults have ended, Redis equals the database for every player that m3a3 has written.
//!
//! `M3A3_TEST_SEED=7 cargo test --lib redis_mirror` runs one seed; `M3A3_TEST_SEEDS=500` runs as many.

mod model_redis;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::super::store::{Mode, RedisScore, Submission};
use super::*;
use crate::bus::BusError;
use crate::db::{Location, WriterThread};
use crate::events::Event;
use crate::ids::Score;

use model_redis::{Data, Fate, ModelConnection, ModelRedis, Turn};

const SERVERS: usize = 3;
const STEPS: usize = 250;
const PLAYERS: usize = 6;

type Mirror = RedisMirror<ModelConnection>;

/// A server between two steps.
enum Server {
    Idle(Mirror),
    /// With its next command, which waits for its turn.
    Busy(JoinHandle<Mirror>, Turn),
}

struct Model {
    rng: StdRng,
    redis: Arc<Mutex<ModelRedis>>,
    database: Database,
    servers: Vec<Option<Server>>,
    turns: Vec<(mpsc::UnboundedSender<Turn>, mpsc::UnboundedReceiver<Turn>)>,
    thread: WriterThread,
    _folder: TempDir,
}

impl Model {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (database, thread) = Database::open(&Location::new(folder.path().join("m3a3.db"))).unwrap();
        let mut model = Self {
            rng: StdRng::seed_from_u64(seed),
            redis: Arc::default(),
            database,
            servers: Vec::new(),
            turns: (0..SERVERS).map(|_| mpsc::unbounded_channel()).collect(),
            thread,
            _folder: folder,
        };
        for number in 0..model.rng.random_range(1..=SERVERS) {
            let mirror = model.start(number);
            model.servers.push(Some(Server::Idle(mirror)));
        }
        model
    }

    fn start(&self, number: usize) -> Mirror {
        let turns = self.turns[number].0.clone();
        RedisMirror::new(
            self.database.clone(),
            ModelConnection { redis: Arc::clone(&self.redis), watched: None, turns },
        )
    }

    /// One step of a server, of Redis, or of another program.
    async fn step(&mut self) {
        let number = self.rng.random_range(0..self.servers.len());
        match self.rng.random_range(0..100) {
            0..70 => self.step_server(number).await,
            70..78 => self.crash(number).await,
            _ => self.disturb(),
        }
    }

    async fn step_server(&mut self, number: usize) {
        let server = match self.servers[number].take().unwrap() {
            Server::Idle(mirror) => self.start_operation(number, mirror).await,
            Server::Busy(task, turn) => {
                let fate = match self.rng.random_range(0..20) {
                    0 => Fate::Lost,
                    1 => Fate::Unanswered,
                    2 => Fate::Delayed,
                    _ => Fate::Delivered,
                };
                let _ = turn.send(fate);
                self.until_next_turn(number, task).await
            }
        };
        self.servers[number] = Some(server);
    }

    /// Starts an operation on an idle server.
    async fn start_operation(&mut self, number: usize, mut mirror: Mirror) -> Server {
        let player = |rng: &mut StdRng| format!("player {}", rng.random_range(0..PLAYERS));
        let task = match self.rng.random_range(0..12) {
            0 => {
                let players: Vec<_> = (0..2).map(|number| (format!("player {number}"), 10.0)).collect();
                self.database.write(move |connection| store::reset(connection, &players)).await.unwrap();
                tokio::spawn(async move {
                    mirror.catch_up().await;
                    mirror
                })
            }
            1 => {
                let name = player(&mut self.rng);
                self.database.write(move |connection| store::remove(connection, &name)).await.unwrap();
                tokio::spawn(async move {
                    mirror.catch_up().await;
                    mirror
                })
            }
            2..5 => tokio::spawn(async move {
                mirror.catch_up().await;
                mirror
            }),
            _ => {
                let submissions: Vec<Submission> = (0..self.rng.random_range(1..4))
                    .map(|_| Submission {
                        name: player(&mut self.rng).parse().unwrap(),
                        mode: [Mode::Set, Mode::Add][self.rng.random_range(0..2)],
                        score: Score::new(f64::from(self.rng.random_range(1..100))).unwrap(),
                        redis_score: RedisScore::Known(None),
                    })
                    .collect();
                let committed = self.database.write(move |connection| store::commit(connection, &submissions, 0));
                let commit = committed.await.unwrap();
                tokio::spawn(async move {
                    mirror.follow(&commit, &[]).await;
                    mirror
                })
            }
        };
        self.until_next_turn(number, task).await
    }

    /// Waits until the operation waits for its turn, or has ended.
    async fn until_next_turn(&mut self, number: usize, mut task: JoinHandle<Mirror>) -> Server {
        tokio::select! {
            biased;
            turn = self.turns[number].1.recv() => Server::Busy(task, turn.unwrap()),
            mirror = &mut task => Server::Idle(mirror.unwrap()),
        }
    }

    /// Kills a server and restarts it.
    async fn crash(&mut self, number: usize) {
        if let Some(Server::Busy(task, _)) = self.servers[number].take() {
            task.abort();
            let _ = task.await;
        }
        let mirror = self.start(number);
        self.servers[number] = Some(Server::Idle(mirror));
    }

    fn disturb(&mut self) {
        let mut redis = self.redis.lock().unwrap();
        match self.rng.random_range(0..12) {
            0 => redis.restart(Data::default()),
            1 | 2 if !redis.snapshots.is_empty() => {
                let at = self.rng.random_range(0..redis.snapshots.len());
                let data = redis.snapshots[at].clone();
                redis.restart(data);
            }
            3 => {
                // FLUSHALL, which WATCH detects.
                redis.data = Data::default();
                redis.version += 1;
            }
            4 => {
                redis.data.cursor = None;
                redis.version += 1;
            }
            5 => {
                redis.data.board.clear();
                redis.data.is_string = true;
            }
            // Only after a server has detected the string. Otherwise this would be a board that another program has
            // deleted, which stays deleted.
            6 | 7 if redis.data.rewound => redis.data.is_string = false,
            8 => redis.refuses = !redis.refuses,
            9 if !redis.delayed.is_empty() => {
                let at = self.rng.random_range(0..redis.delayed.len());
                let (run, version, transaction) = redis.delayed.remove(at);
                let _ = redis.execute(run, version, &transaction);
            }
            _ if !redis.data.is_string => {
                let name = format!("foreign {}", self.rng.random_range(0..3));
                redis.data.board.insert(name, 1.0);
            }
            _ => {}
        }
    }

    /// Ends all faults, and lets the servers catch up one by one. Meanwhile delayed transactions arrive.
    async fn end_faults(&mut self) {
        self.redis.lock().unwrap().refuses = false;
        self.catch_up().await;
        self.redis.lock().unwrap().data.is_string = false;
        self.catch_up().await;
    }

    async fn catch_up(&mut self) {
        for number in 0..self.servers.len() {
            let mut server = self.servers[number].take().unwrap();
            for _ in 0..3 {
                server = match server {
                    Server::Idle(mut mirror) => {
                        let task = tokio::spawn(async move {
                            mirror.catch_up().await;
                            mirror
                        });
                        self.until_next_turn(number, task).await
                    }
                    busy => busy,
                };
                while let Server::Busy(task, turn) = server {
                    let _ = turn.send(Fate::Delivered);
                    server = self.until_next_turn(number, task).await;
                }
            }
            self.servers[number] = Some(server);
            let mut redis = self.redis.lock().unwrap();
            for (run, version, transaction) in std::mem::take(&mut redis.delayed) {
                let _ = redis.execute(run, version, &transaction);
            }
        }
    }

    fn assert_equal(&self, seed: u64) {
        let rows = self.database.read_point(|connection| store::rows_above(connection, 0, i64::MAX)).unwrap();
        let scores = rows.into_iter().filter_map(|row| Some((row.username, row.score?)));
        let expected: HashMap<String, f64> = scores.collect();
        let redis = self.redis.lock().unwrap();
        let ours = redis.data.board.iter().filter(|(name, _)| !name.starts_with("foreign"));
        let shown: HashMap<String, f64> = ours.map(|(name, score)| (name.clone(), *score)).collect();
        assert_eq!(shown, expected, "seed {seed}: Redis and the database");
    }
}

#[tokio::test]
async fn redis_equals_the_database_once_the_faults_have_ended() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("M3A3_TEST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("M3A3_TEST_SEEDS").unwrap_or(25),
    };
    for seed in seeds {
        let mut model = Model::new(seed);
        for _ in 0..STEPS {
            model.step().await;
        }
        model.end_faults().await;
        model.assert_equal(seed);
        drop(model.servers);
        model.thread.close().await;
    }
}
