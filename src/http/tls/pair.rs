//! A certificate with its key, checked before it is used.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use webpki::{EndEntityCert, KeyUsage};

use super::Files;
use super::pem::{self, Key};

/// Warnings begin this long before the end of the validity. Certificates of 90 days are usually renewed 30 days before
/// it.
const WARN_BEFORE_S: u64 = 21 * DAY_S;
const DAY_S: u64 = 86_400;

/// Two files that are not a certificate and its key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairError {
    #[error("{}: cannot read {}", key.name(), path.display())]
    Unreadable { key: Key, path: PathBuf, source: io::Error },
    #[error("{}: {} is DER or PKCS #12, expected PEM (for DER: `{conversion} {} -out FILE`)", key.name(), path.display(), path.display())]
    Der { key: Key, path: PathBuf, conversion: &'static str },
    #[error("{}: {} is not PEM, expected a section `{expected}`", key.name(), path.display())]
    NotPem { key: Key, path: PathBuf, expected: &'static str },
    #[error("{}: {} is damaged: {problem}", key.name(), path.display())]
    Damaged { key: Key, path: PathBuf, problem: &'static str },
    #[error("{}: {} has {found}, expected a section `{expected}`", key.name(), path.display())]
    Missing { key: Key, path: PathBuf, found: String, expected: &'static str },
    #[error(
        "serve.tls.cert and serve.tls.key are swapped: {} has a private key, and {} a certificate",
        .0.cert.display(),
        .0.key.display()
    )]
    Swapped(Files),
    #[error(
        "serve.tls.key: {} is encrypted, expected a key without a password (`openssl pkey -in {} -out FILE`)",
        path.display(),
        path.display()
    )]
    Encrypted { path: PathBuf },
    #[error(
        "serve.tls.key: the key in {} cannot be used, expected RSA of 2048 to 4096 bits, ECDSA P-256 or P-384, or Ed25519",
        path.display()
    )]
    UnusableKey { path: PathBuf, source: Error },
    #[error("serve.tls.cert: the certificate in {} cannot be used, expected X.509 version 3", path.display())]
    Invalid { path: PathBuf, source: webpki::Error },
    #[error(
        "serve.tls.key: {} is not the key of the certificate in {} (serve.tls.cert); expected the key with which the \
         certificate was requested",
        .0.key.display(),
        .0.cert.display()
    )]
    Mismatch(Files),
    #[error(
        "serve.tls.cert: the certificate of the key in {} is number {position} in {}, expected it to be the first, \
         followed by the intermediate certificates",
        files.key.display(),
        files.cert.display()
    )]
    NotFirst { files: Files, position: usize },
    #[error("serve.tls.cert and serve.tls.key cannot be used together")]
    Other(#[source] Error),
}

/// When a certificate is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before_s: u64,
    pub(crate) not_after_s: u64,
}

/// The state of a certificate at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expiry {
    Valid,
    /// Valid for at most [`WARN_BEFORE_S`].
    Soon,
    /// Clients refuse it.
    Expired,
    /// Clients refuse it.
    NotYetValid,
}

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) validity: Validity,
    /// The number of the first certificate that is not issued by the next one, from 1.
    broken_link: Option<usize>,
    path: PathBuf,
}

impl Pair {
    /// Reads and checks the files. Blocks while it reads them.
    pub(super) fn load(files: &Files) -> Result<Self, PairError> {
        let (chain, key) = pem::read(files)?;
        let unusable = |source| PairError::UnusableKey { path: files.key.clone(), source };
        let key = any_supported_type(&key).map_err(unusable)?;
        let invalid = |source| PairError::Invalid { path: files.cert.clone(), source };
        let validity = chain.first().map_or(Err(webpki::Error::BadDer), Validity::of).map_err(invalid)?;
        let broken_link = broken_link(&chain);
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => {}
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => return Err(mismatch(files, certified)),
            Err(error) => return Err(PairError::Other(error)),
        }
        Ok(Self { certified: Arc::new(certified), validity, broken_link, path: files.cert.clone() })
    }

    /// Logs what clients may not accept.
    pub(super) fn warn(&self) {
        let path = self.path.display();
        let (expiry, validity) = self.validity.now();
        if expiry != Expiry::Valid {
            tracing::warn!(%path, "serve.tls.cert: the certificate {validity}");
        }
        if let Some(problem) = self.chain_problem() {
            tracing::warn!(%path, "serve.tls.cert: {problem}");
        }
    }

    /// Why some clients may not find the issuer of the certificate.
    pub(super) fn chain_problem(&self) -> Option<String> {
        let number = self.broken_link?;
        let next = number + 1;
        Some(format!(
            "certificate {number} is not issued by certificate {next}; expected the certificate of the server first, \
             and after each certificate its issuer"
        ))
    }
}

impl Validity {
    /// Reads the validity (RFC 5280, section 4.1.2.5) of a certificate. webpki compares it with a time before it
    /// verifies anything else, and reports the limit that the time is beyond.
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, webpki::Error> {
        let certificate = EndEntityCert::try_from(certificate)?;
        let at = |time_s| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(time_s));
            certificate.verify_for_usage(&[], &[], &[], time, KeyUsage::server_auth(), None, None).err()
        };
        let not_after_s = match at(u64::MAX) {
            Some(webpki::Error::CertExpired { not_after, .. }) => not_after.as_secs(),
            Some(error) => return Err(error),
            None => u64::MAX,
        };
        let not_before_s = match at(0) {
            Some(webpki::Error::CertNotValidYet { not_before, .. }) => not_before.as_secs(),
            _ => 0,
        };
        Ok(Self { not_before_s, not_after_s })
    }

    /// The state at a time, in seconds since 1970, and its description after "the certificate".
    pub(crate) fn at(&self, time_s: u64) -> (Expiry, String) {
        let end = date(self.not_after_s);
        if time_s > self.not_after_s {
            return (Expiry::Expired, format!("expired at {end}; clients refuse it"));
        }
        if time_s < self.not_before_s {
            let text = format!("is not valid before {}; clients refuse it until then", date(self.not_before_s));
            return (Expiry::NotYetValid, text);
        }
        let left_s = self.not_after_s - time_s;
        if left_s > WARN_BEFORE_S {
            return (Expiry::Valid, format!("is valid until {end}"));
        }
        (Expiry::Soon, format!("expires at {end}, in {} days", left_s / DAY_S))
    }

    /// The state now.
    pub(crate) fn now(&self) -> (Expiry, String) {
        self.at(now_s())
    }
}

/// The time in seconds since 1970.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn date(time_s: u64) -> String {
    let time = i64::try_from(time_s).ok().and_then(|time_s| Timestamp::from_second(time_s).ok());
    time.map_or_else(|| "a time after the year 9999".to_owned(), |time| time.to_string())
}

/// The certificate of the key may be another one in the file.
fn mismatch(files: &Files, certified: CertifiedKey) -> PairError {
    let CertifiedKey { cert, key, .. } = certified;
    let is_of_key = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&key)).keys_match().is_ok()
    };
    match cert.iter().position(is_of_key) {
        Some(at) => PairError::NotFirst { files: files.clone(), position: at + 1 },
        None => PairError::Mismatch(files.clone()),
    }
}

/// The number of the first certificate whose issuer is not the subject of the next one. A certificate that webpki cannot
/// parse, such as an old root, is not compared.
fn broken_link(chain: &[CertificateDer<'_>]) -> Option<usize> {
    let is_broken = |pair: &[CertificateDer<'_>]| match pair {
        [certificate, issuer] => match (EndEntityCert::try_from(certificate), EndEntityCert::try_from(issuer)) {
            (Ok(certificate), Ok(issuer)) => certificate.issuer() != issuer.subject(),
            _ => false,
        },
        _ => false,
    };
    chain.windows(2).position(is_broken).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

    fn fixture(cert: &str, key: &str) -> Files {
        let folder = Path::new(FOLDER);
        Files { cert: folder.join(cert), key: folder.join(key) }
    }

    #[test]
    fn the_validity_is_that_of_the_certificate() {
        let pair = Pair::load(&fixture("receiver.pem", "receiver.key")).unwrap();
        let Validity { not_before_s, not_after_s } = pair.validity;
        assert_eq!(not_after_s - not_before_s, 36_500 * DAY_S);
        assert_eq!(pair.broken_link, None);
    }

    #[test]
    fn a_certificate_is_reported_21_days_before_its_end() {
        let validity = Validity { not_before_s: 1_000, not_after_s: 1_000 + 90 * DAY_S };
        let at = |time_s| validity.at(time_s);
        assert_eq!(at(999).0, Expiry::NotYetValid);
        assert_eq!(at(1_000), (Expiry::Valid, "is valid until 1970-04-01T00:16:40Z".to_owned()));
        assert_eq!(at(validity.not_after_s - WARN_BEFORE_S - 1).0, Expiry::Valid);
        let soon = (Expiry::Soon, "expires at 1970-04-01T00:16:40Z, in 21 days".to_owned());
        assert_eq!(at(validity.not_after_s - WARN_BEFORE_S), soon);
        assert_eq!(at(validity.not_after_s).0, Expiry::Soon);
        let expired = (Expiry::Expired, "expired at 1970-04-01T00:16:40Z; clients refuse it".to_owned());
        assert_eq!(at(validity.not_after_s + 1), expired);
        assert_eq!(date(u64::MAX), "a time after the year 9999");
    }
}
