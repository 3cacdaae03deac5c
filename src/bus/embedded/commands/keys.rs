//! Commands about keys of any type, and about strings.

use bytes::Bytes;

use super::super::command_error::CommandError;
use super::super::keyspace::Value;
use super::super::reply::{CommandResult, Reply};
use super::context::{Command, Context};
use super::options::bulk_or_null;

pub(super) const COMMANDS: &[Command] = &[
    Command::new("del", -2, del),
    Command::new("get", 2, get),
    Command::new("set", -3, set),
    Command::new("type", 2, value_type),
];

fn del(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    Ok(Reply::count(args.iter().filter(|key| context.store.keys.remove(key)).count()))
}

fn get(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key] = args else { return Err(CommandError::Syntax) };
    Ok(bulk_or_null(context.store.keys.text(key)?))
}

/// `SET key value`, without options.
fn set(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let [key, text] = args else { return Err(CommandError::Syntax) };
    context.store.keys.put(key, Value::Text(Bytes::copy_from_slice(text)));
    Ok(Reply::OK)
}

fn value_type(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let value = args.first().and_then(|key| context.store.keys.get(key));
    Ok(Reply::Status(match value {
        None => "none",
        Some(Value::Text(_)) => "string",
        Some(Value::Sorted(_)) => "zset",
    }))
}
