//! The files of the certificate: what is wrong with them, at the start and in the doctor.

use std::process::Command;

use crate::harness::app::App;
use crate::harness::binary::{Ran, Workdir};
use crate::harness::certificates::{Issued, pem};

/// The certificate, the key, and a part of the error.
type Case<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'static str);

/// The error with which a server does not start.
fn refusal(cert: Option<&[u8]>, key: Option<&[u8]>) -> String {
    let workdir = Workdir::new();
    for (name, content) in [("cert.pem", cert), ("key.pem", key)] {
        if let Some(content) = content {
            workdir.write(name, content);
        }
    }
    let settings = ["--set", "serve.tls.cert=cert.pem", "--set", "serve.tls.key=key.pem", "--set", "serve.port=0"];
    let ran = workdir.run(&[&["serve"][..], &settings].concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    let last = ran.stderr.lines().last().unwrap().to_owned();
    assert!(last.starts_with("m3a3: "), "{}", ran.stderr);
    last
}

#[test]
fn a_server_does_not_start_with_files_that_are_no_pair_and_says_why() {
    let authority = Issued::authority("root");
    let ours = authority.server(90);
    let (cert, key) = (ours.cert_pem(), ours.key_pem());
    let (cert, key) = (cert.as_bytes(), key.as_bytes());
    let other_key = authority.server(90).key_pem();
    let chain_first = [authority.cert_pem(), ours.cert_pem()].concat();
    let encrypted = pem("ENCRYPTED PRIVATE KEY", b"0\x03\x02\x01\0");
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
                  -----END RSA PRIVATE KEY-----\n";
    let request = pem("CERTIFICATE REQUEST", b"0\0");
    let cut = &cert[..cert.len() / 2];
    let unusable = pem("PRIVATE KEY", b"0\x03\x02\x01\0");
    let no_certificate = pem("CERTIFICATE", b"0\x03\x02\x01\0");
    let cases: [Case<'_>; 15] = [
        (None, Some(key), "serve.tls.cert: cannot read cert.pem: No such file or directory"),
        (Some(cert), None, "serve.tls.key: cannot read key.pem: No such file or directory"),
        (Some(&ours.der), Some(key), "serve.tls.cert: cert.pem is DER or PKCS #12, expected PEM (for DER: `openssl"),
        (Some(cert), Some(b"secret"), "serve.tls.key: key.pem is not PEM, expected a section `BEGIN PRIVATE KEY`"),
        (Some(b""), Some(key), "serve.tls.cert: cert.pem is not PEM, expected a section `BEGIN CERTIFICATE`"),
        (Some(cut), Some(key), "serve.tls.cert: cert.pem is damaged: a section has no END line"),
        (Some(key), Some(cert), "are swapped: cert.pem has a private key, and key.pem a certificate"),
        (Some(request.as_bytes()), Some(key), "serve.tls.cert: cert.pem has a certificate request, expected"),
        (Some(cert), Some(cert), "serve.tls.key: key.pem has a certificate, expected a section `BEGIN PRIVATE KEY`"),
        (Some(cert), Some(encrypted.as_bytes()), "serve.tls.key: key.pem is encrypted, expected a key without a"),
        (Some(cert), Some(legacy.as_bytes()), "serve.tls.key: key.pem is encrypted, expected a key without a"),
        (Some(cert), Some(unusable.as_bytes()), "serve.tls.key: the key in key.pem cannot be used, expected RSA"),
        (Some(no_certificate.as_bytes()), Some(key), "serve.tls.cert: the certificate in cert.pem cannot be used"),
        (
            Some(cert),
            Some(other_key.as_bytes()),
            "serve.tls.key: key.pem is not the key of the certificate in cert.pem (serve.tls.cert)",
        ),
        (Some(chain_first.as_bytes()), Some(key), "serve.tls.cert: the certificate of the key in key.pem is number 2"),
    ];
    for (cert, key, expected) in cases {
        let refusal = refusal(cert, key);
        assert!(refusal.contains(expected), "{refusal}\nexpected: {expected}");
    }
}

#[test]
fn a_certificate_needs_a_key_and_a_key_a_certificate() {
    let ran = Workdir::new().run(&["serve", "--set", "serve.tls.cert=cert.pem"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("serve.tls.cert is set and serve.tls.key is not"), "{}", ran.stderr);
}

/// The line of the doctor about the certificate.
async fn diagnosis(app: &App) -> String {
    let mut command: Command = app.command(&["doctor"]);
    let ran = tokio::task::spawn_blocking(move || Ran::of(&mut command)).await.unwrap();
    let line = ran.stdout.lines().find(|line| line.get(7..).is_some_and(|rest| rest.starts_with("TLS ")));
    line.unwrap_or_else(|| panic!("{}", ran.stdout)).to_owned()
}

#[tokio::test]
async fn the_doctor_reports_a_certificate_from_21_days_before_its_end() {
    let plain = App::new(&[]).await;
    assert!(diagnosis(&plain).await.starts_with("ok     TLS "));
    let app = App::new(&["serve.tls.cert=cert.pem", "serve.tls.key=key.pem"]).await;
    let line = diagnosis(&app).await;
    assert!(line.starts_with("WRONG") && line.contains("cannot read cert.pem"), "{line}");
    let authority = Issued::authority("root");
    for (days, severity, text) in [
        (90, "ok ", "cert.pem is valid until "),
        (20, "note ", "days -> renew it"),
        (-1, "WRONG ", "clients refuse it -> renew it"),
    ] {
        authority.server(days).write(app.dir.path());
        let line = diagnosis(&app).await;
        assert!(line.starts_with(severity) && line.contains(text), "{line}");
    }
    let intermediate = authority.intermediate("intermediate");
    let server = intermediate.server(90);
    server.write(app.dir.path());
    app.dir.write("cert.pem", [server.cert_pem(), intermediate.cert_pem(), authority.cert_pem()].concat());
    assert!(diagnosis(&app).await.starts_with("ok "));
    app.dir.write("cert.pem", [server.cert_pem(), authority.cert_pem(), intermediate.cert_pem()].concat());
    let line = diagnosis(&app).await;
    assert!(line.starts_with("note ") && line.contains("certificate 1 is not issued by certificate 2"), "{line}");
}

#[tokio::test]
async fn an_expired_certificate_is_served_with_a_warning() {
    let app = App::new(&["serve.tls.cert=cert.pem", "serve.tls.key=key.pem"]).await;
    Issued::authority("root").server(-1).write(app.dir.path());
    let serve = app.serve();
    serve.until_logged("serve.tls.cert: the certificate expired at").await;
}
