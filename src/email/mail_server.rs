//! The mail server: connections to it, and handing in one mail over one of them.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use tokio::time::{Instant, timeout};

use super::delivery_error::{DeliveryError, Stage};
use super::message::MailMessage;
use crate::config::{Privacy, SmtpUrl};

/// How long a connection may wait for the next mail; servers hang up after minutes.
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);
/// How many may wait.
const MAX_IDLE_CONNECTIONS: usize = 4;
/// How long the server may take to say goodbye.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The server that takes our mail.
pub(super) struct MailServer {
    url: SmtpUrl,
    timeout: Duration,
    us: ClientId,
    /// Made when first needed, from what certificates there are then.
    tls: OnceLock<TlsParameters>,
    /// Connections over which a mail was handed in, all of it: one whose mail failed or was abandoned never comes here.
    idle: Mutex<Vec<(Instant, AsyncSmtpConnection)>>,
}

impl MailServer {
    /// The server at this address; no mail takes longer than `timeout`.
    pub(super) fn new(url: SmtpUrl, timeout: Duration) -> Self {
        Self { url, timeout, us: ClientId::default(), tls: OnceLock::new(), idle: Mutex::default() }
    }

    /// Hands in a mail.
    ///
    /// Cancel safe in this sense: the server may or may not have got the mail.
    pub(super) async fn send(&self, message: &MailMessage) -> Result<(), DeliveryError> {
        timeout(self.timeout, self.exchange(message)).await.unwrap_or(Err(DeliveryError::TimedOut))
    }

    async fn exchange(&self, message: &MailMessage) -> Result<(), DeliveryError> {
        if let Some(mut connection) = self.idle() {
            match send(&mut connection, message).await {
                // The server has hung up, or was about to, and nothing of the mail was taken.
                Err(SendError { before_data: true, why }) if why.is_hanging_up() => {}
                sent => return self.conclude(connection, sent).await,
            }
        }
        let mut connection = self.connect().await?;
        let sent = send(&mut connection, message).await;
        self.conclude(connection, sent).await
    }

    /// Keeps a connection that is fit for another mail, and says goodbye over one that is not.
    async fn conclude(
        &self,
        mut connection: AsyncSmtpConnection,
        sent: Result<(), SendError>,
    ) -> Result<(), DeliveryError> {
        match sent {
            Ok(()) => self.keep(connection),
            // Whether it hears that is of no account.
            Err(SendError { why: DeliveryError::Broken(_), .. }) => {}
            Err(_) => drop(timeout(QUIT_TIMEOUT, connection.quit()).await),
        }
        sent.map_err(|unsent| unsent.why)
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

    /// A connection that is as private as it has to be, over which somebody has logged in.
    async fn connect(&self) -> Result<AsyncSmtpConnection, DeliveryError> {
        let failed = |error| DeliveryError::new(Stage::Connect, &error, &[]);
        let implicit = if self.url.privacy == Privacy::Implicit { Some(self.tls()?) } else { None };
        let address = (self.url.host.as_str(), self.url.port);
        let connected = AsyncSmtpConnection::connect_tokio1(address, None, &self.us, implicit, None);
        let mut connection = connected.await.map_err(failed)?;
        let upgrade = match self.url.privacy {
            Privacy::None | Privacy::Implicit => false,
            Privacy::Opportunistic => connection.can_starttls(),
            Privacy::Required if connection.can_starttls() => true,
            Privacy::Required => return Err(DeliveryError::NoStartTls),
        };
        if upgrade {
            connection.starttls(self.tls()?, &self.us).await.map_err(failed)?;
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

/// How a mail failed.
struct SendError {
    /// Whether that was before the server could have taken it.
    before_data: bool,
    why: DeliveryError,
}

async fn send(connection: &mut AsyncSmtpConnection, message: &MailMessage) -> Result<(), SendError> {
    let private: Vec<&str> = message.envelope.to().iter().map(|address| address.user()).collect();
    let failed = |before_data| {
        let private = &private;
        move |error| SendError { before_data, why: DeliveryError::new(Stage::Mail, &error, private) }
    };
    let parameters = parameters(connection, message).map_err(|why| SendError { before_data: true, why })?;
    connection.command(Mail::new(message.envelope.from().cloned(), parameters)).await.map_err(failed(true))?;
    for address in message.envelope.to() {
        connection.command(Rcpt::new(address.clone(), Vec::new())).await.map_err(failed(true))?;
    }
    connection.command(Data).await.map_err(failed(true))?;
    connection.message(&message.bytes).await.map_err(failed(false))?;
    Ok(())
}

/// What the server has to know before; a mail is ASCII except for an address that is not.
fn parameters(connection: &AsyncSmtpConnection, message: &MailMessage) -> Result<Vec<MailParameter>, DeliveryError> {
    // An address of the envelope is one of the mail's too.
    if message.bytes.is_ascii() {
        return Ok(Vec::new());
    }
    let knows = |extension| connection.server_info().supports_feature(extension);
    if knows(Extension::SmtpUtfEight) && knows(Extension::EightBitMime) {
        Ok(vec![MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)])
    } else {
        Err(DeliveryError::NoUtf8)
    }
}
