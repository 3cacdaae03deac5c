use tempfile::TempDir;

use super::*;

fn task(payload: &str) -> MailTask {
    serde_json::from_str(payload).unwrap()
}

fn folder(templates: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, source) in templates {
        std::fs::write(folder.path().join(name), source).unwrap();
    }
    folder
}

fn complaint(templates: &[(&str, &str)]) -> String {
    let folder = folder(templates);
    let error = Templates::load(Some(folder.path())).err().unwrap().to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn every_kind_of_mail_has_a_subject_a_text_and_html() {
    let templates = Templates::load(None).unwrap();
    for (example, says) in EXAMPLES.iter().zip(["photo.jpg", "photo.jpg", "not a picture", "A-1001"]) {
        let mail = templates.render_mail(&task(example), Some("Ada"), "cid:x@y").unwrap();
        assert!(mail.text.starts_with("Hello Ada,\n\n") && mail.text.contains(says), "{mail:?}");
        assert!(mail.html.contains("<bdi>Ada</bdi>") && mail.html.contains(says), "{mail:?}");
        assert!(mail.html.contains(&format!("<title>{}</title>", mail.subject)), "{mail:?}");
        assert!(mail.html.contains("src=\"cid:x@y\"") == example.contains("thumbnail_ready"), "{mail:?}");
        let nameless = templates.render_mail(&task(example), Some("\u{200b}\n"), "cid:x@y").unwrap();
        assert!(nameless.text.starts_with("Hello,\n"), "{nameless:?}");
    }
    let order = templates.render_mail(&task(EXAMPLES[3]), None, "").unwrap();
    assert!(order.text.contains("2026-10-31 10:00 UTC"), "{order:?}");
}

#[test]
fn a_mail_to_confirm_an_address_names_the_site_the_link_and_its_end() {
    let templates = Templates::load(None).unwrap();
    let mail =
        templates.render_mail(&task(EXAMPLES[4]), None, "https://shop.example/m/confirm-email?token=a-b_").unwrap();
    assert_eq!(mail.subject, "Confirm your email address for shop.example");
    assert!(mail.text.starts_with("Hello,\n") && mail.text.contains("2026-10-31 10:00 UTC"), "{mail:?}");
    assert!(mail.text.contains("\nhttps://shop.example/m/confirm-email?token=a-b_\n"), "{mail:?}");
    assert!(mail.html.contains("confirm-email?token=a-b_\""), "{mail:?}");
    assert_eq!([host("http://127.0.0.1:3010"), host("https://a/b/c")], ["127.0.0.1:3010", "a"]);
}

#[test]
fn untrusted_text_is_rendered_on_one_line_and_never_as_markup() {
    let templates = Templates::load(None).unwrap();
    let hostile = r#"{"notice":"upload_received","userId":7,"picture":"<b>\r\nBcc: e@x\u202e{{ 7 * 7 }}"}"#;
    let mail = templates.render_mail(&task(hostile), Some("</bdi><script>\n"), "").unwrap();
    assert_eq!(mail.subject, "We have your picture <b> Bcc: e@x{{ 7 * 7 }}");
    assert!(mail.text.contains("your picture <b> Bcc: e@x{{ 7 * 7 }} has"), "{mail:?}");
    assert!(!mail.html.contains("<script>") && !mail.html.contains("<bdi><b>"), "{mail:?}");
    assert!(mail.html.contains("&lt;b&gt; Bcc: e@x{{ 7 * 7 }}"), "{mail:?}");
}

#[test]
fn a_template_of_the_folder_replaces_the_embedded_one() {
    let folder = folder(&[
        ("upload_received.txt", "Subject: Merci, {{ name or 'inconnu' }}\r\n\r\n{{ picture }} est là."),
        ("layout.html", "<p>{{ subject }}</p>{% block body %}{% endblock %}"),
        ("notes.md", "not a template {{"),
    ]);
    let templates = Templates::load(Some(folder.path())).unwrap();
    let mail = templates.render_mail(&task(EXAMPLES[0]), None, "").unwrap();
    assert_eq!((mail.subject.as_str(), mail.text.as_str()), ("Merci, inconnu", "photo.jpg est là.\n"));
    assert!(mail.html.starts_with("<p>Merci, inconnu</p>"), "{mail:?}");
    assert!(mail.html.contains("has arrived"), "{mail:?}");
}

#[test]
fn an_error_in_a_template_has_its_file_and_line() {
    let text = "Subject: x\n\n";
    for (name, source, says) in [
        ("upload_received.txt", format!("{text}{{% if %}}"), "upload_received.txt, line 3: "),
        ("upload_received.html", "<p>\n{{ pictrue }}".into(), "upload_received.html, line 2: `pictrue` is undefined"),
        (
            "order_confirmed.txt",
            format!("{text}{{{{ picture }}}}"),
            "order_confirmed.txt, line 3: `picture` is undefined",
        ),
        ("layout.html", "{% if name %}\n{{ name.x.y }}{% endif %}".into(), "layout.html, line 2: "),
        ("thumbnail_ready.html", "{% extends 'base.html' %}".into(), "thumbnail_ready.html, line 1: "),
        ("thumbnail_ready.txt", "Hello".into(), "thumbnail_ready.txt, line 1: it must start with a line \"Subject: "),
        ("thumbnail_ready.txt", "Subject: \n\nHello".into(), "thumbnail_ready.txt, line 1: it must start"),
        (
            "thumbnail_raedy.txt",
            text.into(),
            "thumbnail_raedy.txt, line 1: there is no template of this name; known names are layout",
        ),
    ] {
        let complaint = complaint(&[(name, &source)]);
        assert!(complaint.starts_with(says), "{complaint}");
    }
}

#[test]
fn a_missing_folder_is_an_error() {
    let error = Templates::load(Some(Path::new("no/such/folder"))).err().unwrap().to_string();
    assert_eq!(error, "cannot read no/such/folder, which email.templates names");
}
