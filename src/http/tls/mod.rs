//! TLS of the servers: the certificate and its key, which are loaded again while the servers run.
//!
//! Reads the files of `serve.tls.cert` and `serve.tls.key`, and changes neither. A pair that cannot be used never
//! replaces the current one. Handshakes that are in progress and open connections keep the certificate with which they
//! began.
//!
//! - `pair`, `pem`: the files and what is wrong with them
//! - `reloader`: the task that loads them again

mod pair;
mod pem;
mod reloader;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::pair::Pair;
pub(crate) use self::pair::{Expiry, PairError};
pub(crate) use self::reloader::Reloader;

/// The time limit of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The name of HTTP/1.1 in ALPN (RFC 7301, section 6).
const HTTP_1_1: &[u8] = b"http/1.1";
/// The name of HTTP/2 in ALPN (RFC 9113, section 3.1).
pub(super) const HTTP_2: &[u8] = b"h2";

/// The files of a certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate of the server, followed by the intermediate certificates.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The TLS of all servers of a process; a clone shares it.
#[derive(Clone)]
pub struct Tls {
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

/// TLS that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    Pair(#[from] PairError),
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// What clients will think of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) expiry: Expiry,
    /// The same as a sentence about "the certificate".
    pub(crate) validity: String,
    /// Why some clients may not find its issuer.
    pub(crate) chain_problem: Option<String>,
}

/// Reads and checks the files. Blocks while it reads them.
///
/// # Errors
/// If they are not a certificate and its key.
pub(crate) fn check(files: &Files) -> Result<Checked, PairError> {
    let pair = Pair::load(files)?;
    let (expiry, validity) = pair.validity.now();
    Ok(Checked { expiry, validity, chain_problem: pair.chain_problem() })
}

impl Tls {
    /// Reads the files, with TLS 1.2 and 1.3, and HTTP/2 or HTTP/1.1 by ALPN. Blocks while it reads them.
    ///
    /// Session tickets have a key that changes every six hours, and that a restart replaces.
    ///
    /// # Errors
    /// If they are not a certificate and its key.
    pub(crate) fn load(files: Files) -> Result<(Self, Reloader), TlsError> {
        // Before they are read, so that no change is missed.
        let stamps = reloader::stamps(&files);
        let pair = Pair::load(&files)?;
        pair.warn();
        let current = Arc::new(Current(RwLock::new(Arc::new(pair))));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
        config.ticketer = ring::Ticketer::new()?;
        let tls = Self { current, acceptor: TlsAcceptor::from(Arc::new(config)) };
        Ok((tls.clone(), Reloader::new(files, stamps, tls)))
    }

    /// The end of the certificate's validity, in seconds since 1970.
    pub(crate) fn expires_at(&self) -> f64 {
        self.current.pair().validity.not_after_s as f64
    }

    /// Performs the handshake of a new connection.
    ///
    /// # Errors
    /// If the client sends something else than TLS 1.2 or 1.3, refuses the certificate, disconnects, or takes longer
    /// than [`HANDSHAKE_TIMEOUT`].
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake was not finished in time"))
        })
    }

    fn replace(&self, pair: Pair) {
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("validity", &self.current.pair().validity).finish_non_exhaustive()
    }
}

/// The pair for new handshakes.
#[derive(Debug)]
struct Current(RwLock<Arc<Pair>>);

impl Current {
    fn pair(&self) -> Arc<Pair> {
        // Nothing panics while the lock is held.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Current {
    /// The same for every name, and for clients that send none.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.pair().certified))
    }
}
