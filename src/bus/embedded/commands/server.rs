//! Commands about the broker as a whole.

use bytes::Bytes;

use super::super::command_error::CommandError;
use super::super::reply::{CommandResult, Reply};
use super::connection::VERSION;
use super::context::{Command, Context};
use super::options::option_name;

pub(super) const COMMANDS: &[Command] = &[Command::new("flushall", -1, flushall), Command::new("info", -1, info)];

fn flushall(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    match args {
        [] => {}
        [mode] if matches!(&option_name(mode)[..], b"SYNC" | b"ASYNC") => {}
        _ => return Err(CommandError::Syntax),
    }
    context.store.keys.clear();
    Ok(Reply::OK)
}

/// `INFO [section …]`. The only section is `server`.
fn info(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let includes_server =
        |section: &Bytes| matches!(&option_name(section)[..], b"SERVER" | b"ALL" | b"DEFAULT" | b"EVERYTHING");
    let text = if args.is_empty() || args.iter().any(includes_server) {
        let run_id = &context.store.run_id;
        format!("# Server\r\nredis_version:{VERSION}\r\nredis_mode:standalone\r\nrun_id:{run_id}\r\n")
    } else {
        String::new()
    };
    Ok(Reply::Text(text))
}
