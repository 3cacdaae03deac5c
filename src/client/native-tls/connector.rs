//! The options of a connection, and the configuration of rustls for them.

use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};
use rustls_platform_verifier::Verifier;

use super::stream::MidHandshakeTlsStream;
use super::{Certificate, Error, HandshakeError, Identity, Protocol, Result, TlsStream};

/// A builder of [`TlsConnector`]s.
#[derive(Debug, Clone)]
pub struct TlsConnectorBuilder {
    roots: Vec<CertificateDer<'static>>,
    system_roots: bool,
    sni: bool,
    unverified: bool,
    min: Option<Protocol>,
    max: Option<Protocol>,
}

impl TlsConnectorBuilder {
    /// Sets the client certificate. It cannot be called, since there is no [`Identity`].
    pub fn identity(&mut self, identity: Identity) -> &mut Self {
        match identity.0 {}
    }

    /// Sets the oldest version that is accepted.
    pub fn min_protocol_version(&mut self, version: Option<Protocol>) -> &mut Self {
        self.min = version;
        self
    }

    /// Sets the newest version that is accepted.
    pub fn max_protocol_version(&mut self, version: Option<Protocol>) -> &mut Self {
        self.max = version;
        self
    }

    /// Adds a certificate authority to those of the system.
    pub fn add_root_certificate(&mut self, certificate: Certificate) -> &mut Self {
        self.roots.push(certificate.0);
        self
    }

    /// With `true`, only the added certificate authorities are trusted.
    pub fn disable_built_in_roots(&mut self, disable: bool) -> &mut Self {
        self.system_roots = !disable;
        self
    }

    /// With `true`, [`TlsConnectorBuilder::build`] fails: certificates are always verified.
    pub fn danger_accept_invalid_certs(&mut self, accept: bool) -> &mut Self {
        self.unverified |= accept;
        self
    }

    /// With `true`, [`TlsConnectorBuilder::build`] fails: host names are always verified.
    pub fn danger_accept_invalid_hostnames(&mut self, accept: bool) -> &mut Self {
        self.unverified |= accept;
        self
    }

    /// Whether the host name is sent (RFC 6066, section 3). On by default.
    pub fn use_sni(&mut self, sni: bool) -> &mut Self {
        self.sni = sni;
        self
    }

    /// The connector.
    ///
    /// # Errors
    /// When verification is turned off.
    pub fn build(&self) -> Result<TlsConnector> {
        if self.unverified {
            return Err(Error::new("the verification of certificates cannot be turned off"));
        }
        Ok(TlsConnector(Arc::new(Connector { options: self.clone(), config: OnceLock::new() })))
    }

    fn config(&self) -> std::result::Result<Arc<ClientConfig>, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions())?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.enable_sni = self.sni;
        Ok(Arc::new(config))
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> std::result::Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
        if self.system_roots {
            return Ok(Arc::new(Verifier::new_with_extra_roots(self.roots.clone(), provider.clone())?));
        }
        let mut roots = RootCertStore::empty();
        for root in &self.roots {
            roots.add(root.clone())?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build();
        Ok(verifier.map_err(|error| rustls::Error::General(error.to_string()))?)
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let accepts =
            |protocol| self.min.is_none_or(|min| min <= protocol) && self.max.is_none_or(|max| protocol <= max);
        let supported = [(Protocol::Tlsv12, &version::TLS12), (Protocol::Tlsv13, &version::TLS13)];
        supported.into_iter().filter(|(protocol, _)| accepts(*protocol)).map(|(_, version)| version).collect()
    }
}

/// A factory of TLS connections; a clone shares the configuration.
#[derive(Clone)]
pub struct TlsConnector(Arc<Connector>);

struct Connector {
    options: TlsConnectorBuilder,
    config: OnceLock<std::result::Result<Arc<ClientConfig>, rustls::Error>>,
}

impl TlsConnector {
    /// A connector with the default options.
    ///
    /// # Errors
    /// Never.
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// A builder with the default options.
    pub fn builder() -> TlsConnectorBuilder {
        TlsConnectorBuilder {
            roots: Vec::new(),
            system_roots: true,
            sni: true,
            unverified: false,
            min: None,
            max: None,
        }
    }

    /// Performs the handshake with the server `domain`, a DNS name or an IP address.
    ///
    /// # Errors
    /// When the handshake fails, the certificate is not valid for `domain`, or the stream would block.
    pub fn connect<S: Read + Write>(
        &self,
        domain: &str,
        stream: S,
    ) -> std::result::Result<TlsStream<S>, HandshakeError<S>> {
        let connection = self.connection(domain).map_err(HandshakeError::Failure)?;
        MidHandshakeTlsStream::new(connection, stream).handshake()
    }

    fn connection(&self, domain: &str) -> Result<ClientConnection> {
        let Connector { options, config } = &*self.0;
        let config = config.get_or_init(|| options.config()).clone().map_err(Error::new)?;
        let name = ServerName::try_from(domain.to_owned()).map_err(Error::new)?;
        ClientConnection::new(config, name).map_err(Error::new)
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector").finish_non_exhaustive()
    }
}
