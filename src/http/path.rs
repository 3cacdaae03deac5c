//! Path parameters.

use std::str::FromStr;

use super::Problem;
use crate::ids::Invalid;

/// Parses a path parameter.
///
/// # Errors
/// 400 with the name of the parameter.
pub(crate) fn parse<T: FromStr<Err = Invalid>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|invalid| Problem::field(name, &invalid))
}
