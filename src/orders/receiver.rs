//! The webhook's receiver: one request to it, and what its answer means.

use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, InvalidHeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, Url};

use super::signature::Signer;
use crate::config::Webhook;
use crate::db::{UnixMillis, now};
use crate::http::client;

/// How long a delivery may take, from the first look for the host to the head of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where purchases are reported.
pub(crate) struct Receiver {
    url: Url,
    headers: HeaderMap,
    signer: Option<Signer>,
    /// Made when there is a certificate store to make it with.
    client: OnceLock<Client>,
}

/// Why nothing can be delivered to any receiver of this configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiverError {
    /// The secret has characters that a header cannot hold.
    #[error("webhook.secret cannot be sent in a header")]
    Secret(#[from] InvalidHeaderValue),
    /// The key cannot be used.
    #[error("webhook.signing_secret cannot be used")]
    SigningSecret,
}

/// A message to the receiver: the same in every attempt.
#[derive(Debug)]
pub(super) struct Message {
    /// Visible ASCII without a dot; the receiver tells repeats by it.
    pub(super) id: String,
    /// JSON.
    pub(super) body: Vec<u8>,
}

/// Why a message was not delivered. No variant shows the receiver's address or a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undelivered {
    #[error("no TLS connection can be made from here (are CA certificates installed?): {0}")]
    NoTls(String),
    #[error("the receiver did not answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("the receiver cannot be reached: {0}")]
    Unreachable(String),
    #[error("the receiver answered {0}, but redirects are not followed; webhook.url has to be the final address")]
    Redirected(StatusCode),
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
    #[error("the receiver answered 410 Gone: it wants no more of this")]
    Gone,
}

impl Undelivered {
    /// Whether another attempt would come to the same.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Gone)
    }
}

impl Receiver {
    /// The receiver of this configuration; `None` where it names none.
    ///
    /// # Errors
    /// When the secrets cannot be sent; the configuration's own checks leave no such value.
    pub(crate) fn new(config: &Webhook) -> Result<Option<Self>, ReceiverError> {
        let Some(url) = &config.url else { return Ok(None) };
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        if let Some(secret) = &config.secret {
            let mut value = HeaderValue::from_str(secret.expose())?;
            value.set_sensitive(true);
            headers.insert("x-webhook-secret", value);
        }
        let signer = config.signing_secret.as_ref().map(|secret| Signer::new(secret.expose())).transpose();
        let signer = signer.map_err(|_| ReceiverError::SigningSecret)?;
        Ok(Some(Self { url: url.as_url().clone(), headers, signer, client: OnceLock::new() }))
    }

    /// Sends a message, and is content with the head of a 2xx answer: no body is read, however long it is.
    ///
    /// Cancel safe in this sense: the receiver may or may not have got the message.
    pub(super) async fn deliver(&self, message: &Message) -> Result<(), Undelivered> {
        let request = self.client()?.post(self.url.clone()).headers(self.headers.clone()).body(message.body.clone());
        let request = self.signed(request, message, now()).timeout(TIMEOUT);
        judge(request.send().await.map_err(undelivered)?.status())
    }

    fn client(&self) -> Result<&Client, Undelivered> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = client::builder(&self.url).build().map_err(|error| Undelivered::NoTls(causes(&error)))?;
        Ok(self.client.get_or_init(|| client))
    }

    fn signed(&self, request: RequestBuilder, message: &Message, now: UnixMillis) -> RequestBuilder {
        let Some(signer) = &self.signer else { return request };
        let seconds = now / 1000;
        request
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signer.sign(&message.id, seconds, &message.body))
    }
}

fn judge(status: StatusCode) -> Result<(), Undelivered> {
    match status {
        status if status.is_success() => Ok(()),
        status if status.is_redirection() => Err(Undelivered::Redirected(status)),
        StatusCode::GONE => Err(Undelivered::Gone),
        status => Err(Undelivered::Refused(status)),
    }
}

fn undelivered(error: reqwest::Error) -> Undelivered {
    if error.is_timeout() {
        return Undelivered::TimedOut;
    }
    // The URL may hold a password.
    Undelivered::Unreachable(causes(&error.without_url()))
}

/// An error with its causes.
fn causes(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_2xx_is_a_delivery_and_only_gone_is_for_ever() {
        for status in 100..=599 {
            let verdict = judge(StatusCode::from_u16(status).unwrap());
            assert_eq!(verdict.is_ok(), (200..300).contains(&status), "{status}");
            assert_eq!(verdict.is_err_and(|error| error.is_final()), status == 410, "{status}");
        }
        let redirected = judge(StatusCode::FOUND).unwrap_err().to_string();
        assert!(redirected.contains("302 Found") && redirected.contains("webhook.url"), "{redirected}");
    }
}
