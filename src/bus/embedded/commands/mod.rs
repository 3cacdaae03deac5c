//! The commands: what each is called, how many words it has, where it is allowed, and what it does.
//!
//! Owns the table and the order of the checks before a command runs, which is Redis' order. Each family of commands is
//! one file that lists its own.

mod connection;
mod keys;
mod pubsub;
mod server;
mod sorted_sets;
mod strings;
mod transactions;

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;

use super::keyspace::Keyspace;
use super::reply::{Answer, Protocol, Refusal, Reply, shown};
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
    /// What CLIENT SETNAME called it.
    pub name: Option<Bytes>,
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
    /// How many words it has, its name included; negative for at least so many.
    arity: i8,
    /// Where it is allowed beyond the usual.
    allowed: Allowed,
    /// What it does with the words behind its name.
    run: fn(&mut Context<'_>, &[Bytes]) -> Answer,
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
    const fn new(name: &'static str, arity: i8, run: fn(&mut Context<'_>, &[Bytes]) -> Answer) -> Self {
        Self { name, arity, allowed: Allowed::Usually, run }
    }

    const fn allowed(mut self, allowed: Allowed) -> Self {
        self.allowed = allowed;
        self
    }

    /// How many words its name has.
    fn words(&self) -> usize {
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
        strings::COMMANDS,
        transactions::COMMANDS,
    ];
    families.into_iter().flatten().map(|command| (command.name, command)).collect()
});

/// Runs a request, or queues it inside MULTI, or refuses it.
pub fn execute(context: &mut Context<'_>, words: Vec<Bytes>) -> Answer {
    let command = match admit(context, &words) {
        Ok(command) => command,
        Err(refusal) => return Err(refused(context, &words, refusal)),
    };
    let at_once = matches!(command.allowed, Allowed::InsideMulti | Allowed::Always);
    match &mut context.session.transaction {
        Some(transaction) if !at_once => transaction.queue(command, words),
        _ => run(context, command, &words),
    }
}

/// What a refusal means for the transaction that the connection may be in.
fn refused(context: &mut Context<'_>, words: &[Bytes], refusal: Refusal) -> Refusal {
    if words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"exec")) {
        context.session.transaction = None;
        context.store.keys.watches.forget(context.session.id);
        return Refusal::ExecRefused(Box::new(refusal));
    }
    if let Some(transaction) = &mut context.session.transaction {
        transaction.spoil();
    }
    refusal
}

/// Runs an admitted command.
fn run(context: &mut Context<'_>, command: &Command, words: &[Bytes]) -> Answer {
    (command.run)(context, words.get(command.words()..).unwrap_or_default())
}

/// Finds the command of a request and checks that it may run here.
fn admit(context: &Context<'_>, words: &[Bytes]) -> Result<&'static Command, Refusal> {
    let command = find(words)?;
    let (least, exact) = (usize::from(command.arity.unsigned_abs()), command.arity > 0);
    if words.len() < least || (exact && words.len() > least) {
        return Err(Refusal::Arity(command.name));
    }
    let session = &context.session;
    if !session.authenticated && !matches!(command.allowed, Allowed::BeforeAuth | Allowed::Always) {
        return Err(Refusal::NoAuth);
    }
    let subscribed = session.protocol == Protocol::Resp2 && context.store.subscribers.subscriptions(session.id) > 0;
    let listener = matches!(command.allowed, Allowed::WhileSubscribed | Allowed::OutsideMultiOnly | Allowed::Always);
    if subscribed && !listener {
        return Err(Refusal::Subscribed(command.name));
    }
    if session.transaction.is_some() && command.allowed == Allowed::OutsideMultiOnly {
        return Err(Refusal::NotInTransaction);
    }
    Ok(command)
}

fn find(words: &[Bytes]) -> Result<&'static Command, Refusal> {
    let lower = |word: &Bytes| String::from_utf8_lossy(word).to_ascii_lowercase();
    let Some((first, rest)) = words.split_first() else { return Err(unknown(words)) };
    let name = lower(first);
    let Some(command) = COMMANDS.get(name.as_str()).filter(|command| command.words() == 1) else {
        return Err(unknown(words));
    };
    let Some(second) = rest.first().filter(|_| is_container(&name)) else { return Ok(command) };
    let full = format!("{name}|{}", lower(second));
    COMMANDS
        .get(full.as_str())
        .copied()
        .ok_or_else(|| Refusal::UnknownSubcommand { name: shown(second, 128), container: name.to_ascii_uppercase() })
}

/// Whether this command consists of subcommands only.
fn is_container(name: &str) -> bool {
    matches!(name, "client" | "pubsub")
}

/// What a container does by itself: nothing, since its arity asks for a subcommand.
fn container(_: &mut Context<'_>, _: &[Bytes]) -> Answer {
    Err(Refusal::Syntax)
}

fn unknown(words: &[Bytes]) -> Refusal {
    const SHOWN: usize = 128;
    let (name, arguments) = words.split_first().map(|(name, rest)| (shown(name, SHOWN), rest)).unwrap_or_default();
    let mut beginning = String::new();
    for argument in arguments {
        if beginning.len() >= SHOWN {
            break;
        }
        let argument = shown(argument, SHOWN - beginning.len());
        beginning.push_str(&format!("'{argument}' "));
    }
    Refusal::UnknownCommand { name, beginning }
}

fn integer(word: &[u8]) -> Result<i64, Refusal> {
    request::integer(word).ok_or(Refusal::NotAnInteger)
}

/// An option's name in capitals, for comparing.
fn option(word: &[u8]) -> Vec<u8> {
    word.to_ascii_uppercase()
}

/// Bytes or nothing.
fn bulk_or_null(bytes: Option<&Bytes>) -> Reply {
    bytes.map_or(Reply::Null, |bytes| Reply::Bulk(bytes.clone()))
}
