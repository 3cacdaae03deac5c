//! A sorted set: members with scores, in the order of score, then of the member's bytes.
//!
//! Owns the order statistics. The members stand in buckets of a few hundred, so that a rank is the sizes of the buckets
//! before it plus a binary search, and an insertion moves one bucket's tail. At a million members that is a few
//! microseconds, from either end and in the middle.

use std::cmp::Ordering;
use std::collections::HashMap;

use bytes::Bytes;

/// A full bucket is split in two.
const BUCKET: usize = 512;

/// Members with scores in their order.
#[derive(Debug, Default)]
pub struct SortedSet {
    scores: HashMap<Bytes, f64>,
    /// None of them empty; the concatenation is in order.
    buckets: Vec<Vec<Entry>>,
    changes: u64,
}

#[derive(Debug)]
struct Entry {
    score: f64,
    member: Bytes,
}

impl Entry {
    fn order(&self, score: f64, member: &[u8]) -> Ordering {
        self.score.total_cmp(&score).then_with(|| self.member[..].cmp(member))
    }
}

/// The direction in which members are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Lowest score first.
    Ascending,
    /// Highest score first.
    Descending,
}

impl SortedSet {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Counts the calls that changed something.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// A member's score.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Sets a member's score, which is not NaN; negative zero is stored as zero. Returns the score it had.
    pub fn set(&mut self, member: &[u8], score: f64) -> Option<f64> {
        // Negative zero plus zero is zero: one zero keeps the order total.
        let score = score + 0.0;
        let before = self.scores.get(member).copied();
        if before == Some(score) {
            return before;
        }
        let member = match before {
            Some(before) => self.take(member, before),
            None => None,
        }
        // A copy of its own: the bytes of a request belong to a whole read buffer.
        .unwrap_or_else(|| Bytes::copy_from_slice(member));
        self.changes += 1;
        self.scores.insert(member.clone(), score);
        self.put(Entry { score, member });
        before
    }

    /// Removes a member; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let Some(score) = self.scores.remove(member) else { return false };
        self.changes += 1;
        self.take(member, score);
        true
    }

    /// A member's rank, 0 for the highest score.
    pub fn reverse_rank(&self, member: &[u8]) -> Option<usize> {
        let score = self.score(member)?;
        Some(self.len() - 1 - self.before(score, member))
    }

    /// At most `count` members from position `first` on, in that direction.
    pub fn slice(&self, first: usize, count: usize, direction: Direction) -> Vec<(Bytes, f64)> {
        let pair = |entry: &Entry| (entry.member.clone(), entry.score);
        match direction {
            Direction::Ascending => {
                let (bucket, skipped) = skip(self.buckets.iter(), first);
                self.buckets[bucket..].iter().flatten().skip(skipped).take(count).map(pair).collect()
            }
            Direction::Descending => {
                let (bucket, skipped) = skip(self.buckets.iter().rev(), first);
                let buckets = self.buckets.iter().rev().skip(bucket);
                buckets.flat_map(|bucket| bucket.iter().rev()).skip(skipped).take(count).map(pair).collect()
            }
        }
    }

    /// How many members come before this position in ascending order.
    fn before(&self, score: f64, member: &[u8]) -> usize {
        let (bucket, place) = self.locate(score, member);
        self.buckets[..bucket].iter().map(Vec::len).sum::<usize>() + place
    }

    /// The bucket where this entry is or belongs, and its place there.
    fn locate(&self, score: f64, member: &[u8]) -> (usize, usize) {
        let low = |entry: &Entry| entry.order(score, member) == Ordering::Less;
        let bucket = self.buckets.partition_point(|bucket| bucket.last().is_some_and(low));
        let bucket = bucket.min(self.buckets.len().saturating_sub(1));
        (bucket, self.buckets.get(bucket).map_or(0, |bucket| bucket.partition_point(low)))
    }

    fn put(&mut self, entry: Entry) {
        let (at, place) = self.locate(entry.score, &entry.member);
        let Some(bucket) = self.buckets.get_mut(at) else {
            self.buckets.push(vec![entry]);
            return;
        };
        bucket.insert(place, entry);
        if bucket.len() > BUCKET {
            let upper = bucket.split_off(BUCKET / 2);
            self.buckets.insert(at + 1, upper);
        }
    }

    fn take(&mut self, member: &[u8], score: f64) -> Option<Bytes> {
        let (at, place) = self.locate(score, member);
        let bucket = self.buckets.get_mut(at).filter(|bucket| place < bucket.len())?;
        let entry = bucket.remove(place);
        let size = bucket.len();
        let next = self.buckets.get(at + 1).map_or(0, Vec::len);
        if size == 0 {
            self.buckets.remove(at);
        } else if next > 0 && size + next < BUCKET / 4 {
            // Without this, a set that shrank would keep as many buckets as it ever had.
            let upper = self.buckets.remove(at + 1);
            self.buckets[at].extend(upper);
        }
        Some(entry.member)
    }
}

/// How many whole buckets come before position `first`, and how many entries remain to be skipped in the next.
fn skip<'a>(buckets: impl Iterator<Item = &'a Vec<Entry>>, mut first: usize) -> (usize, usize) {
    let mut whole = 0;
    for bucket in buckets {
        if first < bucket.len() {
            break;
        }
        first -= bucket.len();
        whole += 1;
    }
    (whole, first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_scores_stand_in_the_order_of_their_members() {
        let mut set = SortedSet::default();
        for (member, score) in [("b", 1.0), ("a", 1.0), ("c", 0.5), ("z", -0.0), ("y", 0.0)] {
            set.set(member.as_bytes(), score);
        }
        let members = |direction| -> String {
            let slice = set.slice(0, 9, direction);
            slice.iter().map(|(member, _)| String::from_utf8_lossy(member).into_owned()).collect()
        };
        assert_eq!(members(Direction::Ascending), "yzcab");
        assert_eq!(members(Direction::Descending), "baczy");
        assert_eq!(set.reverse_rank(b"b"), Some(0));
        assert_eq!(set.reverse_rank(b"c"), Some(2));
    }

    proptest! {
        #[test]
        fn it_agrees_with_sorting_everything_each_time(
            steps in proptest::collection::vec((0u16..900, -50i32..50, any::<bool>()), 1..3000)
        ) {
            let mut set = SortedSet::default();
            let mut plain = BTreeMap::new();
            for (member, score, keep) in steps {
                let member = format!("m{member}").into_bytes();
                if keep {
                    prop_assert_eq!(set.set(&member, score.into()), plain.insert(member, f64::from(score)));
                } else {
                    prop_assert_eq!(set.remove(&member), plain.remove(&member).is_some());
                }
            }
            let mut order: Vec<(f64, Vec<u8>)> = plain.into_iter().map(|(member, score)| (score, member)).collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
            prop_assert_eq!(set.len(), order.len());
            for (rank, (_, member)) in order.iter().enumerate() {
                prop_assert_eq!(set.reverse_rank(member), Some(order.len() - 1 - rank));
            }
            for first in [0, 1, order.len() / 2, order.len()] {
                let slice = set.slice(first, 5, Direction::Descending);
                let expected = order.iter().rev().skip(first).take(5);
                prop_assert!(slice.iter().map(|(member, score)| (*score, member.to_vec())).eq(expected.cloned()));
                let slice = set.slice(first, 700, Direction::Ascending);
                let expected = order.iter().skip(first).take(700);
                prop_assert!(slice.iter().map(|(member, score)| (*score, member.to_vec())).eq(expected.cloned()));
            }
        }
    }
}
