//! Commands about sorted sets.

use bytes::Bytes;

use super::super::reply::{CommandError, CommandResult, Reply};
use super::super::score;
use super::super::sorted_set::{Direction, SortedSet};
use super::{Command, Context, integer, option};

pub const COMMANDS: &[Command] = &[
    Command::new("zadd", -4, zadd),
    Command::new("zcard", 2, zcard),
    Command::new("zcount", 4, zcount),
    Command::new("zincrby", 4, zincrby),
    Command::new("zmscore", -3, zmscore),
    Command::new("zrange", -4, zrange),
    Command::new("zrank", 3, zrank),
    Command::new("zrem", -3, zrem),
    Command::new("zrevrange", -4, zrevrange),
    Command::new("zrevrank", 3, zrevrank),
    Command::new("zscore", 3, zscore),
];

/// What ZADD's options ask for.
#[derive(Default)]
struct AddOptions {
    only_new: bool,
    only_there: bool,
    only_greater: bool,
    only_less: bool,
    count_changed: bool,
    increment: bool,
}

impl AddOptions {
    /// Reads the options; the rest are the scores and members.
    fn parse(mut args: &[Bytes]) -> (Self, &[Bytes]) {
        let mut options = Self::default();
        while let Some((first, rest)) = args.split_first() {
            match &option(first)[..] {
                b"NX" => options.only_new = true,
                b"XX" => options.only_there = true,
                b"GT" => options.only_greater = true,
                b"LT" => options.only_less = true,
                b"CH" => options.count_changed = true,
                b"INCR" => options.increment = true,
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
        if self.only_new && self.only_there {
            return Err(CommandError::XxAndNx);
        }
        if usize::from(self.only_new) + usize::from(self.only_greater) + usize::from(self.only_less) > 1 {
            return Err(CommandError::GtLtNx);
        }
        if self.increment && pairs.len() > 2 {
            return Err(CommandError::IncrSinglePair);
        }
        Ok(())
    }

    /// The score to set, if the options let it be set.
    fn admit(&self, before: Option<f64>, given: f64) -> Result<Option<f64>, CommandError> {
        let Some(before) = before else { return Ok((!self.only_there).then_some(given)) };
        if self.only_new {
            return Ok(None);
        }
        let after = if self.increment { sum(before, given)? } else { given };
        let refused = (self.only_greater && after <= before) || (self.only_less && after >= before);
        Ok((!refused).then_some(after))
    }
}

/// `ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member …]`.
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
        let (mut added, mut updated, mut last) = (0, 0, None);
        for (given, member) in pairs {
            let before = set.score(&member);
            let Some(after) = options.admit(before, given)? else { continue };
            set.set(&member, after);
            added += usize::from(before.is_none());
            updated += usize::from(before.is_some_and(|before| before != after));
            last = Some(after);
        }
        Ok(match (options.increment, last) {
            (true, Some(after)) => Reply::Double(after),
            (true, None) => Reply::Null,
            (false, _) => Reply::count(if options.count_changed { added + updated } else { added }),
        })
    })
}

fn zincrby(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key, by, member] = args else { return Err(CommandError::Syntax) };
    let by = score::parse(by)?;
    context.store.keys.change_sorted(key, |set| {
        let after = set.score(member).map_or(Ok(by), |before| sum(before, by))?;
        set.set(member, after);
        Ok(Reply::Double(after))
    })
}

fn sum(before: f64, by: f64) -> Result<f64, CommandError> {
    let after = before + by;
    if after.is_nan() { Err(CommandError::ScoreNan) } else { Ok(after) }
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
    Ok(score_of(context.store.keys.sorted(key)?, member))
}

fn zmscore(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key, members @ ..] = args else { return Err(CommandError::Syntax) };
    let set = context.store.keys.sorted(key)?;
    Ok(Reply::Array(members.iter().map(|member| Ok(score_of(set, member))).collect()))
}

fn score_of(set: Option<&SortedSet>, member: &[u8]) -> Reply {
    set.and_then(|set| set.score(member)).map_or(Reply::Null, Reply::Double)
}

fn zrank(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    rank(context, args, Direction::Ascending)
}

fn zrevrank(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    rank(context, args, Direction::Descending)
}

fn rank(context: &Context<'_>, args: &[Bytes], direction: Direction) -> CommandResult {
    let [key, member] = args else { return Err(CommandError::Syntax) };
    let rank = context.store.keys.sorted(key)?.and_then(|set| set.rank(member, direction));
    Ok(rank.map_or(Reply::Null, Reply::count))
}

/// `ZCOUNT key min max`, where `(` before a bound leaves it out.
fn zcount(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key, min, max] = args else { return Err(CommandError::Syntax) };
    let ((min, min_out), (max, max_out)) = (bound(min)?, bound(max)?);
    let Some(set) = context.store.keys.sorted(key)? else { return Ok(Reply::Integer(0)) };
    let below = set.before_score(|score| score < min || (min_out && score == min));
    let up_to = set.before_score(|score| score < max || (!max_out && score == max));
    Ok(Reply::count(up_to.saturating_sub(below)))
}

fn bound(arg: &[u8]) -> Result<(f64, bool), CommandError> {
    let (number, left_out) = arg.strip_prefix(b"(").map_or((arg, false), |number| (number, true));
    Ok((score::parse(number).map_err(|_| CommandError::BoundNotAFloat)?, left_out))
}

/// `ZRANGE key first last [REV] [WITHSCORES]`; ranges by score and by name are not there.
fn zrange(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    range(context, args, Direction::Ascending, true)
}

fn zrevrange(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    range(context, args, Direction::Descending, false)
}

fn range(context: &Context<'_>, args: &[Bytes], mut direction: Direction, may_turn: bool) -> CommandResult {
    let [key, first, last, options @ ..] = args else { return Err(CommandError::Syntax) };
    let mut with_scores = false;
    for arg in options {
        match &option(arg)[..] {
            b"WITHSCORES" => with_scores = true,
            b"REV" if may_turn => direction = Direction::Descending,
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

/// The first position and the number of positions from `first` to `last`, which count from the end when negative.
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
    fn positions_count_from_both_ends_and_stay_inside() {
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
