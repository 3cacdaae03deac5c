//! Values of arguments that shells complete.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error};

use crate::job_payloads::{KINDS, kind_by_name};
use crate::jobs::{JobState, Kind};

/// The values of `log.level` that need no syntax.
pub(super) const LOG_LEVELS: Suggested = Suggested(&["error", "warn", "info", "debug", "trace", "off"]);
/// The values of `log.format`.
pub(super) const LOG_FORMATS: Suggested = Suggested(&["text", "json"]);

/// Any text; shells complete and help shows these. The configuration checks the text, and names its origin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suggested(&'static [&'static str]);

impl TypedValueParser for Suggested {
    type Value = String;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

/// Parses the name of one of these states.
pub(super) fn job_state(states: &[JobState]) -> impl TypedValueParser<Value = JobState> + use<> {
    let names = PossibleValuesParser::new(states.iter().map(|state| state.name()));
    names.try_map(|name| JobState::by_name(&name).ok_or("it is not a state"))
}

/// Parses the name of a kind of jobs.
pub(super) fn job_kind() -> impl TypedValueParser<Value = Kind> {
    let names = PossibleValuesParser::new(KINDS.iter().map(|kind| kind.name));
    names.try_map(|name| kind_by_name(&name).ok_or("it is not a kind"))
}
