//! What commands work on: the shared store, the session of a connection, and its open transaction.

use std::fmt;

use bytes::Bytes;

use super::super::command_error::CommandError;
use super::super::keyspace::Keyspace;
use super::super::reply::{CommandResult, Protocol, Reply};
use super::super::subscribers::{ClientId, Subscribers};

/// The most commands in one transaction.
const MAX_COMMANDS: usize = 10_000;
/// The most bytes of arguments in one transaction.
const MAX_BYTES: usize = 4 << 20;

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) keys: Keyspace,
    pub(crate) subscribers: Subscribers,
    /// Empty if no password is required.
    pub(crate) password: String,
    /// Random for each start, so that clients can detect that the broker has lost its data.
    pub(crate) run_id: String,
}

impl Store {
    pub(crate) fn new(password: String, run_id: String) -> Self {
        Self { keys: Keyspace::default(), subscribers: Subscribers::default(), password, run_id }
    }
}

/// The state of a connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: ClientId,
    /// Always true if no password is required.
    pub(crate) authenticated: bool,
    pub(crate) protocol: Protocol,
    /// The commands since MULTI.
    pub(crate) transaction: Option<Transaction>,
    /// Whether to close the connection after the reply.
    pub(crate) quit: bool,
}

/// The arguments of every command function.
pub(crate) struct Context<'a> {
    /// Locked, so that each command is atomic.
    pub(crate) store: &'a mut Store,
    pub(crate) session: &'a mut Session,
}

/// A command of the dispatch table.
pub(crate) struct Command {
    /// In lower case, with a subcommand after `|`.
    pub(super) name: &'static str,
    /// The number of arguments, the name included; negative for a minimum.
    pub(super) arity: i8,
    pub(super) allowed: Allowed,
    run: fn(&mut Context<'_>, &[Bytes]) -> CommandResult,
}

/// Where a command is allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// After authentication, but not on a RESP2 connection with subscriptions; queued inside MULTI.
    Usually,
    /// Also before authentication.
    BeforeAuth,
    /// Also on a RESP2 connection with subscriptions.
    WhileSubscribed,
    /// Rejected inside MULTI, allowed on a RESP2 connection with subscriptions.
    OutsideMultiOnly,
    /// Executed immediately inside MULTI.
    InsideMulti,
    Always,
}

impl Command {
    pub(super) const fn new(
        name: &'static str,
        arity: i8,
        run: fn(&mut Context<'_>, &[Bytes]) -> CommandResult,
    ) -> Self {
        Self { name, arity, allowed: Allowed::Usually, run }
    }

    pub(super) const fn allowed(mut self, allowed: Allowed) -> Self {
        self.allowed = allowed;
        self
    }

    /// The number of arguments that form the name.
    pub(super) fn name_len(&self) -> usize {
        if self.name.contains('|') { 2 } else { 1 }
    }

    /// Executes the command. `args` starts with its name.
    pub(super) fn execute(&self, context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
        (self.run)(context, args.get(self.name_len()..).unwrap_or_default())
    }
}

/// The commands since MULTI.
#[derive(Default)]
pub(crate) struct Transaction {
    pub(super) commands: Vec<(&'static Command, Vec<Bytes>)>,
    bytes: usize,
    /// A command was rejected, so that EXEC must fail.
    pub(super) aborted: bool,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commands, bytes, aborted } = self;
        write!(f, "Transaction {{ commands: {}, bytes: {bytes}, aborted: {aborted} }}", commands.len())
    }
}

impl Transaction {
    /// Marks the transaction as failed, and drops its commands.
    pub(super) fn abort(&mut self) {
        *self = Self { aborted: true, ..Self::default() };
    }

    /// Stores a command until EXEC.
    pub(super) fn queue(&mut self, command: &'static Command, args: Vec<Bytes>) -> CommandResult {
        self.bytes += args.iter().map(Bytes::len).sum::<usize>();
        if self.commands.len() >= MAX_COMMANDS || self.bytes > MAX_BYTES {
            self.abort();
            return Err(CommandError::TransactionTooLarge);
        }
        if !self.aborted {
            self.commands.push((command, args));
        }
        Ok(Reply::Status("QUEUED"))
    }
}
