//! A model of Redis, and of connections to it whose commands can fail.

use super::*;

/// The content of a Redis.
#[derive(Debug, Clone, Default)]
pub(super) struct Data {
    pub(super) board: BTreeMap<String, f64>,
    pub(super) cursor: Option<String>,
    /// Another program has replaced the board by a string.
    pub(super) is_string: bool,
    /// A server has set the cursor back because of that.
    pub(super) rewound: bool,
}

#[derive(Default)]
pub(super) struct ModelRedis {
    pub(super) data: Data,
    /// Increases with every change that WATCH detects.
    pub(super) version: u64,
    /// Increases with every restart, which closes all connections.
    pub(super) run: u64,
    pub(super) refuses: bool,
    /// Earlier states, to which a snapshot or a lagging replica reverts.
    pub(super) snapshots: Vec<Data>,
    /// Transactions in flight, with the watched run and version.
    pub(super) delayed: Vec<(u64, u64, Transaction)>,
}

impl ModelRedis {
    pub(super) fn restart(&mut self, data: Data) {
        self.data = data;
        self.run += 1;
        self.version += 1;
    }

    pub(super) fn execute(&mut self, run: u64, version: u64, transaction: &Transaction) -> Result<Outcome, BusError> {
        if run != self.run {
            return Err(BusError::Disconnected);
        }
        if self.refuses {
            return Err(BusError::Refused("READONLY You can't write against a read only replica.".to_owned()));
        }
        if version != self.version {
            return Ok(Outcome::Conflict);
        }
        self.version += 1;
        if transaction.clear {
            self.data.board.clear();
            self.data.is_string = false;
        }
        self.data.rewound = self.data.is_string && transaction.set.is_empty() && transaction.remove.is_empty();
        // Redis executes the other commands of a transaction in which one fails.
        self.data.cursor = Some(transaction.cursor.clone());
        if self.data.is_string && !(transaction.set.is_empty() && transaction.remove.is_empty()) {
            return Err(BusError::Refused(format!("{WRONG_TYPE} Operation against a key")));
        }
        self.data.board.extend(transaction.set.iter().cloned());
        self.data.board.retain(|name, _| !transaction.remove.contains(name));
        self.snapshots.push(self.data.clone());
        Ok(Outcome::Executed(Vec::new()))
    }
}

/// The fate of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    /// Not executed, no reply.
    Lost,
    /// Executed, no reply.
    Unanswered,
    /// Executed later, no reply.
    Delayed,
}

pub(super) type Turn = oneshot::Sender<Fate>;

/// The connection of a server. Each command waits for its turn.
pub(super) struct ModelConnection {
    pub(super) redis: Arc<Mutex<ModelRedis>>,
    /// The run and version of the last reading.
    pub(super) watched: Option<(u64, u64)>,
    pub(super) turns: mpsc::UnboundedSender<Turn>,
}

impl ModelConnection {
    pub(super) async fn fate(&self) -> Fate {
        let (turn, fate) = oneshot::channel();
        let _ = self.turns.send(turn);
        fate.await.unwrap_or(Fate::Lost)
    }

    pub(super) fn read(&mut self) -> Reading {
        let redis = self.redis.lock().unwrap();
        self.watched = Some((redis.run, redis.version));
        Reading { cursor: redis.data.cursor.clone(), writable: !redis.data.is_string }
    }
}

impl Guarded for ModelConnection {
    async fn watch(&mut self) -> Result<Reading, BusError> {
        match self.fate().await {
            Fate::Delivered => Ok(self.read()),
            Fate::Lost => {
                self.watched = None;
                Err(BusError::Disconnected)
            }
            Fate::Unanswered | Fate::Delayed => {
                self.watched = None;
                Err(BusError::Timeout)
            }
        }
    }

    async fn execute(
        &mut self,
        transaction: &Transaction,
        _: &(impl Event + Sync),
        _: &[String],
    ) -> Result<(Outcome, Reading), BusError> {
        let fate = self.fate().await;
        let Some((run, version)) = self.watched.take() else { return Err(BusError::Disconnected) };
        match fate {
            Fate::Lost => return Err(BusError::Disconnected),
            Fate::Delayed => {
                self.redis.lock().unwrap().delayed.push((run, version, transaction.clone()));
                return Err(BusError::Timeout);
            }
            Fate::Delivered | Fate::Unanswered => {}
        }
        let outcome = self.redis.lock().unwrap().execute(run, version, transaction);
        if fate == Fate::Unanswered {
            return Err(BusError::Timeout);
        }
        let outcome = outcome?;
        Ok((outcome, self.read()))
    }

    async fn is_answering(&self) -> bool {
        true
    }

    async fn ranks(&mut self, _: &[String]) -> Result<Vec<Option<u64>>, BusError> {
        Ok(Vec::new())
    }
}
