//! Helpers for arguments and replies that several commands share.

use bytes::Bytes;

use super::super::command_error::CommandError;
use super::super::reply::{CommandResult, Reply};
use super::super::request;
use super::context::Context;

pub(super) fn integer(arg: &[u8]) -> Result<i64, CommandError> {
    request::integer(arg).ok_or(CommandError::NotAnInteger)
}

/// The name of an option in upper case, for comparison.
pub(super) fn option_name(arg: &[u8]) -> Vec<u8> {
    arg.to_ascii_uppercase()
}

pub(super) fn bulk_or_null(bytes: Option<&Bytes>) -> Reply {
    bytes.map_or(Reply::Null, |bytes| Reply::Bulk(bytes.clone()))
}

/// The function of a command that has only subcommands. Its arity requires one, so this never runs.
pub(super) fn container(_: &mut Context<'_>, _: &[Bytes]) -> CommandResult {
    Err(CommandError::Syntax)
}
