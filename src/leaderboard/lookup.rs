//! What is looked up before a score is committed: what Redis holds for players of other programs.

use tokio::time::timeout;

use super::ledger::{Ledger, PATIENCE};
use super::scoring::{Answer, ScoreRequest, Scored, ScoringError};
use super::store::{self, Mode, Proposal};
use crate::bus::BusError;
use crate::ids::{Score, Username};

impl Ledger {
    /// Asks Redis for the scores of players whom we have no row of, where they count.
    pub(super) async fn look_up(
        &mut self,
        requests: Vec<ScoreRequest>,
    ) -> Result<(Vec<Proposal>, Vec<Answer<Scored>>), (Vec<Answer<Scored>>, ScoringError)> {
        let relative = requests.iter().filter(|request| request.mode != Mode::Set);
        let relative: Vec<String> = relative.map(|request| request.name.as_str().to_owned()).collect();
        let found = self.foreign_scores(relative).await;
        let mut answers = Vec::with_capacity(requests.len());
        let mut proposals = Vec::with_capacity(requests.len());
        for ScoreRequest { name, mode, score, answer } in requests {
            answers.push(answer);
            proposals.push(Proposal { name, mode, score, in_redis: None });
        }
        let found = match found {
            Ok(found) => found,
            Err(error) => return Err((answers, error)),
        };
        for (name, score) in found {
            for proposal in proposals.iter_mut().filter(|proposal| proposal.name == name) {
                proposal.in_redis = Some(score);
            }
        }
        Ok((proposals, answers))
    }

    /// What Redis holds for those of the players whom we have no row of; nothing while it is away.
    async fn foreign_scores(&mut self, names: Vec<String>) -> Result<Vec<(Username, Score)>, ScoringError> {
        if names.is_empty() || self.is_away() {
            return Ok(Vec::new());
        }
        let unknown = self.database.read_point(|connection| store::unknown(connection, names))?;
        if unknown.is_empty() {
            return Ok(Vec::new());
        }
        let scores = match timeout(PATIENCE, self.set.scores(unknown.clone())).await {
            Ok(Ok(scores)) => scores,
            Ok(Err(BusError::Refused(reason))) => return Err(ScoringError::Refused(reason)),
            Ok(Err(_)) | Err(_) => {
                self.silent = true;
                return Ok(Vec::new());
            }
        };
        let known = unknown.into_iter().zip(scores);
        Ok(known.filter_map(|(name, score)| Some((name.parse().ok()?, Score::nearest(score?)))).collect())
    }
}
