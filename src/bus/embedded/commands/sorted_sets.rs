//! Commands about sorted sets.

use bytes::Bytes;

use super::super::command_error::CommandError;
use super::super::reply::{CommandResult, Reply};
use super::super::score;
use super::super::sorted_set::{Direction, SortedSet};
use super::context::{Command, Context};
use super::options::{integer, option_name};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("zadd", -4, zadd),
    Command::new("zcard", 2, zcard),
    Command::new("zincrby", 4, zincrby),
    Command::new("zrange", -4, zrange),
    Command::new("zrem", -3, zrem),
    Command::new("zrevrange", -4, zrevrange),
    Command::new("zrevrank", 3, zrevrank),
    Command::new("zscore", 3, zscore),
];

/// The options of ZADD.
#[derive(Default)]
struct AddOptions {
    only_new: bool,
    only_existing: bool,
    only_greater: bool,
    only_less: bool,
    count_changed: bool,
}

impl AddOptions {
    /// Parses the options. Returns the remaining arguments, which are scores and members.
    fn parse(mut args: &[Bytes]) -> (Self, &[Bytes]) {
        let mut options = Self::default();
        while let Some((first, rest)) = args.split_first() {
            match &option_name(first)[..] {
                b"NX" => options.only_new = true,
                b"XX" => options.only_existing = true,
                b"GT" => options.only_greater = true,
                b"LT" => options.only_less = true,
                b"CH" => options.count_changed = true,
                _ => break,
            }
            args = rest;
        }
        (options, args)
    }

    fn check(&self, pairs: &[Bytes]) -> Result<(), CommandError> {
        if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        if self.only_new && self.only_existing {
            return Err(CommandError::XxAndNx);
        }
        if usize::from(self.only_new) + usize::from(self.only_greater) + usize::from(self.only_less) > 1 {
            return Err(CommandError::GtLtNx);
        }
        Ok(())
    }

    /// Whether the score may be set.
    fn allow(&self, before: Option<f64>, score: f64) -> bool {
        let Some(before) = before else { return !self.only_existing };
        !(self.only_new || (self.only_greater && score <= before) || (self.only_less && score >= before))
    }
}

/// `ZADD key [NX|XX] [GT|LT] [CH] score member [score member …]`.
fn zadd(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key, args @ ..] = args else { return Err(CommandError::Syntax) };
    let (options, pairs) = AddOptions::parse(args);
    options.check(pairs)?;
    let pair = |pair: &[Bytes]| match pair {
        [given, member] => Ok((score::parse(given)?, member.clone())),
        _ => Err(CommandError::Syntax),
    };
    let pairs = pairs.chunks(2).map(pair).collect::<Result<Vec<_>, _>>()?;
    context.store.keys.change_sorted(key, |set| {
        let (mut added, mut updated) = (0, 0);
        for (score, member) in pairs {
            let before = set.score(&member);
            if options.allow(before, score) {
                set.set(&member, score);
                added += usize::from(before.is_none());
                updated += usize::from(before.is_some_and(|before| before != score));
            }
        }
        Ok(Reply::count(if options.count_changed { added + updated } else { added }))
    })
}

fn zincrby(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key, by, member] = args else { return Err(CommandError::Syntax) };
    let by = score::parse(by)?;
    context.store.keys.change_sorted(key, |set| {
        let after = set.score(member).map_or(by, |before| before + by);
        if after.is_nan() {
            return Err(CommandError::ScoreNan);
        }
        set.set(member, after);
        Ok(Reply::Double(after))
    })
}

fn zrem(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key, members @ ..] = args else { return Err(CommandError::Syntax) };
    context
        .store
        .keys
        .change_sorted(key, |set| Ok(Reply::count(members.iter().filter(|member| set.remove(member)).count())))
}

fn zcard(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key] = args else { return Err(CommandError::Syntax) };
    Ok(Reply::count(context.store.keys.sorted(key)?.map_or(0, SortedSet::len)))
}

fn zscore(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key, member] = args else { return Err(CommandError::Syntax) };
    let score = context.store.keys.sorted(key)?.and_then(|set| set.score(member));
    Ok(score.map_or(Reply::Null, Reply::Double))
}

fn zrevrank(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key, member] = args else { return Err(CommandError::Syntax) };
    let rank = context.store.keys.sorted(key)?.and_then(|set| set.reverse_rank(member));
    Ok(rank.map_or(Reply::Null, Reply::count))
}

/// `ZRANGE key first last [REV] [WITHSCORES]`. There are no ranges by score or by name.
fn zrange(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    range(context, args, Direction::Ascending, true)
}

fn zrevrange(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    range(context, args, Direction::Descending, false)
}

fn range(context: &Context<'_>, args: &[Bytes], mut direction: Direction, allow_rev: bool) -> CommandResult {
    let [key, first, last, options @ ..] = args else { return Err(CommandError::Syntax) };
    let mut with_scores = false;
    for arg in options {
        match &option_name(arg)[..] {
            b"WITHSCORES" => with_scores = true,
            b"REV" if allow_rev => direction = Direction::Descending,
            _ => return Err(CommandError::Syntax),
        }
    }
    let (first, last) = (integer(first)?, integer(last)?);
    let set = context.store.keys.sorted(key)?;
    let (first, count) = positions(first, last, set.map_or(0, SortedSet::len));
    let members = set.map(|set| set.slice(first, count, direction)).unwrap_or_default();
    Ok(if with_scores {
        Reply::Scored(members)
    } else {
        Reply::Array(members.into_iter().map(|(member, _)| Ok(Reply::Bulk(member))).collect())
    })
}

/// The first position and the number of positions of a range. Negative indexes count from the end.
fn positions(first: i64, last: i64, len: usize) -> (usize, usize) {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let from_end = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    let (first, last) = (from_end(first).clamp(0, len), from_end(last).clamp(-1, len - 1));
    let count = (last - first + 1).max(0);
    (usize::try_from(first).unwrap_or_default(), usize::try_from(count).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_indexes_count_from_the_end_and_are_clamped() {
        assert_eq!(positions(0, -1, 5), (0, 5));
        assert_eq!(positions(-2, -1, 5), (3, 2));
        assert_eq!(positions(3, 1, 5), (3, 0));
        assert_eq!(positions(-99, 99, 5), (0, 5));
        assert_eq!(positions(7, 9, 5).1, 0);
        assert_eq!(positions(0, -1, 0), (0, 0));
        assert_eq!(positions(i64::MIN, i64::MAX, 5), (0, 5));
        assert_eq!(positions(i64::MAX, i64::MIN, 5).1, 0);
    }
}
