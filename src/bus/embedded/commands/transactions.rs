//! MULTI, EXEC, DISCARD, WATCH and UNWATCH.
//!
//! A transaction is atomic because EXEC runs all commands under the lock of the store.

use bytes::Bytes;

use super::super::command_error::CommandError;
use super::super::reply::{CommandResult, Reply};
use super::context::{Allowed, Command, Context, Transaction};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("discard", 1, discard).allowed(Allowed::InsideMulti),
    Command::new("exec", 1, exec).allowed(Allowed::InsideMulti),
    Command::new("multi", 1, multi).allowed(Allowed::InsideMulti),
    Command::new("unwatch", 1, unwatch),
    Command::new("watch", -2, watch).allowed(Allowed::InsideMulti),
];

fn multi(context: &mut Context<'_>, _: &[Bytes]) -> CommandResult {
    if context.session.transaction.is_some() {
        return Err(CommandError::NestedMulti);
    }
    context.session.transaction = Some(Transaction::default());
    Ok(Reply::OK)
}

fn discard(context: &mut Context<'_>, _: &[Bytes]) -> CommandResult {
    context.session.transaction.take().ok_or(CommandError::WithoutMulti("DISCARD"))?;
    context.store.keys.watches.forget(context.session.id);
    Ok(Reply::OK)
}

fn exec(context: &mut Context<'_>, _: &[Bytes]) -> CommandResult {
    let transaction = context.session.transaction.take().ok_or(CommandError::WithoutMulti("EXEC"))?;
    let conflict = context.store.keys.watches.forget(context.session.id);
    if transaction.aborted {
        return Err(CommandError::ExecAbort);
    }
    if conflict {
        return Ok(Reply::NullArray);
    }
    let results = transaction.commands.iter().map(|(command, args)| command.execute(context, args));
    Ok(Reply::Array(results.collect()))
}

fn watch(context: &mut Context<'_>, keys: &[Bytes]) -> CommandResult {
    if context.session.transaction.is_some() {
        return Err(CommandError::WatchInsideMulti);
    }
    let watches = &mut context.store.keys.watches;
    if keys.iter().all(|key| watches.watch(context.session.id, key)) {
        Ok(Reply::OK)
    } else {
        Err(CommandError::TransactionTooLarge)
    }
}

fn unwatch(context: &mut Context<'_>, _: &[Bytes]) -> CommandResult {
    context.store.keys.watches.forget(context.session.id);
    Ok(Reply::OK)
}
