//! Query parameters.

use std::future::{Ready, ready};
use std::ops::RangeInclusive;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest, web};

use super::Problem;
use crate::ids::Invalid;

/// Parameters that clients, proxies and links add to any address: cache busters, and marks of campaigns.
const IGNORED: [&str; 9] = ["_", "t", "ts", "cb", "nocache", "rand", "rnd", "gclid", "fbclid"];
const IGNORED_PREFIX: &str = "utm_";

/// The parameters of a query, in their order.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

/// Extracted by handlers without parameters: 400 for any parameter that is not ignored everywhere.
#[derive(Debug)]
pub(crate) struct NoQuery;

impl FromRequest for NoQuery {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(Query::read(request, &[]).map(|_| Self))
    }
}

/// Whether a parameter has no meaning anywhere. One that is only a number is a cache buster too: `?1764271800`.
fn is_ignored(name: &str, value: &str) -> bool {
    let is_number = value.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_number || IGNORED.contains(&name) || name.starts_with(IGNORED_PREFIX)
}

impl Query {
    /// Reads a query that may have the `known` parameters.
    ///
    /// # Errors
    /// 400 if the query is not percent-encoded text, or has an unknown parameter.
    pub(crate) fn read(request: &HttpRequest, known: &[&str]) -> Result<Self, Problem> {
        let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("The query cannot be read: {error}.")))?;
        let query = query.into_inner();
        let is_unknown =
            |(name, value): &&(String, String)| !known.contains(&name.as_str()) && !is_ignored(name, value);
        let unknown: Vec<&str> = query.iter().filter(is_unknown).map(|(name, _)| name.as_str()).collect();
        match unknown.is_empty() {
            true => Ok(Self(query)),
            false => Err(Problem::unknown_fields("parameter", &unknown, known)),
        }
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

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn unknown_parameters_are_refused_except_those_that_clients_add() {
        let read = |query: &str| {
            let request = TestRequest::with_uri(&format!("/leaderboard?{query}")).to_http_request();
            Query::read(&request, &["limit", "offset"]).map_err(|problem| problem.to_string())
        };
        for accepted in
            ["", "limit=1&offset=x", "_=1", "t=1", "1764271800", "0.25&limit=1", "utm_source=mail&gclid=x", "&&"]
        {
            assert!(read(accepted).is_ok(), "{accepted}");
        }
        assert_eq!(
            read("Limit=1&limit=2&foo").unwrap_err(),
            "Limit: got an unknown parameter, expected \"limit\" or \"offset\"; \
             foo: got an unknown parameter, expected \"limit\" or \"offset\""
        );
        assert_eq!(read("%0a=1").unwrap_err(), "\\n: got an unknown parameter, expected \"limit\" or \"offset\"");
        let many = (0..100).map(|number| format!("x{number}&")).collect::<String>();
        assert!(read(&many).unwrap_err().len() < 500);
        assert!(read(&"x".repeat(5000)).unwrap_err().len() < 200);
        let request = TestRequest::with_uri("/status/1?x").to_http_request();
        let problem = Query::read(&request, &[]).unwrap_err().to_string();
        assert_eq!(problem, "x: got an unknown parameter, expected none");
    }
}
