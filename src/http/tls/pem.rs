//! The sections of the two files, and errors that say what is in a file instead.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Files;
use super::pair::PairError;

/// Far above the size of any chain.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The first byte of DER, and of PKCS #12, which is DER as well: a SEQUENCE.
const DER_SEQUENCE: u8 = 0x30;

/// The key of the configuration that names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Cert,
    Key,
}

impl Key {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cert => "serve.tls.cert",
            Self::Key => "serve.tls.key",
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Cert => "BEGIN CERTIFICATE",
            Self::Key => "BEGIN PRIVATE KEY",
        }
    }

    /// The command that converts a file of DER.
    fn conversion(self) -> &'static str {
        match self {
            Self::Cert => "openssl x509 -inform der -in",
            Self::Key => "openssl pkey -inform der -in",
        }
    }
}

/// The sections of one file.
struct Sections {
    key: Key,
    path: PathBuf,
    sections: Vec<(SectionKind, Vec<u8>)>,
    /// Whether a section is an encrypted private key.
    is_encrypted: bool,
}

/// Reads the chain and the key.
pub(super) fn read(files: &Files) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PairError> {
    let cert = Sections::read(Key::Cert, &files.cert)?;
    let key = Sections::read(Key::Key, &files.key)?;
    if !cert.has(is_certificate) && cert.has_key() && !key.has_key() && key.has(is_certificate) {
        return Err(PairError::Swapped(files.clone()));
    }
    Ok((cert.certificates()?, key.private_key()?))
}

impl Sections {
    fn read(key: Key, path: &Path) -> Result<Self, PairError> {
        let unreadable = |source| PairError::Unreadable { key, path: path.to_owned(), source };
        let text = read_file(path).map_err(unreadable)?;
        if !contains(&text, "-----BEGIN") {
            let path = path.to_owned();
            return Err(match text.first() {
                Some(&DER_SEQUENCE) => PairError::Der { key, path, conversion: key.conversion() },
                _ => PairError::NotPem { key, path, expected: key.expected() },
            });
        }
        let is_encrypted = contains(&text, "BEGIN ENCRYPTED PRIVATE KEY") || contains(&text, "Proc-Type: 4,ENCRYPTED");
        let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(&text).collect::<Result<_, _>>();
        let sections = match sections {
            Ok(sections) => sections,
            // The header lines of an encrypted key are not base64 (RFC 1421).
            Err(_) if is_encrypted => Vec::new(),
            Err(error) => return Err(PairError::Damaged { key, path: path.to_owned(), problem: problem(&error) }),
        };
        Ok(Self { key, path: path.to_owned(), sections, is_encrypted })
    }

    fn has(&self, is_wanted: fn(&SectionKind) -> bool) -> bool {
        self.sections.iter().any(|(kind, _)| is_wanted(kind))
    }

    fn has_key(&self) -> bool {
        self.is_encrypted || self.has(is_private_key)
    }

    fn certificates(self) -> Result<Vec<CertificateDer<'static>>, PairError> {
        if !self.has(is_certificate) {
            return Err(self.missing());
        }
        let certificates = self.sections.into_iter().filter(|(kind, _)| is_certificate(kind));
        Ok(certificates.map(|(_, der)| CertificateDer::from(der)).collect())
    }

    /// The first private key.
    fn private_key(mut self) -> Result<PrivateKeyDer<'static>, PairError> {
        let first = self.sections.iter().position(|(kind, _)| is_private_key(kind));
        let key = first.and_then(|first| {
            let (kind, der) = self.sections.swap_remove(first);
            PrivateKeyDer::from_pem(kind, der)
        });
        match key {
            Some(key) => Ok(key),
            None if self.is_encrypted => Err(PairError::Encrypted { path: self.path }),
            None => Err(self.missing()),
        }
    }

    fn missing(&self) -> PairError {
        let (key, path, expected) = (self.key, self.path.clone(), self.key.expected());
        let mut found: Vec<_> = self.sections.iter().map(|(kind, _)| label(*kind)).collect();
        if self.is_encrypted {
            found.push("an encrypted private key");
        }
        found.dedup();
        let found = if found.is_empty() { "sections of another kind".to_owned() } else { found.join(" and ") };
        PairError::Missing { key, path, found, expected }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::metadata(path)?;
    if !file.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if file.len() > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    fs::read(path)
}

fn contains(text: &[u8], part: &str) -> bool {
    memchr::memmem::find(text, part.as_bytes()).is_some()
}

fn is_certificate(kind: &SectionKind) -> bool {
    matches!(kind, SectionKind::Certificate)
}

fn is_private_key(kind: &SectionKind) -> bool {
    matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
}

fn label(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Certificate => "a certificate",
        SectionKind::PublicKey => "a public key",
        SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => "a private key",
        SectionKind::Csr => "a certificate request",
        SectionKind::Crl => "a revocation list",
        _ => "a section of another kind",
    }
}

/// The problem without the text of the line, which may be a part of the key.
fn problem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be parsed",
    }
}
