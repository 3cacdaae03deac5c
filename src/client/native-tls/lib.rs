//! The API of [`native-tls`](https://docs.rs/native-tls/0.2.18) that the dependencies of `rust_socketio` use,
//! implemented with rustls and ring.
//!
//! Certificates are verified against the certificate authorities of the system, or of `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`. They are loaded at the first connection, so that plain `http` needs none. There are no servers
//! ([`TlsAcceptor`]) and no client certificates ([`Identity`]), and verification cannot be turned off.

mod connector;
mod stream;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

pub use connector::{TlsConnector, TlsConnectorBuilder};
pub use stream::{HandshakeError, MidHandshakeTlsStream, TlsStream};

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of TLS, or an unsupported option.
#[derive(Debug)]
pub struct Error(Box<dyn StdError + Send + Sync>);

impl Error {
    fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// A version of the protocol. Only TLS 1.2 and 1.3 can be negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// SSL 3.0.
    Sslv3,
    /// TLS 1.0.
    Tlsv10,
    /// TLS 1.1.
    Tlsv11,
    /// TLS 1.2.
    Tlsv12,
    /// TLS 1.3.
    Tlsv13,
}

/// An X.509 certificate.
#[derive(Debug, Clone)]
pub struct Certificate(CertificateDer<'static>);

impl Certificate {
    /// A certificate in DER. It is parsed when it is used.
    ///
    /// # Errors
    /// Never.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        Ok(Self(CertificateDer::from(der.to_vec())))
    }

    /// The first certificate of a PEM file.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        CertificateDer::from_pem_slice(pem).map(Self).map_err(|error| Error::new(error.to_string()))
    }

    /// The certificate in DER.
    ///
    /// # Errors
    /// Never.
    pub fn to_der(&self) -> Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }
}

/// A client certificate, which is not supported: there is no value of this type.
#[derive(Debug, Clone)]
pub struct Identity(Infallible);

impl Identity {
    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub fn from_pkcs12(_: &[u8], _: &str) -> Result<Self> {
        Err(Error::new("client certificates are not supported"))
    }

    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub fn from_pkcs8(_: &[u8], _: &[u8]) -> Result<Self> {
        Err(Error::new("client certificates are not supported"))
    }
}

/// The server side of TLS, which is not supported: there is no value of this type.
#[derive(Debug, Clone)]
pub struct TlsAcceptor(Infallible);

impl TlsAcceptor {
    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub fn accept<S>(&self, _: S) -> std::result::Result<TlsStream<S>, HandshakeError<S>> {
        match self.0 {}
    }
}
