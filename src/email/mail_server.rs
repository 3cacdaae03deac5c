//! The mail server: its connections, and the SMTP dialogue for one mail.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use tokio::time::{Instant, timeout};

use super::delivery_error::{DeliveryError, Stage};
use super::message::MailMessage;
use crate::config::{SmtpUrl, TlsMode};

/// How long a connection is kept for the next mail; servers close idle connections after minutes.
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);
/// How many idle connections are kept.
const MAX_IDLE_CONNECTIONS: usize = 4;
/// How long the server may take to reply to QUIT.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The mail server.
pub(super) struct MailServer {
    url: SmtpUrl,
    timeout: Duration,
    client_id: ClientId,
    /// Created on first use, with the CA certificates installed by then.
    tls: OnceLock<TlsParameters>,
    /// Connections whose last mail was accepted completely. A connection is dropped if its mail failed or was
    /// cancelled.
    idle: Mutex<Vec<(Instant, AsyncSmtpConnection)>>,
}

impl MailServer {
    /// `timeout` limits the delivery of one mail.
    pub(super) fn new(url: SmtpUrl, timeout: Duration) -> Self {
        Self { url, timeout, client_id: ClientId::default(), tls: OnceLock::new(), idle: Mutex::default() }
    }

    /// Sends a mail. If cancelled, the server may or may not have accepted it.
    pub(super) async fn send(&self, message: &MailMessage) -> Result<(), DeliveryError> {
        timeout(self.timeout, self.exchange(message)).await.unwrap_or(Err(DeliveryError::TimedOut))
    }

    async fn exchange(&self, message: &MailMessage) -> Result<(), DeliveryError> {
        if let Some(mut connection) = self.idle() {
            match send(&mut connection, message).await {
                // The server closed the idle connection, and has received nothing of the mail.
                Err(SendError { before_data: true, source }) if source.is_hanging_up() => {}
                sent => return self.conclude(connection, sent).await,
            }
        }
        let mut connection = self.connect().await?;
        let sent = send(&mut connection, message).await;
        self.conclude(connection, sent).await
    }

    /// Keeps a connection that can be used again, and ends one that cannot with QUIT.
    async fn conclude(
        &self,
        mut connection: AsyncSmtpConnection,
        sent: Result<(), SendError>,
    ) -> Result<(), DeliveryError> {
        match sent {
            Ok(()) => self.keep(connection),
            Err(SendError { source: DeliveryError::Broken(_), .. }) => {}
            // The reply does not matter.
            Err(_) => drop(timeout(QUIT_TIMEOUT, connection.quit()).await),
        }
        sent.map_err(|error| error.source)
    }

    fn idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, _)| since.elapsed() < MAX_IDLE_TIME);
        idle.pop().map(|(_, connection)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE_CONNECTIONS {
            idle.push((Instant::now(), connection));
        }
    }

    /// Opens a connection, encrypts it as configured, and logs in.
    async fn connect(&self) -> Result<AsyncSmtpConnection, DeliveryError> {
        let failed = |error| DeliveryError::new(Stage::Connect, &error, &[]);
        let implicit = if self.url.tls == TlsMode::Implicit { Some(self.tls()?) } else { None };
        let address = (self.url.host.as_str(), self.url.port);
        let connected = AsyncSmtpConnection::connect_tokio1(address, None, &self.client_id, implicit, None);
        let mut connection = connected.await.map_err(failed)?;
        let upgrade = match self.url.tls {
            TlsMode::None | TlsMode::Implicit => false,
            TlsMode::Opportunistic => connection.can_starttls(),
            TlsMode::Required if connection.can_starttls() => true,
            TlsMode::Required => return Err(DeliveryError::NoStartTls),
        };
        if upgrade {
            connection.starttls(self.tls()?, &self.client_id).await.map_err(failed)?;
        }
        self.log_in(&mut connection).await?;
        Ok(connection)
    }

    async fn log_in(&self, connection: &mut AsyncSmtpConnection) -> Result<(), DeliveryError> {
        let Some(login) = &self.url.login else { return Ok(()) };
        let credentials = Credentials::new(login.username.clone(), login.password.expose().to_owned());
        let reply = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
        reply.map_err(|error| DeliveryError::new(Stage::Login, &error, &[&login.username]))?;
        Ok(())
    }

    fn tls(&self) -> Result<TlsParameters, DeliveryError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let made =
            TlsParameters::new(self.url.host.clone()).map_err(|error| DeliveryError::NoTls(error.to_string()))?;
        Ok(self.tls.get_or_init(|| made).clone())
    }
}

/// Why a mail was not sent.
struct SendError {
    /// Whether it failed before the data was sent, so that the server cannot have accepted the mail.
    before_data: bool,
    source: DeliveryError,
}

async fn send(connection: &mut AsyncSmtpConnection, message: &MailMessage) -> Result<(), SendError> {
    let private: Vec<&str> = message.envelope.to().iter().map(|address| address.user()).collect();
    let failed = |before_data| {
        let private = &private;
        move |error| SendError { before_data, source: DeliveryError::new(Stage::Mail, &error, private) }
    };
    let parameters = parameters(connection, message).map_err(|source| SendError { before_data: true, source })?;
    connection.command(Mail::new(message.envelope.from().cloned(), parameters)).await.map_err(failed(true))?;
    for address in message.envelope.to() {
        connection.command(Rcpt::new(address.clone(), Vec::new())).await.map_err(failed(true))?;
    }
    connection.command(Data).await.map_err(failed(true))?;
    connection.message(&message.bytes).await.map_err(failed(false))?;
    Ok(())
}

/// The parameters of MAIL FROM. A mail is ASCII, except for an address that is not.
fn parameters(connection: &AsyncSmtpConnection, message: &MailMessage) -> Result<Vec<MailParameter>, DeliveryError> {
    // The mail contains the addresses of the envelope.
    if message.bytes.is_ascii() {
        return Ok(Vec::new());
    }
    let supports = |extension| connection.server_info().supports_feature(extension);
    if supports(Extension::SmtpUtfEight) && supports(Extension::EightBitMime) {
        Ok(vec![MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)])
    } else {
        Err(DeliveryError::NoUtf8)
    }
}
