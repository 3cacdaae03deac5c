//! Commands about strings.

use bytes::Bytes;

use super::super::keyspace::Value;
use super::super::reply::{CommandError, CommandResult, Reply};
use super::{Command, Context, bulk_or_null, integer, option};

pub const COMMANDS: &[Command] = &[
    Command::new("get", 2, get),
    Command::new("incr", 2, incr),
    Command::new("incrby", 3, incr),
    Command::new("set", -3, set),
];

fn get(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key] = args else { return Err(CommandError::Syntax) };
    Ok(bulk_or_null(context.store.keys.text(key)?))
}

/// What SET's options ask for.
#[derive(Default)]
struct SetOptions {
    /// Only if the key is missing (`Some(false)`) or there (`Some(true)`).
    only_if_there: Option<bool>,
    /// Milliseconds to live.
    time: Option<i64>,
}

impl SetOptions {
    fn parse(mut args: &[Bytes]) -> Result<Self, CommandError> {
        let mut options = Self::default();
        while let Some((first, mut rest)) = args.split_first() {
            let unit = match &option(first)[..] {
                b"NX" if options.only_if_there != Some(true) => {
                    options.only_if_there = Some(false);
                    None
                }
                b"XX" if options.only_if_there != Some(false) => {
                    options.only_if_there = Some(true);
                    None
                }
                b"EX" if options.time.is_none() => Some(1000),
                b"PX" if options.time.is_none() => Some(1),
                _ => return Err(CommandError::Syntax),
            };
            if let Some(unit) = unit {
                let (time, behind) = rest.split_first().ok_or(CommandError::Syntax)?;
                let time = integer(time)?.checked_mul(unit).filter(|time| *time > 0);
                options.time = Some(time.ok_or(CommandError::ExpireTime("set"))?);
                rest = behind;
            }
            args = rest;
        }
        Ok(options)
    }
}

fn set(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key, text, options @ ..] = args else { return Err(CommandError::Syntax) };
    let options = SetOptions::parse(options)?;
    let keys = &mut context.store.keys;
    let deadline = match options.time {
        None => None,
        Some(time) => Some(keys.now().checked_add(time).ok_or(CommandError::ExpireTime("set"))?),
    };
    if options.only_if_there.is_some_and(|there| there != keys.get(key).is_some()) {
        return Ok(Reply::Null);
    }
    keys.put(key, Value::Text(Bytes::copy_from_slice(text)), deadline);
    Ok(Reply::OK)
}

/// `INCR key` and `INCRBY key number`.
fn incr(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key, rest @ ..] = args else { return Err(CommandError::Syntax) };
    let by = rest.first().map_or(Ok(1), |by| integer(by))?;
    let keys = &mut context.store.keys;
    let before = keys.text(key)?.map_or(Ok(0), |text| integer(text))?;
    let after = before.checked_add(by).ok_or(CommandError::Overflow)?;
    keys.replace(key, Value::Text(after.to_string().into()));
    Ok(Reply::Integer(after))
}
