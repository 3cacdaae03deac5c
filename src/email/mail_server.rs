//! The mail server: connections to it, and handing in one mail over one of them.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use tokio::time::{Instant, timeout};

use super::letter::Letter;
use super::undelivered::{Stage, Undelivered};
use crate::config::{Privacy, SmtpUrl};

/// How long a connection may wait for the next mail; servers hang up after minutes.
const IDLE: Duration = Duration::from_secs(30);
/// How many may wait.
const MAX_IDLE: usize = 4;
/// How long the server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

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
    pub(super) async fn hand_in(&self, letter: &Letter) -> Result<(), Undelivered> {
        timeout(self.timeout, self.exchange(letter)).await.unwrap_or(Err(Undelivered::TimedOut))
    }

    async fn exchange(&self, letter: &Letter) -> Result<(), Undelivered> {
        if let Some(mut connection) = self.idle() {
            match send(&mut connection, letter).await {
                // The server has hung up, or was about to, and nothing of the mail was taken.
                Err(Unsent { before_data: true, why }) if why.is_hanging_up() => {}
                sent => return self.conclude(connection, sent).await,
            }
        }
        let mut connection = self.connect().await?;
        let sent = send(&mut connection, letter).await;
        self.conclude(connection, sent).await
    }

    /// Keeps a connection that is fit for another mail, and says goodbye over one that is not.
    async fn conclude(&self, mut connection: AsyncSmtpConnection, sent: Result<(), Unsent>) -> Result<(), Undelivered> {
        match sent {
            Ok(()) => self.keep(connection),
            // Whether it hears that is of no account.
            Err(Unsent { why: Undelivered::Broken(_), .. }) => {}
            Err(_) => drop(timeout(GOODBYE, connection.quit()).await),
        }
        sent.map_err(|unsent| unsent.why)
    }

    fn idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, _)| since.elapsed() < IDLE);
        idle.pop().map(|(_, connection)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push((Instant::now(), connection));
        }
    }

    /// A connection that is as private as it has to be, over which somebody has logged in.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Undelivered> {
        let failed = |error| Undelivered::new(Stage::Connect, &error, &[]);
        let implicit = if self.url.privacy == Privacy::Implicit { Some(self.tls()?) } else { None };
        let address = (self.url.host.as_str(), self.url.port);
        let connected = AsyncSmtpConnection::connect_tokio1(address, None, &self.us, implicit, None);
        let mut connection = connected.await.map_err(failed)?;
        let upgrade = match self.url.privacy {
            Privacy::None | Privacy::Implicit => false,
            Privacy::Opportunistic => connection.can_starttls(),
            Privacy::Required if connection.can_starttls() => true,
            Privacy::Required => return Err(Undelivered::NoStartTls),
        };
        if upgrade {
            connection.starttls(self.tls()?, &self.us).await.map_err(failed)?;
        }
        self.log_in(&mut connection).await?;
        Ok(connection)
    }

    async fn log_in(&self, connection: &mut AsyncSmtpConnection) -> Result<(), Undelivered> {
        let Some(login) = &self.url.login else { return Ok(()) };
        let credentials = Credentials::new(login.username.clone(), login.password.expose().to_owned());
        let answer = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
        answer.map_err(|error| Undelivered::new(Stage::Login, &error, &[&login.username]))?;
        Ok(())
    }

    fn tls(&self) -> Result<TlsParameters, Undelivered> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let made = TlsParameters::new(self.url.host.clone()).map_err(|error| Undelivered::NoTls(error.to_string()))?;
        Ok(self.tls.get_or_init(|| made).clone())
    }
}

/// How a mail failed.
struct Unsent {
    /// Whether that was before the server could have taken it.
    before_data: bool,
    why: Undelivered,
}

async fn send(connection: &mut AsyncSmtpConnection, letter: &Letter) -> Result<(), Unsent> {
    let private: Vec<&str> = letter.envelope.to().iter().map(|address| address.user()).collect();
    let failed = |before_data| {
        let private = &private;
        move |error| Unsent { before_data, why: Undelivered::new(Stage::Mail, &error, private) }
    };
    let parameters = parameters(connection, letter).map_err(|why| Unsent { before_data: true, why })?;
    connection.command(Mail::new(letter.envelope.from().cloned(), parameters)).await.map_err(failed(true))?;
    for address in letter.envelope.to() {
        connection.command(Rcpt::new(address.clone(), Vec::new())).await.map_err(failed(true))?;
    }
    connection.command(Data).await.map_err(failed(true))?;
    connection.message(&letter.bytes).await.map_err(failed(false))?;
    Ok(())
}

/// What the server has to know before; a mail is ASCII except for an address that is not.
fn parameters(connection: &AsyncSmtpConnection, letter: &Letter) -> Result<Vec<MailParameter>, Undelivered> {
    // An address of the envelope is one of the mail's too.
    if letter.bytes.is_ascii() {
        return Ok(Vec::new());
    }
    let knows = |extension| connection.server_info().supports_feature(extension);
    if knows(Extension::SmtpUtfEight) && knows(Extension::EightBitMime) {
        Ok(vec![MailParameter::SmtpUtfEight, MailParameter::Body(MailBodyParameter::EightBitMime)])
    } else {
        Err(Undelivered::NoUtf8)
    }
}
