//! `[serve.tls]`.

use super::super::servers::TlsFiles;
use super::*;

#[test]
fn tls_needs_a_certificate_and_its_key() {
    let tls = |sources: Sources| sources.load().unwrap().serve.tls;
    assert_eq!(tls(sources()), None);
    let cert = || sources().env("M3A3_SERVE__TLS__CERT", "cert.pem");
    let files = TlsFiles { cert: "cert.pem".into(), key: "/etc/key.pem".into() };
    assert_eq!(tls(cert().flag("serve.tls.key", "/etc/key.pem")), Some(files.clone()));
    let file = sources().profile("[serve.tls]\ncert = \"cert.pem\"\nkey = \"/etc/key.pem\"");
    assert_eq!(tls(file), Some(files));
    assert_eq!(
        cert().error(),
        "serve.tls.cert is set and serve.tls.key is not; set both for TLS, or neither for plain HTTP"
    );
    assert_eq!(
        sources().flag("serve.tls.key", "key.pem").error(),
        "serve.tls.key is set and serve.tls.cert is not; set both for TLS, or neither for plain HTTP"
    );
}
