//! Commands about the connection: authentication, protocol version, liveness.

use bytes::Bytes;

use super::super::command_error::{CommandError, MAX_ECHOED, lossy_prefix};
use super::super::reply::{CommandResult, Protocol, Reply};
use super::context::{Allowed, Command, Context};
use super::options::{container, integer, option_name};

/// The version of Redis that the broker imitates.
pub(super) const VERSION: &str = "7.0.0";

pub(super) const COMMANDS: &[Command] = &[
    Command::new("auth", -2, auth).allowed(Allowed::BeforeAuth),
    Command::new("client", -2, container),
    Command::new("client|id", 2, client_id),
    Command::new("client|setname", 3, client_setname),
    Command::new("hello", -1, hello).allowed(Allowed::BeforeAuth),
    Command::new("ping", -1, ping).allowed(Allowed::WhileSubscribed),
    Command::new("quit", -1, quit).allowed(Allowed::Always),
    Command::new("select", 2, select),
];

fn auth(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    match args {
        [_] if context.store.password.is_empty() => Err(CommandError::NoPasswordSet),
        [password] => authenticate(context, b"default", password),
        [user, password] => authenticate(context, user, password),
        _ => Err(CommandError::Syntax),
    }
}

fn authenticate(context: &mut Context<'_>, user: &[u8], password: &[u8]) -> CommandResult {
    let matches = context.store.password.is_empty() || constant_time_eq(password, context.store.password.as_bytes());
    if user != b"default" || !matches {
        return Err(CommandError::WrongPass);
    }
    context.session.authenticated = true;
    Ok(Reply::OK)
}

/// Compares in a time that does not depend on the position of the first difference.
fn constant_time_eq(given: &[u8], expected: &[u8]) -> bool {
    let differences = given.iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
    given.len() == expected.len() && differences == 0
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`.
fn hello(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let mut protocol = context.session.protocol;
    if let Some((version, mut options)) = args.split_first() {
        protocol = match integer(version).map_err(|_| CommandError::ProtocolNotAnInteger)? {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(CommandError::NoProto),
        };
        while let Some((first, rest)) = options.split_first() {
            options = match (&option_name(first)[..], rest) {
                (b"AUTH", [user, password, rest @ ..]) => {
                    authenticate(context, user, password)?;
                    rest
                }
                (b"SETNAME", [given, rest @ ..]) => {
                    check_name(given)?;
                    rest
                }
                _ => return Err(CommandError::HelloOption(lossy_prefix(first, MAX_ECHOED))),
            };
        }
    }
    if !context.session.authenticated {
        return Err(CommandError::HelloNoAuth);
    }
    context.session.protocol = protocol;
    context.store.subscribers.set_protocol(context.session.id, protocol);
    Ok(Reply::Map(vec![
        ("server", Reply::text("redis")),
        ("version", Reply::text(VERSION)),
        ("proto", Reply::Integer(if protocol == Protocol::Resp3 { 3 } else { 2 })),
        ("id", id(context)),
        ("mode", Reply::text("standalone")),
        ("role", Reply::text("master")),
        ("modules", Reply::Array(Vec::new())),
    ]))
}

/// Checks the name of a client. The name is not stored, because no command shows it.
fn check_name(name: &Bytes) -> Result<(), CommandError> {
    if name.iter().all(u8::is_ascii_graphic) { Ok(()) } else { Err(CommandError::ClientName) }
}

fn client_setname(_: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    args.iter().try_for_each(check_name)?;
    Ok(Reply::OK)
}

fn client_id(context: &mut Context<'_>, _: &[Bytes]) -> CommandResult {
    Ok(id(context))
}

fn id(context: &Context<'_>) -> Reply {
    Reply::Integer(i64::try_from(context.session.id).unwrap_or(i64::MAX))
}

fn ping(context: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    let subscribed =
        context.session.protocol == Protocol::Resp2 && context.store.subscribers.subscriptions(context.session.id) > 0;
    match args {
        [_, _, ..] => Err(CommandError::Arity("ping")),
        // A RESP2 client with subscriptions expects every reply to be an array.
        _ if subscribed => {
            let text = args.first().cloned().unwrap_or_default();
            Ok(Reply::Push(vec![Reply::text("pong"), Reply::Bulk(text)]))
        }
        [text] => Ok(Reply::Bulk(text.clone())),
        [] => Ok(Reply::Status("PONG")),
    }
}

fn quit(context: &mut Context<'_>, _: &[Bytes]) -> CommandResult {
    context.session.quit = true;
    Ok(Reply::OK)
}

fn select(_: &mut Context<'_>, args: &[Bytes]) -> CommandResult {
    match integer(args.first().map_or(&b""[..], |arg| arg))? {
        0 => Ok(Reply::OK),
        _ => Err(CommandError::DatabaseOutOfRange),
    }
}
