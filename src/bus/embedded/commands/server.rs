//! Commands about the broker as a whole.

use std::fmt::Write;

use bytes::Bytes;

use super::super::reply::{CommandError, CommandResult, Reply};
use super::connection::VERSION;
use super::{Command, Context, option};

pub const COMMANDS: &[Command] = &[
    Command::new("dbsize", 1, dbsize),
    Command::new("flushall", -1, flush),
    Command::new("flushdb", -1, flush),
    Command::new("info", -1, info),
];

fn dbsize(context: &mut Context<'_>, _: &[Bytes]) -> CommandResult {
    Ok(Reply::count(context.store.keys.len()))
}

fn flush(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    match args {
        [] => {}
        [mode] if matches!(&option(mode)[..], b"SYNC" | b"ASYNC") => {}
        _ => return Err(CommandError::Syntax),
    }
    context.store.keys.clear();
    Ok(Reply::OK)
}

/// `INFO [section …]`, with the few fields that mean something here.
fn info(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let asked: Vec<Vec<u8>> = args.iter().map(|arg| option(arg)).collect();
    let all = |section: &Vec<u8>| matches!(&section[..], b"ALL" | b"DEFAULT" | b"EVERYTHING");
    let store = &context.store;
    let server = format!("redis_version:{VERSION}\r\nredis_mode:standalone\r\nrun_id:{}\r\n", store.run_id);
    let clients = format!("connected_clients:{}\r\n", store.subscribers.connected());
    let (keys, mortal) = (store.keys.len(), store.keys.mortal());
    let keyspace = if keys > 0 { format!("db0:keys={keys},expires={mortal},avg_ttl=0\r\n") } else { String::new() };
    let mut text = String::new();
    for (section, fields) in [("Server", server), ("Clients", clients), ("Keyspace", keyspace)] {
        if asked.is_empty() || asked.iter().any(all) || asked.contains(&option(section.as_bytes())) {
            let gap = if text.is_empty() { "" } else { "\r\n" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{gap}# {section}\r\n{fields}");
        }
    }
    Ok(Reply::Text(text))
}
