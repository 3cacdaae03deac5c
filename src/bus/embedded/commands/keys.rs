//! Commands about keys of any type: whether they exist, and for how long.

use bytes::Bytes;

use super::super::keyspace::Value;
use super::super::reply::{CommandError, CommandResult, Reply, lossy_prefix};
use super::{Command, Context, integer};

pub const COMMANDS: &[Command] = &[
    Command::new("del", -2, del),
    Command::new("exists", -2, exists),
    Command::new("expire", -3, expire),
    Command::new("persist", 2, persist),
    Command::new("pexpire", -3, pexpire),
    Command::new("pttl", 2, pttl),
    Command::new("ttl", 2, ttl),
    Command::new("type", 2, kind),
    Command::new("unlink", -2, del),
];

fn del(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    Ok(Reply::count(args.iter().filter(|key| context.store.keys.remove(key)).count()))
}

fn exists(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    Ok(Reply::count(args.iter().filter(|key| context.store.keys.get(key).is_some()).count()))
}

fn kind(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let value = args.first().and_then(|key| context.store.keys.get(key));
    Ok(Reply::Status(match value {
        None => "none",
        Some(Value::Text(_)) => "string",
        Some(Value::Sorted(_)) => "zset",
    }))
}

fn expire(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    expire_in(context, args, 1000, "expire")
}

fn pexpire(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    expire_in(context, args, 1, "pexpire")
}

fn expire_in(context: &mut Context<'_>, args: &[Bytes], unit: i64, command: &'static str) -> CommandResult {
    let [key, time, options @ ..] = args else { return Err(CommandError::Syntax) };
    if let Some(option) = options.first() {
        return Err(CommandError::UnsupportedOption(lossy_prefix(option, 128)));
    }
    let now = context.store.keys.now();
    let deadline = integer(time)?.checked_mul(unit).and_then(|time| time.checked_add(now));
    let deadline = deadline.ok_or(CommandError::ExpireTime(command))?;
    let found = if deadline <= now {
        context.store.keys.remove(key)
    } else {
        context.store.keys.set_deadline(key, Some(deadline))
    };
    Ok(Reply::Integer(found.into()))
}

fn persist(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let keys = &mut context.store.keys;
    let mortal = args.first().filter(|key| keys.deadline(key).flatten().is_some());
    Ok(Reply::Integer(mortal.is_some_and(|key| keys.set_deadline(key, None)).into()))
}

fn ttl(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    Ok(Reply::Integer(match time_left(context, args) {
        Ok(milliseconds) => (milliseconds + 500) / 1000,
        Err(why_none) => why_none,
    }))
}

fn pttl(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    Ok(Reply::Integer(time_left(context, args).unwrap_or_else(|why_none| why_none)))
}

/// The milliseconds that a key has left, or -2 without the key, -1 without a deadline.
fn time_left(context: &Context<'_>, args: &[Bytes]) -> Result<i64, i64> {
    let keys = &context.store.keys;
    let deadline = args.first().and_then(|key| keys.deadline(key)).ok_or(-2)?.ok_or(-1)?;
    Ok((deadline - keys.now()).max(0))
}
