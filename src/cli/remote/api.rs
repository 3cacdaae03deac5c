//! The HTTP client of an API server.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueHint};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode, Url};
use serde_json::Value;

use super::retry::Attempt;
use crate::address_file;
use crate::cli::composition::server_address;
use crate::cli::output;
use crate::config::{Config, Overrides, Secret};
use crate::http::client;

/// The server's URL and token.
#[derive(Args)]
pub(crate) struct Server {
    /// URL of the server [default: the one that runs on the same data, else localhost and serve.port]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, value_parser = base_url)]
    url: Option<Url>,
    /// Token of the server [auth.token]; flags are visible to other users, so prefer M3A3_AUTH__TOKEN
    #[arg(long, value_name = "TOKEN", value_hint = ValueHint::Other)]
    token: Option<String>,
}

impl Server {
    pub(crate) fn override_config(&self, overrides: &mut Overrides) {
        if let Some(token) = &self.token {
            overrides.set("auth.token", token, "--token");
        }
    }

    pub(crate) fn api(&self, config: &Config) -> anyhow::Result<Api> {
        Api::new(self.url.as_ref(), address_file::Server::Api, config, config.auth.token.as_ref())
    }
}

/// Parses seconds, which may have decimals.
pub(crate) fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or("expected a number of seconds, 0 or more")
}

/// Parses the `http` or `https` URL that the routes are relative to.
pub(crate) fn base_url(text: &str) -> Result<Url, &'static str> {
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
    /// A client of the server at `url`, else of the one that runs on the same data. Requests carry the token, if there
    /// is one.
    pub(crate) fn new(
        url: Option<&Url>,
        server: address_file::Server,
        config: &Config,
        token: Option<&Secret>,
    ) -> anyhow::Result<Self> {
        let (base, client) = match url {
            Some(url) => (url.clone(), client::builder(url)),
            None => {
                let found = Url::parse(&server_address::current(config, server)?)?;
                let client = client::builder_for_this_machine(&found);
                (found, client)
            }
        };
        let mut client = client.connect_timeout(Duration::from_secs(10));
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))?;
            value.set_sensitive(true);
            client = client.default_headers(HeaderMap::from_iter([(AUTHORIZATION, value)]));
        }
        Ok(Self { base, client: client.build().context("cannot set up an HTTP client")? })
    }

    /// The URL of the server, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Resolves a route, or a link that the server has sent: a URL, or a path below the base URL, of whose path a
    /// server behind a reverse proxy need not know.
    pub(crate) fn url(&self, path: &str) -> anyhow::Result<Url> {
        self.base.join(path.trim_start_matches('/')).with_context(|| format!("invalid path {path:?}"))
    }

    pub(crate) fn get(&self, url: &Url) -> RequestBuilder {
        self.client.get(url.clone())
    }

    pub(crate) fn post(&self, url: &Url) -> RequestBuilder {
        self.client.post(url.clone())
    }

    /// Sends a request and reads the whole response, of any status.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<ApiResponse, Unreachable> {
        let unreachable =
            |source: reqwest::Error| Unreachable { base: self.base.clone(), source: source.without_url() };
        let response = request.send().await.map_err(unreachable)?;
        ApiResponse::read(response).await.map_err(unreachable)
    }
}

/// No response.
#[derive(Debug, thiserror::Error)]
#[error("no answer from {}{}", base.as_str().trim_end_matches('/'), hint(source))]
pub(crate) struct Unreachable {
    base: Url,
    source: reqwest::Error,
}

fn hint(error: &reqwest::Error) -> &'static str {
    if error.is_connect() { " (is the server running?)" } else { "" }
}

/// A response of the server.
#[derive(Debug)]
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    /// The body as JSON; `Null` when it is something else.
    pub(crate) body: Value,
    /// In whole seconds; `None` also for a date.
    pub(crate) retry_after: Option<Duration>,
}

impl ApiResponse {
    async fn read(response: reqwest::Response) -> Result<Self, reqwest::Error> {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null);
        Ok(Self { status, body, retry_after })
    }

    /// A string member of the body.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str()
    }

    /// The detail of a problem (RFC 9457), otherwise the status.
    pub(crate) fn detail(&self) -> String {
        let detail =
            ["detail", "message", "title"].iter().find_map(|name| self.text(name).filter(|text| !text.is_empty()));
        detail.map_or_else(|| format!("the server responded with {}", self.status), ToOwned::to_owned)
    }

    /// The detail, with a hint for commands that send the token.
    pub(crate) fn message(&self) -> String {
        match self.status {
            StatusCode::UNAUTHORIZED => format!("{} (pass auth.token in M3A3_AUTH__TOKEN, or --token)", self.detail()),
            _ => self.detail(),
        }
    }
}

/// The outcome of a request.
pub(crate) type Outcome = Result<ApiResponse, Unreachable>;

/// Retries after no response, and after one for which `later` is true.
pub(crate) fn attempt(outcome: Outcome, later: impl FnOnce(&ApiResponse) -> bool) -> Attempt<Outcome> {
    match outcome {
        Err(error) => {
            tracing::debug!("{}", output::join(&error));
            Attempt::Retry { last: Err(error), retry_after: None }
        }
        Ok(response) if later(&response) => Attempt::Retry { retry_after: response.retry_after, last: Ok(response) },
        Ok(response) => Attempt::Final(Ok(response)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn response(status: u16, body: Value) -> ApiResponse {
        ApiResponse { status: StatusCode::from_u16(status).unwrap(), body, retry_after: None }
    }

    #[test]
    fn a_problem_is_shown_by_its_detail_and_a_bare_status_by_its_name() {
        let problem = json!({ "title": "Bad Request", "detail": "image: got nothing", "message": "x" });
        assert_eq!(response(400, problem).message(), "image: got nothing");
        assert_eq!(
            response(401, json!({ "detail": "No token." })).message(),
            "No token. (pass auth.token in M3A3_AUTH__TOKEN, or --token)"
        );
        assert_eq!(response(404, json!({ "message": "User not found" })).message(), "User not found");
        assert_eq!(response(502, Value::Null).message(), "the server responded with 502 Bad Gateway");
    }

    #[test]
    fn seconds_may_have_decimals_and_are_never_negative() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "-1", "NaN", "inf", "1e30", "1s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
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
