//! Query parameters.

use std::ops::RangeInclusive;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};

use super::Problem;
use crate::ids::Invalid;

/// The parameters of a query, in their order.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// # Errors
    /// 400 if the query is not percent-encoded text.
    pub(crate) fn read(request: &HttpRequest) -> Result<Self, Problem> {
        let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("The query cannot be read: {error}.")))?;
        Ok(Self(query.into_inner()))
    }

    /// Parses the first parameter of this name; `None` if there is none.
    ///
    /// # Errors
    /// 400 with `expected` if `parse` returns `None`.
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

    /// The first parameter of this name as a decimal integer within a range; `None` if there is none.
    ///
    /// # Errors
    /// 400 with `expected` for anything else.
    pub(crate) fn integer(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
        expected: &'static str,
    ) -> Result<Option<u64>, Problem> {
        self.parsed(name, expected, |text| {
            // `parse` accepts a sign.
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = if digits { text.parse().ok() } else { None };
            number.filter(|number| range.contains(number))
        })
    }
}
