//! Long polls: all are answered, at once when the status is final, and no waiter is leaked.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::harness::app::{App, DEADLINE, Process, answer, eventually};
use crate::harness::pictures::jpeg;
use crate::harness::raw_http;

type Poll = JoinHandle<(u16, Value)>;

/// Starts a poll.
fn poll(app: &App, url: &str, path: &str) -> Poll {
    let request = app.http.get(format!("{url}{path}"));
    tokio::spawn(async move { answer(request).await.unwrap() })
}

/// Starts a poll of each path, a few at a time, so that requests follow their connections quickly.
async fn poll_all(app: &App, server: &Process, paths: &[String]) -> Vec<Poll> {
    let mut polls = Vec::new();
    for paths in paths.chunks(50) {
        polls.extend(paths.iter().map(|path| poll(app, server.url(), path)));
        held(app, server.url(), polls.len()).await;
    }
    polls
}

/// The response of a poll, which must arrive within the deadline, long before the 60 seconds of its timeout.
async fn answered(poll: Poll) -> (u16, Value) {
    timeout(DEADLINE, poll).await.expect("the poll is answered in time").unwrap()
}

/// Waits until the server holds this number of polls.
async fn held(app: &App, url: &str, polls: usize) {
    let sample = format!("\nm3a3_held_polls {polls}.0\n");
    eventually("the polls are held", || async {
        let metrics = app.http.get(format!("{url}/metrics")).send().await.unwrap();
        metrics.text().await.unwrap().contains(&sample).then_some(())
    })
    .await;
}

fn timed_out() -> Value {
    json!({ "status": "pending", "message": "Request timed out. Please try again." })
}

fn done(thumbnail: &str) -> Value {
    json!({ "status": "done", "thumbnailUrl": thumbnail })
}

#[tokio::test]
async fn five_hundred_polls_of_one_user_are_all_answered() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    app.upload(serve.url(), 1, &jpeg(1)).await;
    app.until(serve.url(), "ready").await;
    let polls = poll_all(&app, &serve, &vec!["/status-live/1?timeout=60".to_owned(); 500]).await;
    let _worker = app.worker();
    let answers = join_all(polls.into_iter().map(answered)).await;
    let expected = app.get(serve.url(), "/status/1").await;
    assert_eq!(expected.1["status"], "done");
    assert!(answers.into_iter().all(|answer| answer == expected));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn five_hundred_polls_of_five_hundred_users_are_all_answered() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    app.until(serve.url(), "ready").await;
    // Failures are faster than thumbnails, and final too.
    app.dir.write("data/no-picture", "text");
    let file = std::fs::File::options().write(true).open(app.dir.path().join("data/no-picture")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    for user in 1..=500 {
        let path = if user % 25 == 0 { "picture" } else { "no-picture" };
        assert_eq!(app.enqueue(serve.url(), &json!({ "userId": user, "imagePath": path })).await.0, 200);
    }
    app.dir.write("data/picture", jpeg(1));
    let paths: Vec<_> = (1..=500).map(|user| format!("/status-live/{user}?timeout=60")).collect();
    let polls = poll_all(&app, &serve, &paths).await;
    let _worker = app.worker();
    for (user, (status, answer)) in (1..).zip(join_all(polls.into_iter().map(answered)).await) {
        let expected = if user % 25 == 0 { "done" } else { "failed" };
        assert_eq!((status, &answer["status"]), (200, &json!(expected)), "user {user}: {answer}");
    }
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn two_hundred_concurrent_uploads_with_polls_never_time_out() {
    let app = App::new(&["serve.long_poll_timeout_s=60"]).await;
    let up = app.up();
    let (app, url) = (&app, up.url());
    let users = stream::iter(1..=200).map(|user| async move {
        app.upload(url, user, &jpeg(user as u8)).await;
        app.get(url, &format!("/status-live/{user}")).await
    });
    let answers: Vec<_> = users.buffer_unordered(10).collect().await;
    assert_eq!(answers.len(), 200);
    for (status, answer) in answers {
        assert_eq!((status, &answer["status"]), (200, &json!("done")), "{answer}");
    }
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_waiter_is_removed_when_its_client_disconnects() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    app.until(serve.url(), "ready").await;
    let before = serve.sockets();
    let mut clients = Vec::new();
    for user in 1..=100 {
        let mut client = raw_http::connect(serve.url()).await;
        let request = format!("GET /status-live/{user}?timeout=60 HTTP/1.1\r\nHost: x\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        clients.push(client);
    }
    held(&app, serve.url(), 100).await;
    drop(clients);
    eventually("every connection is closed", || async { (serve.sockets() <= before).then_some(()) }).await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_dead_job_answers_current_and_later_polls_at_once() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    app.until(serve.url(), "ready").await;
    app.dir.write("data/no-picture", "text");
    let (_, accepted) = app.enqueue(serve.url(), &json!({ "userId": 1, "imagePath": "no-picture" })).await;
    let job = format!("{}/live?timeout=60", accepted["statusUrl"].as_str().unwrap());
    let polls = ["/status-live/1?timeout=60", &job].map(|path| poll(&app, serve.url(), path));
    held(&app, serve.url(), 2).await;
    let _worker = app.worker();
    for poll in polls {
        let (status, answer) = answered(poll).await;
        assert_eq!((status, &answer["status"]), (200, &json!("failed")), "{answer}");
    }
    for path in ["/status-live/1?timeout=60", &job] {
        assert_eq!(answered(poll(&app, serve.url(), path)).await.1["status"], "failed");
    }
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_poll_without_news_ends_with_408_after_its_timeout_or_the_configured_one() {
    let app = App::new(&["serve.long_poll_timeout_s=1"]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    let (job, user) = (&accepted["jobId"], &accepted["userId"]);
    let live = format!("{}/live", accepted["statusUrl"].as_str().unwrap());
    for query in ["", "?timeout=1", "?_=x&timeout=1"] {
        assert_eq!(app.get(serve.url(), &format!("/status-live/1{query}")).await, (408, timed_out()));
        let (status, mut answer) = app.get(serve.url(), &format!("{live}{query}")).await;
        assert_eq!((status, &answer["jobId"], &answer["userId"]), (408, job, user));
        answer.as_object_mut().unwrap().retain(|name, _| !name.ends_with("Id"));
        assert_eq!(answer, timed_out());
    }
    assert_eq!(app.get(serve.url(), "/status-live/2").await, (408, timed_out()), "an unknown user");
    let _worker = app.worker();
    app.assert_no_job_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_polls_get_their_408_at_sigterm_and_the_process_ends_well() {
    // A shutdown that waited for polls or idle connections would miss the deadline.
    let app = App::new(&["shutdown.grace_s=300"]).await;
    let mut up = app.up();
    let url = up.url().to_owned();
    app.until(&url, "ready").await;
    let _idle = raw_http::connect(&url).await;
    let mut polls = Vec::new();
    for user in 1..=20 {
        let mut poll = raw_http::connect(&url).await;
        let request = format!("GET /status-live/{user}?timeout=60 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        poll.write_all(request.as_bytes()).await.unwrap();
        polls.push(poll);
    }
    held(&app, &url, polls.len()).await;
    up.signal("TERM");
    for poll in polls {
        let answer = raw_http::read_answer(poll).await.expect("an answer");
        assert_eq!((answer.status, serde_json::from_slice(&answer.body).unwrap()), (408, timed_out()));
    }
    assert_eq!(up.wait().code(), Some(0));
    app.assert_no_job_is_left().await;
}

/// Repeats the message until the poll is answered, since the test cannot observe when it is held.
async fn publish_until_answered(app: &App, mut poll: Poll, channel: &str, message: &Value) -> (u16, Value) {
    let message = message.to_string();
    let mut again = tokio::time::interval(Duration::from_millis(10));
    let telling = async {
        loop {
            tokio::select! {
                answer = &mut poll => return answer.unwrap(),
                _ = again.tick() => app.redis.publish(channel, &message).await,
            };
        }
    };
    timeout(DEADLINE, telling).await.expect("the poll is answered in time")
}

#[tokio::test]
async fn a_message_of_another_program_s_worker_is_the_response() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let url = serve.url();
    let live = |user| poll(&app, url, &format!("/status-live/{user}?timeout=60"));

    let message = json!({ "status": "done", "url": "uploads/thumbs/x y.jpg" });
    let answer = publish_until_answered(&app, live(1), "finished:1", &message).await;
    assert_eq!(answer, (200, done("uploads/thumbs/x y.jpg")));

    let message = json!({ "status": "done", "url": "/x", "jobId": "00000000-0000-7000-8000-000000000000", "more": 1 });
    assert_eq!(publish_until_answered(&app, live(2), "finished:2", &message).await, (200, done("/x")));

    let message = json!({ "status": "failed", "message": "no picture" });
    assert_eq!(publish_until_answered(&app, live(3), "finished:3", &message).await, (200, message));

    // Even if the user's image is queued here, another program may finish it.
    app.upload(url, 4, &jpeg(4)).await;
    let message = json!({ "status": "done", "url": "/y" });
    assert_eq!(publish_until_answered(&app, live(4), "finished:4", &message).await, (200, done("/y")));
    let _worker = app.worker();
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_message_of_another_program_never_answers_a_poll_of_a_job() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    // A message with the id of our job answers no poll: the row is the truth.
    let live = poll(&app, serve.url(), "/status-live/1?timeout=1");
    let message = json!({ "status": "done", "url": "/x", "jobId": accepted["jobId"] });
    assert_eq!(publish_until_answered(&app, live, "finished:1", &message).await, (408, timed_out()));
    // A message without an id answers polls of the user, but never of a job.
    let live = poll(&app, serve.url(), &format!("{}/live?timeout=1", accepted["statusUrl"].as_str().unwrap()));
    let message = json!({ "status": "done", "url": "/x" });
    let (status, answer) = publish_until_answered(&app, live, "finished:1", &message).await;
    assert_eq!((status, &answer["status"]), (408, &json!("pending")));
    let _worker = app.worker();
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_malformed_message_changes_nothing() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let url = serve.url();
    let live = poll(&app, url, "/status-live/1?timeout=1");
    let messages = [
        ("finished:1", "null"),
        ("finished:1", ""),
        ("finished:1", "{\"status\":\"done\",\"url\":\"/x\""),
        ("finished:1", "[{\"status\":\"done\",\"url\":\"/x\"}]"),
        ("finished:1", "{\"status\":\"done\"}"),
        ("finished:1", "{\"status\":\"done\",\"url\":\"\"}"),
        ("finished:1", "{\"status\":\"done\",\"url\":5}"),
        ("finished:1", "{\"status\":\"ready\",\"url\":\"/x\"}"),
        ("finished:1", "{\"status\":\"failed\"}"),
        ("finished:1", "{\"status\":\"done\",\"url\":\"/x\",\"jobId\":1}"),
        ("finished:", "{\"status\":\"done\",\"url\":\"/x\"}"),
        ("finished:one", "{\"status\":\"done\",\"url\":\"/x\"}"),
        ("finished:-1", "{\"status\":\"done\",\"url\":\"/x\"}"),
        ("finished:1:1", "{\"status\":\"done\",\"url\":\"/x\"}"),
        ("finished:10", "{\"status\":\"done\",\"url\":\"/x\"}"),
    ];
    let mut round = messages.iter().cycle();
    let publishing = async {
        while !live.is_finished() {
            let (channel, payload) = round.next().unwrap();
            app.redis.publish(channel, payload).await;
            app.redis.publish("finished:1", b"\xff\xfe{").await;
        }
    };
    timeout(DEADLINE, publishing).await.expect("the poll is answered in time");
    assert_eq!(live.await.unwrap(), (408, timed_out()));
    let live = poll(&app, url, "/status-live/1?timeout=60");
    let message = json!({ "status": "done", "url": "/good" });
    assert_eq!(publish_until_answered(&app, live, "finished:1", &message).await, (200, done("/good")));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_poll_of_a_job_waits_for_that_job_despite_an_older_thumbnail() {
    let app = App::new(&[]).await;
    let (serve, mut worker) = (app.serve(), app.worker());
    let url = serve.url();
    let older = app.upload(url, 1, &jpeg(1)).await;
    let older = app.outcome(url, &older).await;
    worker.kill();
    let newer = app.upload(url, 1, &jpeg(2)).await;
    let shown = json!({ "status": "done", "thumbnailUrl": older["thumbnailUrl"], "variants": older["variants"] });
    assert_eq!(app.get(url, "/status-live/1").await, (200, shown));
    let live = format!("{}/live?timeout", newer["statusUrl"].as_str().unwrap());
    assert_eq!(app.get(url, &format!("{live}=1")).await.0, 408);
    let polled = poll(&app, url, &format!("{live}=60"));
    let _worker = app.worker();
    let (status, answer) = answered(polled).await;
    assert_eq!((status, &answer["status"], &answer["jobId"]), (200, &json!("done"), &newer["jobId"]));
    assert_ne!(answer["thumbnailUrl"], older["thumbnailUrl"]);
    assert_eq!(app.get(url, "/status/1").await.1["thumbnailUrl"], answer["thumbnailUrl"]);
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_poll_is_answered_if_the_finished_message_was_lost() {
    let mut app = App::new(&[]).await;
    let serve = app.serve();
    let url = serve.url().to_owned();
    app.until(&url, "ready").await;
    let accepted = app.upload(&url, 1, &jpeg(1)).await;
    let live = format!("{}/live?timeout=60", accepted["statusUrl"].as_str().unwrap());
    let polls = ["/status-live/1?timeout=60", &live].map(|path| poll(&app, &url, path));
    held(&app, &url, 2).await;
    app.redis.kill().await;
    let _worker = app.worker();
    for poll in polls {
        assert_eq!(answered(poll).await.1["status"], "done");
    }
    app.assert_no_job_is_left().await;
}
