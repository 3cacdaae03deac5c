//! A sorted set: members ordered by score, then by the bytes of the member.
//!
//! The members are stored in buckets of a few hundred. A rank is the sum of the sizes of the previous buckets plus a
//! binary search; an insertion moves the tail of one bucket. With a million members, each takes a few microseconds.

use std::cmp::Ordering;
use std::collections::HashMap;

use bytes::Bytes;

/// A bucket above this size is split in two.
const MAX_BUCKET: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct SortedSet {
    scores: HashMap<Bytes, f64>,
    /// Never empty; their concatenation is ordered.
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

/// The direction of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Lowest score first.
    Ascending,
    /// Highest score first.
    Descending,
}

impl SortedSet {
    pub(crate) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// The number of changes so far.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Sets the score of a member, and returns the previous one. The score must not be NaN; negative zero is stored as
    /// zero.
    pub(crate) fn set(&mut self, member: &[u8], score: f64) -> Option<f64> {
        // Turns negative zero into zero, so that equal scores compare as equal in the total order.
        let score = score + 0.0;
        let before = self.scores.get(member).copied();
        if before == Some(score) {
            return before;
        }
        let member = match before {
            Some(before) => self.take(member, before),
            None => None,
        }
        // A copy: the bytes of a request keep its whole read buffer alive.
        .unwrap_or_else(|| Bytes::copy_from_slice(member));
        self.changes += 1;
        self.scores.insert(member.clone(), score);
        self.put(Entry { score, member });
        before
    }

    /// Removes a member. Returns whether it existed.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let Some(score) = self.scores.remove(member) else { return false };
        self.changes += 1;
        self.take(member, score);
        true
    }

    /// The rank of a member; 0 for the highest score.
    pub(crate) fn reverse_rank(&self, member: &[u8]) -> Option<usize> {
        let score = self.score(member)?;
        Some(self.len() - 1 - self.before(score, member))
    }

    /// At most `count` members from position `first`.
    pub(crate) fn slice(&self, first: usize, count: usize, direction: Direction) -> Vec<(Bytes, f64)> {
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

    /// The bucket of an entry, and its position there, whether the entry exists or not.
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
        if bucket.len() > MAX_BUCKET {
            let upper = bucket.split_off(MAX_BUCKET / 2);
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
        } else if next > 0 && size + next < MAX_BUCKET / 4 {
            // Otherwise a set that has shrunk would keep its many small buckets.
            let upper = self.buckets.remove(at + 1);
            self.buckets[at].extend(upper);
        }
        Some(entry.member)
    }
}

/// The number of complete buckets before position `first`, and the number of entries to skip in the next one.
fn skip<'a>(buckets: impl Iterator<Item = &'a Vec<Entry>>, mut first: usize) -> (usize, usize) {
    let mut buckets_before = 0;
    for bucket in buckets {
        if first < bucket.len() {
            break;
        }
        first -= bucket.len();
        buckets_before += 1;
    }
    (buckets_before, first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_scores_are_ordered_by_member() {
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
        fn it_agrees_with_a_sorted_list(
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
