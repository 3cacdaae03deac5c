//! The fields behind the question mark of an address.

use std::ops::RangeInclusive;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};

use super::Problem;
use crate::ids::Invalid;

/// A query's fields, in their order.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a request's query.
    ///
    /// # Errors
    /// 400 where it is not percent-encoded text.
    pub(crate) fn read(request: &HttpRequest) -> Result<Self, Problem> {
        let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("The query cannot be read: {error}.")))?;
        Ok(Self(query.into_inner()))
    }

    /// The first field of that name, as `parse` understands it; `None` where there is none.
    ///
    /// # Errors
    /// 400 where it understands nothing; `expected` says what is right.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some((_, text)) = self.0.iter().find(|(field, _)| field == name) else { return Ok(None) };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(Problem::field(name, &Invalid::text(text, expected))),
        }
    }

    /// The first field of that name, a whole number in digits; `None` where there is none.
    ///
    /// # Errors
    /// 400 where it is something else or out of range; `expected` says what is right.
    pub(crate) fn integer(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
        expected: &'static str,
    ) -> Result<Option<u64>, Problem> {
        self.parsed(name, expected, |text| {
            // Without this a sign would be accepted.
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = if digits { text.parse().ok() } else { None };
            number.filter(|number| range.contains(number))
        })
    }
}
