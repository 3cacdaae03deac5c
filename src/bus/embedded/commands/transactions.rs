//! MULTI, EXEC and DISCARD, WATCH and UNWATCH.
//!
//! A transaction is atomic because EXEC runs all of it under the one lock that every command holds.

use bytes::Bytes;

use super::super::reply::{CommandError, CommandResult, Reply};
use super::{Allowed, Command, Context, run};

pub const COMMANDS: &[Command] = &[
    Command::new("discard", 1, discard).allowed(Allowed::InsideMulti),
    Command::new("exec", 1, exec).allowed(Allowed::InsideMulti),
    Command::new("multi", 1, multi).allowed(Allowed::InsideMulti),
    Command::new("unwatch", 1, unwatch),
    Command::new("watch", -2, watch).allowed(Allowed::InsideMulti),
];

/// The most commands that wait for EXEC.
const MAX_COMMANDS: usize = 10_000;
/// The most bytes that their args have together.
const MAX_BYTES: usize = 4 << 20;

/// The commands since MULTI.
#[derive(Default)]
pub struct Transaction {
    commands: Vec<(&'static Command, Vec<Bytes>)>,
    bytes: usize,
    spoilt: bool,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { commands, bytes, spoilt } = self;
        write!(f, "Transaction {{ commands: {}, bytes: {bytes}, spoilt: {spoilt} }}", commands.len())
    }
}

impl Transaction {
    /// A command was refused: EXEC will run nothing.
    pub fn spoil(&mut self) {
        // Nothing of it will run, so nothing of it needs to be kept.
        *self = Self { spoilt: true, ..Self::default() };
    }

    /// Keeps a command for EXEC.
    pub fn queue(&mut self, command: &'static Command, args: Vec<Bytes>) -> CommandResult {
        self.bytes += args.iter().map(Bytes::len).sum::<usize>();
        if self.commands.len() >= MAX_COMMANDS || self.bytes > MAX_BYTES {
            self.spoil();
            return Err(CommandError::TransactionTooLarge);
        }
        if !self.spoilt {
            self.commands.push((command, args));
        }
        Ok(Reply::Status("QUEUED"))
    }
}

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
    if transaction.spoilt {
        return Err(CommandError::ExecAbort);
    }
    if conflict {
        return Ok(Reply::NullArray);
    }
    let results = transaction.commands.iter().map(|(command, args)| run(context, command, args));
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
