//! The client of the webhook's receiver.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, InvalidHeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, Url};

use super::signature::Signer;
use crate::config::Webhook;
use crate::db::{UnixMillis, now};
use crate::http::client;
use crate::jobs::causes;

/// The time limit of a delivery, from the host lookup to the head of the response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The receiver of purchase webhooks.
pub(crate) struct Receiver {
    url: Url,
    headers: HeaderMap,
    signer: Option<Signer>,
    /// Built at the first delivery at which a certificate store exists.
    client: OnceLock<Client>,
}

/// Why the configuration has no usable receiver.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiverError {
    #[error("webhook.secret cannot be sent in a header")]
    Secret(#[from] InvalidHeaderValue),
    #[error("webhook.signing_secret cannot be used")]
    SigningSecret,
}

/// A webhook message, identical in every attempt.
#[derive(Debug)]
pub(super) struct Message {
    /// Visible ASCII without a dot; the receiver's key for deduplication.
    pub(super) id: String,
    /// JSON.
    pub(super) body: Vec<u8>,
}

/// Why a delivery failed. No variant contains the receiver's address or a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeliveryError {
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
    #[error("the receiver answered 410 Gone")]
    Gone,
}

impl DeliveryError {
    /// Whether further attempts are pointless.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Gone)
    }
}

impl Receiver {
    /// `None` if no webhook is configured. The checks of the configuration leave no secret for which this fails.
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

    /// Sends a message. The head of a 2xx response is sufficient; the body is not read.
    ///
    /// When cancelled, the receiver may or may not have the message.
    pub(super) async fn deliver(&self, message: &Message) -> Result<(), DeliveryError> {
        let request = self.client()?.post(self.url.clone()).headers(self.headers.clone()).body(message.body.clone());
        let request = self.signed(request, message, now()).timeout(TIMEOUT);
        check_status(request.send().await.map_err(delivery_error)?.status())
    }

    fn client(&self) -> Result<&Client, DeliveryError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = client::builder(&self.url).build().map_err(|error| DeliveryError::NoTls(causes(&error)))?;
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

fn check_status(status: StatusCode) -> Result<(), DeliveryError> {
    match status {
        status if status.is_success() => Ok(()),
        status if status.is_redirection() => Err(DeliveryError::Redirected(status)),
        StatusCode::GONE => Err(DeliveryError::Gone),
        status => Err(DeliveryError::Refused(status)),
    }
}

fn delivery_error(error: reqwest::Error) -> DeliveryError {
    if error.is_timeout() {
        return DeliveryError::TimedOut;
    }
    // The URL may contain a password.
    DeliveryError::Unreachable(causes(&error.without_url()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_is_a_delivery_and_only_410_is_final() {
        for status in 100..=599 {
            let result = check_status(StatusCode::from_u16(status).unwrap());
            assert_eq!(result.is_ok(), (200..300).contains(&status), "{status}");
            assert_eq!(result.is_err_and(|error| error.is_final()), status == 410, "{status}");
        }
        let redirected = check_status(StatusCode::FOUND).unwrap_err().to_string();
        assert!(redirected.contains("302 Found") && redirected.contains("webhook.url"), "{redirected}");
    }
}
