//! What a batch of scores goes through: commit, send, and undo where Redis refuses.
//!
//! What Redis may have missed is noted in the database with the commit itself, and [`super::replay`] sends it later. Several
//! processes may do this on one database and one Redis. Each sends absolute scores in the order of its commits, and looks
//! after each sending whether another process has committed a newer score of the same player meanwhile; if so, it sends
//! that one. So whoever sends last sends what was committed last.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::KEY;
use super::scoring::{Answer, Request, ScoreRequest, Scored, ScoringError};
use super::store::{self, Commit, Proposal};
use super::unsent::{self, Earlier, Unsent};
use crate::bus::{Bus, BusError, Change, Changed, SortedSet};
use crate::db::{self, Database, DbError};
use crate::events::LeaderboardUpdate;

/// How long Redis may take for a batch before the answers go out without it.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// One process's part of the leaderboard: what it has committed, and what of that Redis is known to have.
pub(super) struct Ledger {
    pub(super) database: Database,
    pub(super) set: SortedSet,
    /// This process among those on the database.
    pub(super) owner: String,
    /// The Redis that was last met.
    pub(super) redis: Option<String>,
    /// Whether Redis has all that this process has committed, but for what `unverified` says.
    pub(super) earlier: Earlier,
    /// Whether a note in the database says that Redis may miss something.
    pub(super) noted: bool,
    /// Players sent last, of whom another process may have committed a newer score since `seq`.
    pub(super) unverified: Vec<String>,
    /// The last commit that was looked at when these were sent.
    pub(super) seq: i64,
    /// Redis left something unanswered: nobody waits for it until it has answered something small.
    pub(super) silent: bool,
    /// Something could not be sent since the last replay began.
    pub(super) missed: bool,
    /// Why Redis misses something has been logged.
    pub(super) complained: bool,
    /// Who waits for Redis to miss nothing.
    pub(super) awaited_by: Vec<oneshot::Sender<()>>,
}

/// What other processes have committed over what this one has sent; `None` where they have removed the player.
pub(super) type Corrections = Vec<(String, Option<f64>)>;

impl Ledger {
    pub(super) fn new(database: Database, bus: &Bus, owner: String) -> Self {
        let redis = database.read_point(unsent::met_redis).unwrap_or_default();
        let seq = database.read_point(store::last_seq).unwrap_or_default();
        Self {
            database,
            set: bus.sorted_set(KEY),
            owner,
            redis,
            earlier: Earlier::Sent,
            noted: false,
            unverified: Vec::new(),
            seq,
            silent: false,
            missed: false,
            complained: false,
            awaited_by: Vec::new(),
        }
    }

    /// Serves requests in their order, neighbouring scores together. Says whether someone has asked for
    /// [`Ledger::catch_up`].
    pub(super) async fn serve(&mut self, batch: &mut Vec<Request>) -> bool {
        self.meet_first().await;
        let mut asked = false;
        let mut scores = Vec::new();
        for request in batch.drain(..) {
            match request {
                Request::Score(score) => scores.push(score),
                Request::Seed(answer) => {
                    self.score(std::mem::take(&mut scores)).await;
                    // Who asked may have gone away.
                    let _ = answer.send(self.seed().await);
                }
                Request::CatchUp(answer) => {
                    asked = true;
                    self.awaited_by.retain(|waiting| !waiting.is_closed());
                    self.awaited_by.push(answer);
                }
            }
        }
        self.score(scores).await;
        asked
    }

    /// Meets the first Redis of all before the first score, after which it would seem to have lost that score.
    async fn meet_first(&mut self) {
        if self.redis.is_none()
            && !self.is_away()
            && let Ok(Ok((run_id, exists))) = timeout(PATIENCE, self.set.presence()).await
        {
            self.meet(&run_id, exists).await;
        }
    }

    async fn score(&mut self, requests: Vec<ScoreRequest>) {
        if requests.is_empty() {
            return;
        }
        let (proposals, answers) = match self.look_up(requests).await {
            Ok(looked_up) => looked_up,
            Err((answers, error)) => return refuse(answers, &error),
        };
        let names: Vec<String> = proposals.iter().map(|proposal| proposal.name.as_str().to_owned()).collect();
        let (commit, corrections) = match self.commit(proposals).await {
            Ok(committed) => committed,
            Err(error) => return refuse(answers, &error.into()),
        };
        let ranks = match self.send(&commit, corrections, names).await {
            Ok(ranks) => ranks,
            Err(error) => return refuse(answers, &error),
        };
        for ((answer, verdict), rank) in answers.into_iter().zip(commit.verdicts).zip(ranks) {
            let scored = verdict.map(|score| Scored { score, rank }).map_err(ScoringError::Impossible);
            // Who asked may have gone away; the score stands all the same.
            let _ = answer.send(scored);
        }
    }

    /// Commits the proposals, with the note that Redis does not have them yet.
    async fn commit(&mut self, proposals: Vec<Proposal>) -> Result<(Commit, Corrections), DbError> {
        let (owner, earlier, seen) = (self.owner.clone(), self.earlier, self.seq);
        let unverified = self.unverified.clone();
        let committed = self.database.write(move |connection| {
            let commit = store::commit(connection, &proposals)?;
            let corrections = match commit.seq_before == seen {
                true => Vec::new(),
                false => store::changed_since(connection, &unverified, seen)?,
            };
            let removed = corrections.iter().any(|(_, score)| score.is_none());
            let first_seq = match (removed, corrections.is_empty()) {
                (true, _) => 0,
                (false, false) => seen + 1,
                (false, true) => commit.seq_before + 1,
            };
            // A player who was removed cannot be sent again later; emptying the board and sending all does as well.
            let note = Unsent { owner, first_seq, last_seq: commit.seq, reset: removed };
            unsent::note_unsent(connection, &note, earlier, db::now())?;
            Ok((commit, corrections))
        });
        let (commit, corrections) = committed.await.inspect_err(|_| self.miss())?;
        self.noted = true;
        self.seq = commit.seq;
        self.unverified.clear();
        Ok((commit, corrections))
    }

    /// Sends what was committed, and says which rank each of `names` has; none where Redis cannot say.
    async fn send(
        &mut self,
        commit: &Commit,
        corrections: Corrections,
        names: Vec<String>,
    ) -> Result<Vec<Option<u64>>, ScoringError> {
        let unranked = vec![None; names.len()];
        let corrected = !corrections.is_empty();
        let mut change = corrected_by(corrections, |name| !commit.written.contains_key(name));
        change.set.extend(commit.written.iter().map(|(name, written)| (name.clone(), written.score)));
        if change.set.is_empty() && change.remove.is_empty() {
            return Ok(unranked);
        }
        change.ranks_of = names;
        match self.transmit(&change).await {
            // A rank on a board that is not complete means nothing.
            Ok(_) if self.earlier == Earlier::Unsent => Ok(unranked),
            Ok(changed) => Ok(changed.ranks.into_iter().map(|rank| rank.map(|rank| rank + 1)).collect()),
            Err(BusError::Refused(reason)) => {
                self.undo(commit, corrected).await;
                Err(ScoringError::Refused(reason))
            }
            Err(_) => Ok(unranked),
        }
    }

    /// Sends a change with its announcement. Afterwards the ledger knows whether Redis has it.
    pub(super) async fn transmit(&mut self, change: &Change) -> Result<Changed, BusError> {
        if self.is_away() {
            self.miss();
            return Err(BusError::Disconnected);
        }
        let sent = timeout(PATIENCE, self.set.change_and_announce(change, &LeaderboardUpdate::Changed)).await;
        match sent {
            Ok(Ok(changed)) => {
                let sent = change.set.iter().map(|(name, _)| name).chain(&change.remove);
                self.unverified = sent.cloned().collect();
                if self.redis.as_ref() != Some(&changed.run_id) {
                    self.meet(&changed.run_id, changed.existed).await;
                }
                Ok(changed)
            }
            Ok(Err(refused @ BusError::Refused(_))) => Err(refused),
            Ok(Err(error)) => {
                self.fall_silent();
                Err(error)
            }
            Err(_) => {
                self.fall_silent();
                Err(BusError::Disconnected)
            }
        }
    }

    pub(super) fn fall_silent(&mut self) {
        self.silent = true;
        self.miss();
    }

    /// Redis may not have what was committed; the note in the database says so.
    pub(super) fn miss(&mut self) {
        self.earlier = Earlier::Unsent;
        self.missed = true;
    }

    /// Takes a commit back that Redis refused. Where that fails, the note stays, and Redis gets the scores later.
    async fn undo(&mut self, commit: &Commit, corrected: bool) {
        let clear = self.earlier == Earlier::Sent && !corrected;
        let (owner, written) = (self.owner.clone(), commit.written.clone());
        let undone = self.database.write(move |connection| {
            store::undo(connection, &written)?;
            if clear { unsent::note_sent(connection, &owner, i64::MAX) } else { Ok(()) }
        });
        let undone = undone.await;
        if let Err(error) = &undone {
            tracing::error!(%error, "scores that Redis refused could not be taken back; it will get them later");
        }
        if !clear || undone.is_err() {
            self.miss();
        }
    }

    /// Whether there is no point in asking Redis.
    pub(super) fn is_away(&self) -> bool {
        self.silent || !self.set.is_connected()
    }
}

/// The change that corrections make, of those players whom `wanted` says yes to.
pub(super) fn corrected_by(corrections: Corrections, wanted: impl Fn(&str) -> bool) -> Change {
    let mut change = Change::default();
    for (name, score) in corrections.into_iter().filter(|(name, _)| wanted(name)) {
        match score {
            Some(score) => change.set.push((name, score)),
            None => change.remove.push(name),
        }
    }
    change
}

fn refuse(answers: Vec<Answer<Scored>>, error: &ScoringError) {
    for answer in answers {
        // Who asked may have gone away.
        let _ = answer.send(Err(error.clone()));
    }
}
