//! The command table and its dispatch.
//!
//! Owns the order of the checks before a command runs, which is that of Redis. Each family of commands has a file that
//! lists its commands.

mod connection;
mod context;
mod keys;
mod options;
mod pubsub;
mod server;
mod sorted_sets;
mod transactions;

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;

use super::command_error::{CommandError, MAX_ECHOED, lossy_prefix};
use super::reply::{CommandResult, Protocol};
use context::{Allowed, Command};
pub(crate) use context::{Context, Session, Store};

static COMMANDS: LazyLock<HashMap<&str, &Command>> = LazyLock::new(|| {
    let families = [
        connection::COMMANDS,
        keys::COMMANDS,
        pubsub::COMMANDS,
        server::COMMANDS,
        sorted_sets::COMMANDS,
        transactions::COMMANDS,
    ];
    families.into_iter().flatten().map(|command| (command.name, command)).collect()
});

/// Executes a request, queues it inside MULTI, or rejects it.
pub(crate) fn execute(context: &mut Context<'_>, args: Vec<Bytes>) -> CommandResult {
    let command = match check(context, &args) {
        Ok(command) => command,
        Err(error) => return Err(reject(context, &args, error)),
    };
    let immediate = matches!(command.allowed, Allowed::InsideMulti | Allowed::Always);
    match &mut context.session.transaction {
        Some(transaction) if !immediate => transaction.queue(command, args),
        _ => command.execute(context, &args),
    }
}

/// Applies a rejected request to the open transaction, and returns the error for the client.
fn reject(context: &mut Context<'_>, args: &[Bytes], error: CommandError) -> CommandError {
    if args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"exec")) {
        context.session.transaction = None;
        context.store.keys.watches.forget(context.session.id);
        return CommandError::ExecRejected(Box::new(error));
    }
    if let Some(transaction) = &mut context.session.transaction {
        transaction.abort();
    }
    error
}

/// Finds the command of a request, and checks that it is allowed.
fn check(context: &Context<'_>, args: &[Bytes]) -> Result<&'static Command, CommandError> {
    let command = find(args)?;
    let (least, exact) = (usize::from(command.arity.unsigned_abs()), command.arity > 0);
    if args.len() < least || (exact && args.len() > least) {
        return Err(CommandError::Arity(command.name));
    }
    let session = &context.session;
    if !session.authenticated && !matches!(command.allowed, Allowed::BeforeAuth | Allowed::Always) {
        return Err(CommandError::NoAuth);
    }
    let subscribed = session.protocol == Protocol::Resp2 && context.store.subscribers.subscriptions(session.id) > 0;
    let while_subscribed =
        matches!(command.allowed, Allowed::WhileSubscribed | Allowed::OutsideMultiOnly | Allowed::Always);
    if subscribed && !while_subscribed {
        return Err(CommandError::Subscribed(command.name));
    }
    if session.transaction.is_some() && command.allowed == Allowed::OutsideMultiOnly {
        return Err(CommandError::NotInTransaction);
    }
    Ok(command)
}

fn find(args: &[Bytes]) -> Result<&'static Command, CommandError> {
    let lower = |arg: &Bytes| String::from_utf8_lossy(arg).to_ascii_lowercase();
    let Some((first, rest)) = args.split_first() else { return Err(unknown_command(args)) };
    let name = lower(first);
    let Some(command) = COMMANDS.get(name.as_str()).filter(|command| command.name_len() == 1) else {
        return Err(unknown_command(args));
    };
    let Some(second) = rest.first().filter(|_| is_container(&name)) else { return Ok(command) };
    let full = format!("{name}|{}", lower(second));
    COMMANDS.get(full.as_str()).copied().ok_or_else(|| CommandError::UnknownSubcommand {
        name: lossy_prefix(second, MAX_ECHOED),
        container: name.to_ascii_uppercase(),
    })
}

/// Whether a command has only subcommands.
fn is_container(name: &str) -> bool {
    matches!(name, "client" | "pubsub")
}

fn unknown_command(args: &[Bytes]) -> CommandError {
    let (name, args) =
        args.split_first().map(|(name, args)| (lossy_prefix(name, MAX_ECHOED), args)).unwrap_or_default();
    let mut beginning = String::new();
    for arg in args {
        if beginning.len() >= MAX_ECHOED {
            break;
        }
        let arg = lossy_prefix(arg, MAX_ECHOED - beginning.len());
        beginning.push_str(&format!("'{arg}' "));
    }
    CommandError::UnknownCommand { name, beginning }
}
