//! Mail: sent to a real server, which defers, refuses, hangs, disconnects and recovers, or written to files.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use m3a3::db::now;
use m3a3::files::{Files, NameKey};
use m3a3::ids::{JobId, UserId};
use m3a3::job_payloads::MailTask;
use m3a3::jobs::enqueue;
use mail_parser::MessageParser;
use rand::RngExt;

use crate::harness::app::{App, Process, eventually};
use crate::harness::pictures::jpeg;
use crate::harness::ports::free_address;
use crate::harness::smtp::{Act, MailServer, Moment};

/// An installation that sends its mail to this URL.
async fn mailing_to(url: &str, settings: &[&str]) -> App {
    let url = format!("email.smtp_url={url}");
    let app = App::new(&[&[url.as_str(), "email.from=m3a3 <post@m3a3.example>"], settings].concat()).await;
    assert_eq!(app.dir.run(&["migrate"]).code, Some(0));
    app
}

/// The key of thumbnails that tests store.
fn name_key() -> NameKey {
    NameKey::new(&[7; NameKey::LEN])
}

fn worker(app: &App) -> Process {
    app.start(&["worker", "email"])
}

/// Inserts a user.
fn user(app: &App, id: i64, username: Option<&str>, email: Option<&str>) {
    diesel::sql_query("INSERT INTO users (id, username, email) VALUES (?, ?, ?)")
        .bind::<BigInt, _>(id)
        .bind::<Nullable<Text>, _>(username)
        .bind::<Nullable<Text>, _>(email)
        .execute(&mut app.database())
        .unwrap();
}

/// Enqueues the job of a mail.
fn post(app: &App, task: &MailTask) -> JobId {
    enqueue(&mut app.database(), task, now()).unwrap().unwrap()
}

fn upload(user: i64, file_name: &str) -> MailTask {
    MailTask::UploadReceived { user_id: UserId::new(user).unwrap(), file_name: file_name.to_owned() }
}

/// Enqueues the default mail to the default user.
fn post_one(app: &App) -> JobId {
    user(app, 7, Some("Ada"), Some("ada@example.org"));
    post(app, &upload(7, "photo.jpg"))
}

/// The state of a job and of its mail.
#[derive(Debug, QueryableByName)]
struct Status {
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    attempts: i64,
    #[diesel(sql_type = Text)]
    error: String,
    #[diesel(sql_type = Text)]
    note: String,
    #[diesel(sql_type = Text)]
    mail: String,
}

impl Status {
    fn is(&self, state: &str, attempts: i64, mail: &str) -> bool {
        (self.state.as_str(), self.attempts, self.mail.as_str()) == (state, attempts, mail)
    }
}

fn status(app: &App, job: JobId) -> Status {
    diesel::sql_query(
        "SELECT j.state, j.attempts, ifnull(j.error, '') AS error, ifnull(j.note, '') AS note,
             ifnull(m.state, '') AS mail
         FROM jobs j LEFT JOIN mails m ON m.job_id = j.id WHERE j.id = ?",
    )
    .bind::<Text, _>(job.to_string())
    .get_result(&mut app.database())
    .unwrap()
}

async fn until(app: &App, job: JobId, wanted: impl Fn(&Status) -> bool) -> Status {
    eventually("the job reaches the status", || async { Some(status(app, job)).filter(|status| wanted(status)) }).await
}

async fn until_sent(app: &App, job: JobId) -> Status {
    let status = until(app, job, |status| status.state == "done").await;
    assert_eq!(status.mail, "sent", "{status:?}");
    status
}

#[tokio::test]
async fn a_mail_arrives_once_with_its_headers() {
    let server = MailServer::taking();
    let app = mailing_to(&server.url, &[]).await;
    let job = post_one(&app);
    let _worker = worker(&app);
    assert_eq!(until_sent(&app, job).await.attempts, 0);
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].recipients, ["RCPT TO:<ada@example.org>"]);
    let mail = mails[0].parse();
    assert_eq!(mail.subject(), Some("We have your picture photo.jpg"));
    assert_eq!(mail.message_id(), Some(format!("{job}@m3a3.example").as_str()));
    assert_eq!(mail.from().unwrap().first().unwrap().name.as_deref(), Some("m3a3"));
    let kept = format!("SELECT count(*) FROM mails WHERE message_id = '<{job}@m3a3.example>' AND user_id = 7");
    assert_eq!((app.count(&kept), app.count("SELECT count(*) FROM mails")), (1, 1));
    app.assert_none_is_left_of(&["email"]).await;
}

#[tokio::test]
async fn a_thumbnail_is_embedded_in_its_mail() {
    let server = MailServer::taking();
    let app = mailing_to(&server.url, &[]).await;
    user(&app, 7, None, Some("ada@example.org"));
    let files = Files::open(&app.dir.path().join("data")).unwrap();
    let thumbnail = files.save_thumbnail(&name_key(), &jpeg(1), "jpg").unwrap().to_string();
    let user_id = UserId::new(7).unwrap();
    post(&app, &MailTask::ThumbnailReady { user_id, file_name: "photo.jpg".into(), thumbnail, variants: Vec::new() });
    let _worker = worker(&app);
    let mail = server.until(1).await.remove(0);
    let mail = mail.parse();
    assert_eq!(mail.attachments().next().unwrap().contents(), jpeg(1));
    app.assert_none_is_left_of(&["email"]).await;
}

#[tokio::test]
async fn a_mail_embeds_the_largest_thumbnail_that_fits_or_none() {
    const MAX: usize = 1 << 20;
    let server = MailServer::taking();
    let app = mailing_to(&server.url, &[]).await;
    user(&app, 7, None, Some("ada@example.org"));
    let files = Files::open(&app.dir.path().join("data")).unwrap();
    let save =
        |byte: u8, length: usize| files.save_thumbnail(&name_key(), &vec![byte; length], "png").unwrap().to_string();
    let (huge, fits, small) = (save(1, MAX + 1), save(2, MAX), save(3, 100));
    let ready = |variants: Vec<String>| MailTask::ThumbnailReady {
        user_id: UserId::new(7).unwrap(),
        file_name: "photo.jpg".into(),
        thumbnail: huge.clone(),
        variants,
    };
    let _worker = worker(&app);
    post(&app, &ready(vec![huge.clone(), fits, small]));
    let mail = server.until(1).await.remove(0);
    assert!(mail.parse().attachments().next().unwrap().contents() == vec![2; MAX]);
    for (sent, none_fits) in (2..).zip([vec![huge.clone()], Vec::new()]) {
        post(&app, &ready(none_fits));
        let mail = server.until(sent).await.remove(sent - 1);
        let mail = mail.parse();
        assert_eq!(mail.attachment_count(), 0);
        let (text, html) = (mail.body_text(0).unwrap(), mail.body_html(0).unwrap());
        assert!(text.contains("too large for a mail") && html.contains("too large for a mail"), "{text} {html}");
        assert!(!html.contains("<img") && !html.contains("cid:"), "{html}");
    }
    app.assert_none_is_left_of(&["email"]).await;
}

#[tokio::test]
async fn the_mail_of_an_image_has_all_its_thumbnails_the_largest_first() {
    let app = App::new(&["images.variants=badge=64x64, card=400x400, thumb=300x300"]).await;
    let up = app.up();
    let accepted = app.upload(up.url(), 1, &jpeg(1)).await;
    let done = app.outcome(up.url(), &accepted).await;
    #[derive(QueryableByName)]
    struct Payload {
        #[diesel(sql_type = diesel::sql_types::Text)]
        payload: String,
    }
    let query = "SELECT payload FROM jobs WHERE kind = 'email' AND payload LIKE '%thumbnail_ready%'";
    let payload = diesel::sql_query(query).get_result::<Payload>(&mut app.database()).unwrap().payload;
    let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
    let urls: Vec<_> = payload["variants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| format!("/thumbnails/{}", name.as_str().unwrap()))
        .collect();
    let largest_first = ["card", "thumb", "badge"].map(|name| done["variants"][name]["url"].as_str().unwrap());
    assert_eq!(urls, largest_first);
}

#[tokio::test]
async fn a_mail_deferred_five_times_is_sent_unchanged_at_the_sixth_attempt() {
    const ANSWERS: [(Moment, Act); 5] = [
        (Moment::Greeting, Act::Say("554 5.3.2 not today")),
        (Moment::Sender, Act::Say("421 4.3.2 shutting down")),
        (Moment::Recipient, Act::Say("450 4.2.0 <ada@example.org>: greylisted, Ada")),
        (Moment::End, Act::Say("451 4.3.0 disk full")),
        (Moment::End, Act::Say("535 5.7.8 log in first")),
    ];
    let server = MailServer::scripted(|before| ANSWERS.get(before).copied());
    let app = mailing_to(&server.url, &[]).await;
    let job = post_one(&app);
    let _worker = worker(&app);
    assert_eq!(until_sent(&app, job).await.attempts, 5);
    assert_eq!(server.attempts(), 6);
    let mails = server.mails();
    assert_eq!(mails.len(), 3);
    assert!(mails.iter().all(|mail| mail.data == mails[0].data));
    app.assert_none_is_left_of(&["email"]).await;
}

#[tokio::test]
async fn a_refused_mail_is_dead_at_once_with_an_error_that_hides_the_address() {
    for moment in [Moment::Sender, Moment::Recipient, Moment::End] {
        let answer = Act::Say("550 5.1.1 <ada@example.org>: no Ada here");
        let server = MailServer::scripted(move |_| Some((moment, answer)));
        let app = mailing_to(&server.url, &["log.level=trace"]).await;
        let job = post_one(&app);
        let mut worker = worker(&app);
        let dead = until(&app, job, |status| status.state == "dead").await;
        assert!(dead.is("dead", 1, "failed"), "{dead:?}");
        assert_eq!(dead.error, "the mail server refused the mail: 550 5.1.1 <***>: no *** here");
        assert!(worker.stop().success());
        assert_eq!(server.attempts(), 1);
        let log = worker.stderr();
        assert!(log.contains("mail given up") && !log.contains("ada@") && !log.contains("Ada"), "{log}");
    }
}

#[tokio::test]
async fn a_dead_mail_that_an_operator_retries_is_sent_unchanged() {
    let server = MailServer::scripted(|before| (before == 0).then_some((Moment::End, Act::Say("554 5.7.1 spam"))));
    let app = mailing_to(&server.url, &[]).await;
    let job = post_one(&app);
    let _worker = worker(&app);
    until(&app, job, |status| status.state == "dead").await;
    let retried = app.command(&["jobs", "retry", &job.to_string()]).output().unwrap();
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    until_sent(&app, job).await;
    assert_eq!(app.count("SELECT count(*) FROM mails"), 1);
    let mails = server.mails();
    assert_eq!((mails.len(), &mails[0].data), (2, &mails[1].data));
}

#[tokio::test]
async fn a_mail_is_retried_after_the_server_hung() {
    for moment in [Moment::Greeting, Moment::MidData, Moment::End] {
        let server = MailServer::scripted(move |before| (before == 0).then_some((moment, Act::Silence)));
        let app = mailing_to(&server.url, &["email.timeout_s=1", "jobs.retry_base_s=0.5"]).await;
        let job = post_one(&app);
        let _worker = worker(&app);
        let failed = until(&app, job, |status| status.attempts == 1).await;
        let timed_out = "the mail server did not accept the mail in time";
        assert!(failed.state == "done" || failed.error == timed_out, "{failed:?}");
        assert_eq!(until_sent(&app, job).await.attempts, 1);
        app.assert_none_is_left_of(&["email"]).await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_on_one_mail_does_not_delay_others() {
    let server = MailServer::scripted(|before| (before == 0).then_some((Moment::End, Act::Silence)));
    let app = mailing_to(&server.url, &[]).await;
    let slow = post_one(&app);
    let _worker = worker(&app);
    server.until(1).await;
    for number in 0..10 {
        let quick = post(&app, &upload(7, &format!("{number}.jpg")));
        assert_eq!(until_sent(&app, quick).await.attempts, 0);
    }
    let slow = status(&app, slow);
    assert!(slow.is("running", 0, ""), "{slow:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_loses_no_mail() {
    for moment in [Moment::Greeting, Moment::Recipient, Moment::MidData, Moment::End] {
        let server = MailServer::scripted(move |before| (before == 0).then_some((moment, Act::HangUp)));
        let app = mailing_to(&server.url, &["jobs.retry_base_s=0.5"]).await;
        let job = post_one(&app);
        let _worker = worker(&app);
        let failed = until(&app, job, |status| status.attempts == 1).await;
        assert!(failed.state == "done" || failed.error.starts_with("the connection to the mail server"), "{failed:?}");
        until_sent(&app, job).await;
        let whole = server.mails();
        assert_eq!(whole.len(), if moment == Moment::End { 2 } else { 1 });
        assert!(whole.iter().all(|mail| mail.data == whole[0].data));
        app.assert_none_is_left_of(&["email"]).await;
    }
}

#[tokio::test]
async fn a_kill_between_sending_and_committing_repeats_the_same_mail_once() {
    let server = MailServer::scripted(|before| (before == 0).then_some((Moment::End, Act::Silence)));
    let app = mailing_to(&server.url, &["jobs.lease_s=600"]).await;
    let job = post_one(&app);
    let mut first = worker(&app);
    server.until(1).await;
    first.kill();
    let _next = worker(&app);
    until_sent(&app, job).await;
    app.assert_none_is_left_of(&["email"]).await;
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].message_id(), format!("{job}@m3a3.example"));
    assert_eq!(mails[0].data, mails[1].data);
    assert_eq!(app.count("SELECT count(*) FROM mails"), 1);
}

#[tokio::test]
async fn random_kills_lose_no_mail_and_repeat_only_mails_that_were_in_flight() {
    const KILLS: usize = 6;
    const PART: usize = 10;
    let server = MailServer::taking();
    let app = mailing_to(&server.url, &["email.concurrency=2"]).await;
    user(&app, 7, Some("Ada"), Some("ada@example.org"));
    let mut workers = [worker(&app), worker(&app)];
    let mut jobs = Vec::new();
    for kill in 0..KILLS {
        let before = server.attempts();
        jobs.extend((0..PART).map(|number| post(&app, &upload(7, &format!("{kill}-{number}.jpg")))));
        let some = before + rand::rng().random_range(1..PART);
        eventually("some are in flight", || async { (server.attempts() >= some).then_some(()) }).await;
        workers[kill % 2].kill();
        workers[kill % 2] = worker(&app);
    }
    app.assert_none_is_left_of(&["email"]).await;
    assert_eq!(app.count("SELECT count(*) FROM mails WHERE state = 'sent'"), (KILLS * PART) as i64);
    let arrived: Vec<String> = server.mails().iter().map(|mail| mail.message_id()).collect();
    let different: BTreeSet<&str> = arrived.iter().map(String::as_str).collect();
    let expected: BTreeSet<String> = jobs.iter().map(|job| format!("{job}@m3a3.example")).collect();
    assert_eq!(different, expected.iter().map(String::as_str).collect());
    // At most two mails of a worker are in flight when it is killed.
    let repeats = arrived.len() - different.len();
    assert!(repeats <= KILLS * 2, "{repeats} repeats");
}

#[tokio::test]
async fn a_server_that_was_down_gets_every_mail_once_it_is_back() {
    let address = free_address();
    let app = mailing_to(&format!("smtp://{address}"), &[]).await;
    let job = post_one(&app);
    let mut worker = worker(&app);
    let failed = until(&app, job, |status| status.attempts != 0).await;
    assert!(failed.error.starts_with("the mail server cannot be reached: "), "{failed:?}");
    let server = MailServer::listening(address, &[], |_| None);
    until_sent(&app, job).await;
    assert_eq!(server.mails().len(), 1);
    assert!(worker.stop().success());
}

#[tokio::test]
async fn many_mails_share_connections_and_each_arrives_once() {
    // The server closes the connection before every fourth mail.
    let had_enough = Some((Moment::Sender, Act::Say("421 4.7.0 too many on this connection")));
    let server = MailServer::scripted(move |before| if before % 4 == 3 { had_enough } else { None });
    let app = mailing_to(&server.url, &[]).await;
    user(&app, 7, Some("Ada"), Some("ada@example.org"));
    let jobs: Vec<JobId> = (0..40).map(|number| post(&app, &upload(7, &format!("{number}.jpg")))).collect();
    let _workers = [worker(&app), worker(&app)];
    app.assert_none_is_left_of(&["email"]).await;
    let mut ids: Vec<String> = server.mails().iter().map(|mail| mail.message_id()).collect();
    ids.sort();
    assert_eq!(ids, jobs.iter().map(|job| format!("{job}@m3a3.example")).collect::<Vec<_>>());
    assert_eq!(app.count("SELECT count(*) FROM mails WHERE state = 'sent'"), 40);
    let connections = server.mails().iter().map(|mail| mail.connection).max().unwrap() + 1;
    assert!(connections < 40, "{connections} connections");
}

#[tokio::test]
async fn a_user_without_an_address_is_skipped_with_a_note() {
    let server = MailServer::taking();
    let app = mailing_to(&server.url, &[]).await;
    user(&app, 7, Some("Ada"), None);
    user(&app, 8, None, Some("no address"));
    let order = |user_id| MailTask::OrderConfirmed { user_id, order_id: "o-1".parse().unwrap(), placed_at: 0 };
    let jobs = [
        (post(&app, &upload(7, "photo.jpg")), "skipped: user 7 has no email address"),
        (post(&app, &upload(8, "photo.jpg")), "skipped: user 8 has no email address"),
        (post(&app, &upload(9, "photo.jpg")), "skipped: there is no user 9"),
        (post(&app, &order(None)), "skipped: the customer of the order is not a user"),
    ];
    let _worker = worker(&app);
    app.assert_none_is_left_of(&["email"]).await;
    for (job, note) in jobs {
        let status = status(&app, job);
        assert!(status.is("done", 0, "skipped") && status.note == note, "{status:?}");
    }
    assert_eq!(server.attempts(), 0);
}

#[tokio::test]
async fn hostile_names_of_an_old_database_are_escaped() {
    let server = MailServer::taking();
    let app = mailing_to(&server.url, &[]).await;
    user(&app, 7, Some("Ada\r\nBcc: eve@example.org\r\n\r\n.\r\nQUIT\u{202e}"), Some("ada@example.org"));
    post(&app, &upload(7, ".\r\n\r\n.\r\nMAIL FROM:<eve@example.org>\r\n<script>alert(1)</script>\0"));
    let _worker = worker(&app);
    app.assert_none_is_left_of(&["email"]).await;
    let mails = server.mails();
    assert_eq!((mails.len(), server.attempts()), (1, 1));
    assert_eq!(mails[0].recipients, ["RCPT TO:<ada@example.org>"]);
    let mail = mails[0].parse();
    assert_eq!(mail.bcc(), None);
    assert_eq!(mail.to().unwrap().first().unwrap().name.as_deref(), Some("Ada Bcc: eve@example.org . QUIT"));
    assert!(mail.body_html(0).unwrap().contains("&lt;script&gt;"), "{:?}", mail.body_html(0));
}

#[tokio::test]
async fn a_non_ascii_address_is_dead_unless_the_server_supports_it() {
    for (offers, state) in [(&["8BITMIME"][..], "dead"), (&["8BITMIME", "SMTPUTF8"], "done")] {
        let server = MailServer::listening(SocketAddr::from(([127, 0, 0, 1], 0)), offers, |_| None);
        let app = mailing_to(&server.url, &[]).await;
        user(&app, 7, None, Some("jürgen@exämple.org"));
        let job = post(&app, &upload(7, "photo.jpg"));
        let _worker = worker(&app);
        let ended = until(&app, job, |status| status.state == state).await;
        assert!(state == "done" || ended.error.contains("SMTPUTF8"), "{ended:?}");
        assert!(!ended.error.contains("jürgen"), "{ended:?}");
        app.assert_none_is_left_of(&["email"]).await;
    }
}

#[tokio::test]
async fn a_password_is_never_sent_without_tls() {
    let server = MailServer::listening(SocketAddr::from(([127, 0, 0, 1], 0)), &["AUTH PLAIN LOGIN"], |_| None);
    let url = server.url.replace("smtp://", "smtp://me:hunter2@");
    let app = mailing_to(&url, &["log.level=trace", "jobs.retry_base_s=3600"]).await;
    let job = post_one(&app);
    let mut worker = worker(&app);
    let failed = until(&app, job, |status| status.attempts == 1).await;
    assert!(failed.is("queued", 1, "") && failed.error.contains("STARTTLS"), "{failed:?}");
    assert!(server.commands().iter().all(|command| command.starts_with("EHLO") || command == "QUIT"));
    assert!(worker.stop().success());
    let log = worker.stderr();
    assert!(!log.contains("hunter2") && !log.contains("ada@"), "{log}");
}

/// A worker on a machine without CA certificates.
fn bare(app: &App) -> Process {
    let none = app.dir.write("no-certificates.pem", "");
    let folder = app.dir.path().join("no-certificates");
    std::fs::create_dir_all(&folder).unwrap();
    Process::start(app.command(&["worker", "email"]).env("SSL_CERT_FILE", none).env("SSL_CERT_DIR", folder))
}

#[tokio::test]
async fn without_ca_certificates_mail_is_sent_without_tls_and_fails_with_advice_where_tls_is_required() {
    let server = MailServer::taking();
    let app = mailing_to(&server.url, &[]).await;
    let job = post_one(&app);
    let _worker = bare(&app);
    until_sent(&app, job).await;

    let app = mailing_to("smtps://127.0.0.1:9", &["jobs.retry_base_s=3600"]).await;
    let job = post_one(&app);
    let _worker = bare(&app);
    let failed = until(&app, job, |status| status.attempts == 1).await;
    assert!(failed.is("queued", 1, "") && failed.error.contains("are CA certificates installed?"), "{failed:?}");
}

fn outbox(app: &App) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(app.dir.path().join("data/outbox")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect()
}

#[tokio::test]
async fn without_a_server_each_mail_is_written_to_a_file_and_the_start_logs_it_once() {
    let app = mailing_to("", &[]).await;
    let job = post_one(&app);
    let mut worker = worker(&app);
    until_sent(&app, job).await;
    let files = outbox(&app);
    assert_eq!(files, [app.dir.path().join(format!("data/outbox/{job}.eml"))]);
    let bytes = std::fs::read(&files[0]).unwrap();
    let mail = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(mail.to().unwrap().first().unwrap().address.as_deref(), Some("ada@example.org"));
    assert_eq!(mail.subject(), Some("We have your picture photo.jpg"));
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    app.assert_none_is_left_of(&["email"]).await;
    assert!(worker.stop().success());
    let log = worker.stderr();
    assert_eq!(log.lines().filter(|line| line.contains("email.smtp_url")).count(), 1, "{log}");
}

#[tokio::test]
async fn templates_of_a_folder_are_used_and_a_broken_one_is_a_startup_error() {
    let server = MailServer::taking();
    let app = mailing_to(&server.url, &["email.templates=letters"]).await;
    app.dir.write("letters/upload_received.txt", "Subject: Merci {{ name }}\n\nVoilà {{ picture }}.\n");
    let job = post_one(&app);
    let mut good = worker(&app);
    until_sent(&app, job).await;
    assert!(good.stop().success());
    let mails = server.mails();
    assert_eq!(mails[0].parse().subject(), Some("Merci Ada"));
    assert_eq!(mails[0].parse().body_text(0).unwrap().trim_end(), "Voilà photo.jpg.");

    app.dir.write("letters/thumbnail_failed.html", "<p>\n{{ mesage }}");
    let output = app.command(&["worker", "email"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("letters/thumbnail_failed.html, line 2: `mesage` is undefined"), "{stderr}");
}

#[tokio::test]
async fn an_invalid_url_of_the_mail_server_is_a_configuration_error() {
    let app = App::new(&[]).await;
    for bad in
        ["smtp://h?tls=maybe", "smtps://h?tls=none", "smtp://hunter2@h", "smtp://me:hunter2@h?timeout=5", "ftp://h"]
    {
        let ran = app.dir.run(&["worker", "email", "--set", &format!("email.smtp_url={bad}")]);
        assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 1), "{}", ran.stderr);
        assert!(ran.stderr.contains("email.smtp_url") && !ran.stderr.contains("hunter2"), "{}", ran.stderr);
    }
    let ran = app.dir.run(&["worker", "email", "--set", "email.from=nobody"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
}
