//! The commands: what each is called, how many args it has, where it is allowed, and what it does.
//!
//! Owns the table and the order of the checks before a command runs, which is Redis' order. Each family of commands is
//! one file that lists its own.

mod connection;
mod keys;
mod pubsub;
mod server;
mod sorted_sets;
mod transactions;

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;

use super::keyspace::Keyspace;
use super::reply::{CommandError, CommandResult, Protocol, Reply, lossy_prefix};
use super::request;
use super::subscribers::{ClientId, Subscribers};
pub use transactions::Transaction;

/// Everything that the connections share.
#[derive(Debug)]
pub struct Store {
    /// The keys.
    pub keys: Keyspace,
    /// The clients and their subscriptions.
    pub subscribers: Subscribers,
    /// What AUTH asks for; empty when there is no password.
    pub password: String,
    /// Random for each start, so that clients can tell that everything before was lost.
    pub run_id: String,
}

/// What a connection knows about itself.
#[derive(Debug)]
pub struct Session {
    /// Its number.
    pub id: ClientId,
    /// Whether it has given the password, or needs none.
    pub authenticated: bool,
    /// The protocol of its replies.
    pub protocol: Protocol,
    /// The commands since MULTI.
    pub transaction: Option<Transaction>,
    /// Whether to close it after the reply.
    pub quit: bool,
}

/// What a command works on.
pub struct Context<'a> {
    /// What is shared; locked, so that a command is atomic.
    pub store: &'a mut Store,
    /// The connection that the command came on.
    pub session: &'a mut Session,
}

/// A command.
pub struct Command {
    /// Its name in small letters, with a subcommand behind `|`.
    name: &'static str,
    /// How many args it has, its name included; negative for at least so many.
    arity: i8,
    /// Where it is allowed beyond the usual.
    allowed: Allowed,
    /// What it does with the args behind its name.
    run: fn(&mut Context<'_>, &[Bytes]) -> CommandResult,
}

/// Where a command is allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// After the password, outside of a RESP2 subscription; queued inside MULTI.
    Usually,
    /// Before the password too.
    BeforeAuth,
    /// In a RESP2 subscription too.
    WhileSubscribed,
    /// Refused inside MULTI, allowed in a RESP2 subscription.
    OutsideMultiOnly,
    /// Run at once inside MULTI.
    InsideMulti,
    /// At any time.
    Always,
}

impl Command {
    const fn new(name: &'static str, arity: i8, run: fn(&mut Context<'_>, &[Bytes]) -> CommandResult) -> Self {
        Self { name, arity, allowed: Allowed::Usually, run }
    }

    const fn allowed(mut self, allowed: Allowed) -> Self {
        self.allowed = allowed;
        self
    }

    /// How many args its name has.
    fn name_len(&self) -> usize {
        if self.name.contains('|') { 2 } else { 1 }
    }
}

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

/// Runs a request, or queues it inside MULTI, or refuses it.
pub fn execute(context: &mut Context<'_>, args: Vec<Bytes>) -> CommandResult {
    let command = match admit(context, &args) {
        Ok(command) => command,
        Err(error) => return Err(refused(context, &args, error)),
    };
    let at_once = matches!(command.allowed, Allowed::InsideMulti | Allowed::Always);
    match &mut context.session.transaction {
        Some(transaction) if !at_once => transaction.queue(command, args),
        _ => run(context, command, &args),
    }
}

/// What a error means for the transaction that the connection may be in.
fn refused(context: &mut Context<'_>, args: &[Bytes], error: CommandError) -> CommandError {
    if args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"exec")) {
        context.session.transaction = None;
        context.store.keys.watches.forget(context.session.id);
        return CommandError::ExecRefused(Box::new(error));
    }
    if let Some(transaction) = &mut context.session.transaction {
        transaction.spoil();
    }
    error
}

/// Runs an admitted command.
fn run(context: &mut Context<'_>, command: &Command, args: &[Bytes]) -> CommandResult {
    (command.run)(context, args.get(command.name_len()..).unwrap_or_default())
}

/// Finds the command of a request and checks that it may run here.
fn admit(context: &Context<'_>, args: &[Bytes]) -> Result<&'static Command, CommandError> {
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
    let listener = matches!(command.allowed, Allowed::WhileSubscribed | Allowed::OutsideMultiOnly | Allowed::Always);
    if subscribed && !listener {
        return Err(CommandError::Subscribed(command.name));
    }
    if session.transaction.is_some() && command.allowed == Allowed::OutsideMultiOnly {
        return Err(CommandError::NotInTransaction);
    }
    Ok(command)
}

fn find(args: &[Bytes]) -> Result<&'static Command, CommandError> {
    let lower = |arg: &Bytes| String::from_utf8_lossy(arg).to_ascii_lowercase();
    let Some((first, rest)) = args.split_first() else { return Err(unknown(args)) };
    let name = lower(first);
    let Some(command) = COMMANDS.get(name.as_str()).filter(|command| command.name_len() == 1) else {
        return Err(unknown(args));
    };
    let Some(second) = rest.first().filter(|_| is_container(&name)) else { return Ok(command) };
    let full = format!("{name}|{}", lower(second));
    COMMANDS.get(full.as_str()).copied().ok_or_else(|| CommandError::UnknownSubcommand {
        name: lossy_prefix(second, 128),
        container: name.to_ascii_uppercase(),
    })
}

/// Whether this command consists of subcommands only.
fn is_container(name: &str) -> bool {
    matches!(name, "client" | "pubsub")
}

/// What a container does by itself: nothing, since its arity asks for a subcommand.
fn container(_: &mut Context<'_>, _: &[Bytes]) -> CommandResult {
    Err(CommandError::Syntax)
}

fn unknown(args: &[Bytes]) -> CommandError {
    const MAX_ECHOED: usize = 128;
    let (name, arguments) =
        args.split_first().map(|(name, rest)| (lossy_prefix(name, MAX_ECHOED), rest)).unwrap_or_default();
    let mut beginning = String::new();
    for argument in arguments {
        if beginning.len() >= MAX_ECHOED {
            break;
        }
        let argument = lossy_prefix(argument, MAX_ECHOED - beginning.len());
        beginning.push_str(&format!("'{argument}' "));
    }
    CommandError::UnknownCommand { name, beginning }
}

fn integer(arg: &[u8]) -> Result<i64, CommandError> {
    request::integer(arg).ok_or(CommandError::NotAnInteger)
}

/// An option's name in capitals, for comparing.
fn option(arg: &[u8]) -> Vec<u8> {
    arg.to_ascii_uppercase()
}

/// Bytes or nothing.
fn bulk_or_null(bytes: Option<&Bytes>) -> Reply {
    bytes.map_or(Reply::Null, |bytes| Reply::Bulk(bytes.clone()))
}
