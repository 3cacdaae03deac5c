//! X.509 certificates (RFC 5280) with keys of ECDSA P-256, as a certificate authority issues them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::ClientBuilder;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// In a SubjectAltName.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

const COMMON_NAME: [u8; 3] = [0x55, 4, 3];
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 29, 17];
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 29, 19];
/// ecdsa-with-SHA256, 1.2.840.10045.4.3.2.
const ECDSA_WITH_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// id-ecPublicKey, 1.2.840.10045.2.1.
const EC_PUBLIC_KEY: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// prime256v1, 1.2.840.10045.3.1.7.
const P256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

/// A certificate and its key.
pub struct Issued {
    pub der: Vec<u8>,
    name: String,
    pkcs8: Vec<u8>,
}

impl Issued {
    /// A certificate authority.
    pub fn authority(name: &str) -> Self {
        let pkcs8 = new_key();
        let der = certificate(name, &pkcs8, name, &pkcs8, -1..=3650, &[critical(&BASIC_CONSTRAINTS, &is_authority())]);
        Self { der, name: name.to_owned(), pkcs8 }
    }

    /// An authority below this one.
    pub fn intermediate(&self, name: &str) -> Self {
        let extension = critical(&BASIC_CONSTRAINTS, &is_authority());
        self.sign(name, -1..=3650, &[extension])
    }

    /// A certificate of a server at 127.0.0.1 and localhost, which expires after this number of days.
    pub fn server(&self, days: i64) -> Self {
        let names = [der(DNS_NAME, b"localhost"), der(IP_ADDRESS, &[127, 0, 0, 1])].concat();
        let names = [der(OID, &SUBJECT_ALT_NAME), der(OCTET_STRING, &der(SEQUENCE, &names))].concat();
        self.sign("m3a3 test server", -40..=days, &[der(SEQUENCE, &names)])
    }

    fn sign(&self, name: &str, days: std::ops::RangeInclusive<i64>, extensions: &[Vec<u8>]) -> Self {
        let pkcs8 = new_key();
        let der = certificate(name, &pkcs8, &self.name, &self.pkcs8, days, extensions);
        Self { der, name: name.to_owned(), pkcs8 }
    }

    pub fn cert_pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.pkcs8)
    }

    /// Writes the certificate and the key, each by replacing the file, as certbot does.
    pub fn write(&self, folder: &Path) {
        for (name, text) in [("cert.pem", self.cert_pem()), ("key.pem", self.key_pem())] {
            let temporary = folder.join("temporary.pem");
            std::fs::write(&temporary, text).unwrap();
            std::fs::rename(temporary, folder.join(name)).unwrap();
        }
    }

    /// A client that trusts this authority alone.
    pub fn client(&self) -> ClientBuilder {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = reqwest::Certificate::from_der(&self.der).unwrap();
        reqwest::Client::builder().no_proxy().tls_certs_only([authority]).timeout(Duration::from_secs(90))
    }

    /// Performs a handshake that offers these protocols.
    pub async fn connect(&self, url: &str, protocols: &[&str]) -> TlsStream<TcpStream> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.der.clone())).unwrap();
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(url.strip_prefix("https://").unwrap()).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// The certificate that the server at this URL presents to a new connection.
    pub async fn presented(&self, url: &str) -> Vec<u8> {
        let stream = self.connect(url, &["http/1.1"]).await;
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn new_key() -> Vec<u8> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
    key.as_ref().to_vec()
}

fn certificate(
    subject: &str,
    subject_key: &[u8],
    issuer: &str,
    issuer_key: &[u8],
    days: std::ops::RangeInclusive<i64>,
    extensions: &[Vec<u8>],
) -> Vec<u8> {
    let random = SystemRandom::new();
    let pair = |pkcs8| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &random).unwrap();
    let algorithm = der(SEQUENCE, &der(OID, &ECDSA_WITH_SHA256));
    let key_algorithm = der(SEQUENCE, &[der(OID, &EC_PUBLIC_KEY), der(OID, &P256)].concat());
    let public_key = bit_string(pair(subject_key).public_key().as_ref());
    let contents = [
        der(VERSION, &der(INTEGER, &[2])),
        der(INTEGER, &[1]),
        algorithm.clone(),
        name(issuer),
        der(SEQUENCE, &[time(*days.start()), time(*days.end())].concat()),
        name(subject),
        der(SEQUENCE, &[key_algorithm, public_key].concat()),
        der(EXTENSIONS, &der(SEQUENCE, &extensions.concat())),
    ];
    let contents = der(SEQUENCE, &contents.concat());
    let signature = pair(issuer_key).sign(&random, &contents).unwrap();
    der(SEQUENCE, &[contents, algorithm, bit_string(signature.as_ref())].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x100 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [header.as_slice(), content].concat()
}

fn bit_string(bytes: &[u8]) -> Vec<u8> {
    der(BIT_STRING, &[&[0], bytes].concat())
}

fn name(common_name: &str) -> Vec<u8> {
    let attribute = [der(OID, &COMMON_NAME), der(UTF8_STRING, common_name.as_bytes())].concat();
    der(SEQUENCE, &der(SET, &der(SEQUENCE, &attribute)))
}

/// The time in this number of days, before 2050.
fn time(days: i64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let time = Timestamp::from_second(now + days * 86_400).unwrap();
    der(UTC_TIME, time.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
}

fn critical(oid: &[u8], value: &[u8]) -> Vec<u8> {
    der(SEQUENCE, &[der(OID, oid), vec![1, 1, 0xff], der(OCTET_STRING, value)].concat())
}

fn is_authority() -> Vec<u8> {
    der(SEQUENCE, &[1, 1, 0xff])
}
