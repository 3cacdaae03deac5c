//! The API server as its clients on the command line see it.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use super::backoff::Attempt;
use crate::cli::output;
use crate::config::{Config, Overrides};
use crate::http::client;

/// Which server, and who asks.
#[derive(Args)]
pub(crate) struct Server {
    /// The server's address [default: http://localhost and serve.port]
    #[arg(long, value_name = "URL", value_parser = base_url)]
    url: Option<Url>,
    /// The server's token [auth.token]; others on this machine can see flags, so prefer M3A3_AUTH__TOKEN
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

impl Server {
    pub(crate) fn override_config(&self, overrides: &mut Overrides) {
        if let Some(token) = &self.token {
            overrides.set("auth.token", token, "--token");
        }
    }

    pub(crate) fn api(&self, config: &Config) -> anyhow::Result<Api> {
        let base = match &self.url {
            Some(url) => url.clone(),
            None => Url::parse(&format!("http://localhost:{}/", config.serve.port))?,
        };
        Api::new(base, config)
    }
}

/// An `http` or `https` URL below which the routes lie.
fn base_url(text: &str) -> Result<Url, &'static str> {
    const EXPECTED: &str = "expected a URL such as http://localhost:3010";
    let mut url = Url::parse(text).map_err(|_| EXPECTED)?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(EXPECTED);
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// A client of one server.
pub(crate) struct Api {
    base: Url,
    client: reqwest::Client,
}

impl Api {
    fn new(base: Url, config: &Config) -> anyhow::Result<Self> {
        let mut client = client::builder(&base).connect_timeout(Duration::from_secs(10));
        if let Some(token) = &config.auth.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))?;
            value.set_sensitive(true);
            client = client.default_headers(HeaderMap::from_iter([(AUTHORIZATION, value)]));
        }
        Ok(Self { base, client: client.build().context("cannot set up an HTTP client")? })
    }

    /// The URL of a path that the server told, or that the contract names without its leading slash.
    pub(crate) fn url(&self, path: &str) -> anyhow::Result<Url> {
        self.base.join(path).with_context(|| format!("{path:?} is no path of a server"))
    }

    pub(crate) fn get(&self, url: &Url) -> RequestBuilder {
        self.client.get(url.clone())
    }

    pub(crate) fn post(&self, url: &Url) -> RequestBuilder {
        self.client.post(url.clone())
    }

    /// Sends a request, and reads the whole answer, whatever its status.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, Unreachable> {
        let unreachable =
            |source: reqwest::Error| Unreachable { base: self.base.clone(), source: source.without_url() };
        let response = request.send().await.map_err(unreachable)?;
        Answer::read(response).await.map_err(unreachable)
    }
}

/// There was no answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer from {}{}", base.as_str().trim_end_matches('/'), hint(source))]
pub(crate) struct Unreachable {
    base: Url,
    source: reqwest::Error,
}

fn hint(error: &reqwest::Error) -> &'static str {
    if error.is_connect() { " (is the server running?)" } else { "" }
}

/// A server's answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The body as JSON; `Null` when it is something else.
    pub(crate) body: Value,
    retry_after: Option<Duration>,
}

impl Answer {
    async fn read(response: Response) -> Result<Self, reqwest::Error> {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null);
        Ok(Self { status, body, retry_after })
    }

    /// A text of the body.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str()
    }

    /// What the server said for people: a problem's detail (RFC 9457), or else the status.
    pub(crate) fn message(&self) -> String {
        let told =
            ["detail", "message", "title"].iter().find_map(|name| self.text(name).filter(|text| !text.is_empty()));
        told.map_or_else(|| format!("the server answered {}", self.status), ToOwned::to_owned)
    }
}

/// What came of a request: an answer, or none.
pub(crate) type Outcome = Result<Answer, Unreachable>;

/// Whether to try again: after no answer, and after one that says "later".
pub(crate) fn attempt(outcome: Outcome, later: impl FnOnce(&Answer) -> bool) -> Attempt<Outcome> {
    match outcome {
        Err(error) => {
            tracing::debug!("{}", output::join(&error));
            Attempt::Again { last: Err(error), asked: None }
        }
        Ok(answer) if later(&answer) => Attempt::Again { asked: answer.retry_after, last: Ok(answer) },
        Ok(answer) => Attempt::Final(Ok(answer)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: Value) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), body, retry_after: None }
    }

    #[test]
    fn a_problem_is_told_by_its_detail_and_a_bare_status_by_its_name() {
        let problem = json!({ "title": "Bad Request", "detail": "image: got nothing", "message": "x" });
        assert_eq!(answer(400, problem).message(), "image: got nothing");
        assert_eq!(answer(404, json!({ "message": "User not found" })).message(), "User not found");
        assert_eq!(answer(502, Value::Null).message(), "the server answered 502 Bad Gateway");
    }

    #[test]
    fn a_base_url_is_http_and_ends_in_a_slash() {
        assert_eq!(base_url("http://localhost:3010").map(String::from).as_deref(), Ok("http://localhost:3010/"));
        assert_eq!(base_url("https://h/m3a3").map(String::from).as_deref(), Ok("https://h/m3a3/"));
        for bad in ["", "localhost", "localhost:3010", "ftp://h", "http://h/?x", "http://"] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }
}
