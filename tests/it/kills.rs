//! Nothing that was accepted is ever lost, whatever is killed.
//!
//! `M3A3_TEST_UPLOADS=1000 cargo test --release --test it kills` is the large version of the first test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::{self, StreamExt};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use rand::RngExt;
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;

use crate::harness::app::{App, DEADLINE, Process, eventually};
use crate::harness::pictures::jpeg;

/// How often something is killed while the uploads come.
const KILLS: usize = 12;
const UPLOADS_AT_ONCE: usize = 8;

/// A picture that takes a worker long enough to be killed meanwhile.
fn slow_picture() -> Vec<u8> {
    let pixels = RgbImage::from_fn(4000, 4000, |x, y| Rgb([(x / 16) as u8, (y / 16) as u8, 0]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::from(pixels).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn uploads() -> usize {
    std::env::var("M3A3_TEST_UPLOADS").map_or(60, |uploads| uploads.parse().expect("M3A3_TEST_UPLOADS is a number"))
}

/// Uploads until it is accepted, and gives the job's id.
async fn upload_until_accepted(http: &reqwest::Client, url: &watch::Receiver<String>, upload: usize) -> String {
    let accepted = || async {
        let part = Part::bytes(jpeg(upload as u8)).file_name("picture.jpg");
        let form = Form::new().text("userId", (upload % 50 + 1).to_string()).part("image", part);
        let address = format!("{}/enqueue", url.borrow().as_str());
        let answer = http.post(address).multipart(form).send().await.ok()?;
        let is_accepted = answer.status() == 200;
        let body: Value = answer.json().await.ok()?;
        is_accepted.then(|| body["jobId"].as_str().unwrap().to_owned())
    };
    eventually("the upload is accepted", accepted).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_upload_is_done_whatever_is_killed_meanwhile() {
    let uploads = uploads();
    let mut app = App::new(&[]).await;
    let mut serve = app.serve();
    let mut workers = [app.worker(), app.worker()];
    let (announce, url) = watch::channel(serve.url().to_owned());
    let accepted = Arc::new((AtomicUsize::new(0), Notify::new()));
    let admitted = Arc::new(Semaphore::new(0));

    let uploading = {
        let (http, accepted, admitted) = (app.http.clone(), accepted.clone(), admitted.clone());
        tokio::spawn(async move {
            let one = |upload| {
                let (http, url, accepted, admitted) = (&http, &url, &accepted, &admitted);
                async move {
                    admitted.acquire().await.unwrap().forget();
                    let job = upload_until_accepted(http, url, upload).await;
                    accepted.0.fetch_add(1, Ordering::SeqCst);
                    accepted.1.notify_one();
                    job
                }
            };
            stream::iter(0..uploads).map(one).buffer_unordered(UPLOADS_AT_ONCE).collect::<Vec<_>>().await
        })
    };
    let a_part = uploads / KILLS;
    for part in 0..KILLS {
        admitted.add_permits(a_part);
        // The other half of this part is on its way while something is killed.
        while accepted.0.load(Ordering::SeqCst) < a_part * part + a_part / 2 {
            timeout(DEADLINE, accepted.1.notified()).await.expect("an upload is accepted in time");
        }
        match rand::rng().random_range(0..4) {
            0 => {
                serve.kill();
                serve = app.serve();
                announce.send_replace(serve.url().to_owned());
            }
            1 => app.redis.restart_empty().await,
            worker => {
                // A job dies with its fifth worker; chance is not to make one look like the picture that kills them.
                let unlucky = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND crashes > 2";
                eventually("unlucky jobs end", || async { (app.count(unlucky) == 0).then_some(()) }).await;
                let worker = &mut workers[worker - 2];
                worker.kill();
                *worker = app.worker();
            }
        }
    }
    admitted.add_permits(uploads % KILLS);
    let jobs = uploading.await.unwrap();

    assert_eq!(jobs.len(), uploads);
    let left = || app.count("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND kind = 'thumbnail'");
    while left() > 0 {
        let before = left();
        eventually("the backlog shrinks", || async { (left() < before || before == 0).then_some(()) }).await;
    }
    for job in &jobs {
        let done = format!("SELECT count(*) FROM images WHERE job_id = '{job}' AND state = 'done'");
        assert_eq!(app.count(&done), 1, "{}", app.get(serve.url(), &format!("/jobs/{job}")).await.1);
    }
    // An upload whose answer was lost in a kill was repeated; its first row is done too.
    assert_eq!(app.count("SELECT count(*) FROM images WHERE state <> 'done'"), 0);
    assert_eq!(app.count("SELECT count(*) FROM thumbnails"), app.count("SELECT count(*) FROM images"));
    let temporary = app.dir.path().join("data/thumbnails/.tmp");
    let _last = app.worker();
    assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0, "a start tidies up after the killed");
    println!(
        "{uploads} uploads, {KILLS} kills, {} rows, {} crashes charged",
        app.count("SELECT count(*) FROM images"),
        app.count("SELECT coalesce(sum(crashes), 0) FROM jobs"),
    );
}

/// Uploads a slow picture to a server alone, and gives its job's id. No lease runs out in these tests: whatever is
/// taken over from a dead worker is taken over because of its lock.
async fn with_a_slow_job() -> (App, Process, String) {
    let app = App::new(&["jobs.lease_s=600"]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &slow_picture()).await;
    let job = accepted["jobId"].as_str().unwrap().to_owned();
    (app, serve, job)
}

/// Waits until a worker other than those before runs the job.
async fn runs_under_token(app: &App, token: i64) {
    eventually("the job runs", || async {
        let running = "SELECT count(*) FROM jobs WHERE state = 'running' AND started_at IS NOT NULL AND lease_token =";
        (app.count(&format!("{running} {token}")) == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_job_of_a_killed_worker_runs_again_long_before_its_lease_ends() {
    let (app, _serve, _job) = with_a_slow_job().await;
    let mut worker = app.worker();
    runs_under_token(&app, 1).await;
    worker.kill();
    let _next = app.worker();
    runs_under_token(&app, 2).await;
    app.assert_no_job_is_left().await;
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'done' AND crashes = 1 AND attempts = 0"), 1);
}

#[tokio::test]
async fn a_picture_that_kills_its_worker_again_and_again_ends_failed_and_its_waiters_are_notified() {
    let (app, serve, job) = with_a_slow_job().await;
    let waiting = {
        let request = app.http.get(format!("{}/jobs/{job}/live?timeout=60", serve.url()));
        tokio::spawn(crate::harness::app::answer(request))
    };
    for token in 1..=5 {
        let mut worker = app.worker();
        runs_under_token(&app, token).await;
        worker.kill();
    }
    let _last = app.worker();
    let (status, answer) = waiting.await.unwrap().unwrap();
    assert_eq!((status, &answer["status"]), (200, &"failed".into()), "{answer}");
    assert_eq!(app.get(serve.url(), "/status/1").await.1["status"], "failed");
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'dead' AND crashes = 5 AND attempts = 0"), 1);
}

#[tokio::test]
async fn a_worker_that_is_asked_to_stop_charges_its_job_with_nothing() {
    let (app, _serve, _job) = with_a_slow_job().await;
    let mut worker = app.worker();
    runs_under_token(&app, 1).await;
    worker.signal("TERM");
    worker.signal("TERM");
    assert_eq!(worker.wait().code(), Some(0), "{}", worker.stderr());
    let untouched = "SELECT count(*) FROM jobs
        WHERE kind = 'thumbnail' AND state <> 'running' AND crashes = 0 AND attempts = 0";
    assert_eq!(app.count(untouched), 1);
    let locks = std::fs::read_dir(app.dir.path().join("data/workers")).unwrap().count();
    assert_eq!(locks, 0, "it takes its lock with it");
    let _next = app.worker();
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_second_interrupt_does_not_wait_and_loses_nothing() {
    let (app, _serve, _job) = with_a_slow_job().await;
    let mut worker = app.worker();
    runs_under_token(&app, 1).await;
    worker.signal("INT");
    worker.signal("INT");
    let code = worker.wait().code();
    // Two signals of one kind that come at once are one to a process; it has drained then.
    assert!(code == Some(1) || app.count("SELECT count(*) FROM jobs WHERE state = 'done'") == 1, "{code:?}");
    let _next = app.worker();
    app.assert_no_job_is_left().await;
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'done'"), 1);
}

#[tokio::test]
async fn up_goes_on_after_a_kill_where_it_stopped() {
    let app = App::new(&[]).await;
    let mut up = app.up();
    for user in 1..=5 {
        app.upload(up.url(), user, &jpeg(user as u8)).await;
    }
    up.kill();
    let up = app.up();
    for user in 1..=5 {
        assert_eq!(app.get(up.url(), &format!("/status-live/{user}")).await.1["status"], "done");
    }
    app.assert_no_job_is_left().await;
}
