//! Job operations of operators, on the command line and over HTTP.

use m3a3::bus::{Bus, Signal};
use m3a3::events::{Finished, Outcome};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::app::{App, answer, eventually};
use crate::harness::binary::Ran;
use crate::harness::pictures::{jpeg, truncated_jpeg};
use crate::harness::problem::assert_refused;
use crate::harness::within;

fn run(app: &App, args: &[&str]) -> Ran {
    Ran::of(&mut app.command(args))
}

fn list(app: &App, args: &[&str]) -> Vec<Value> {
    let ran = run(app, &[&["jobs", "list", "--format", "json"], args].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn show(app: &App, id: &str) -> Value {
    let ran = run(app, &["jobs", "show", id, "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn id(job: &Value) -> &str {
    job["id"].as_str().or(job["jobId"].as_str()).expect("an id")
}

#[tokio::test]
async fn jobs_are_listed_by_state_kind_user_and_age_newest_first() {
    let app = App::new(&[]).await;
    let (serve, _worker) = (app.serve(), app.worker());
    let good = app.upload(serve.url(), 1, &jpeg(1)).await;
    let bad = app.upload(serve.url(), 2, &truncated_jpeg()).await;
    app.outcome(serve.url(), &good).await;
    app.outcome(serve.url(), &bad).await;

    let dead = list(&app, &["--state", "dead"]);
    assert_eq!(dead.len(), 1, "{dead:?}");
    let expected = json!({
        "id": bad["jobId"], "kind": "thumbnail", "state": "dead", "attempts": 1, "error": "the file is truncated",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&dead[0][name], value, "{name}");
    }
    let of_user = list(&app, &["--user", "1"]);
    assert!(of_user.len() >= 3 && of_user.iter().all(|job| job["userId"] == 1), "{of_user:?}");
    let kinds = list(&app, &["--kind", "thumbnail"]);
    assert_eq!(kinds.iter().map(id).collect::<Vec<_>>(), [id(&bad), id(&good)], "the newest first");
    assert_eq!(list(&app, &["--kind", "thumbnail", "--limit", "1"]).len(), 1);
    assert_eq!(list(&app, &["--kind", "thumbnail", "--since", "1h"]).len(), 2);
    assert_eq!(list(&app, &["--since", "2999-01-01T00:00:00Z"]).len(), 0);
    let table = run(&app, &["jobs", "list", "--state", "dead"]).stdout;
    assert!(table.starts_with("ID ") && table.contains("the file is truncated"), "{table}");
    for wrong in [["--state", "lost"], ["--kind", "cat"], ["--user", "0"], ["--since", "soon"]] {
        let ran = run(&app, &[&["jobs", "list"][..], &wrong].concat());
        assert_eq!(ran.code, Some(2), "{wrong:?}: {}", ran.stderr);
    }
}

#[tokio::test]
async fn a_job_is_shown_with_the_times_worker_and_error_of_every_attempt() {
    let app = App::new(&["jobs.max_attempts=3"]).await;
    let (serve, mut worker) = (app.serve(), app.worker());
    let (_, accepted) = app.enqueue(serve.url(), &json!({ "userId": 1, "imagePath": "late.jpg" })).await;
    app.outcome(serve.url(), &accepted).await;
    assert_eq!(show(&app, id(&accepted))["attempts"], 3, "all of them have failed");
    app.dir.write("data/late.jpg", jpeg(1));
    assert_eq!(run(&app, &["jobs", "retry", id(&accepted)]).code, Some(0));
    eventually("it is done", || async { (show(&app, id(&accepted))["state"] == "done").then_some(()) }).await;

    let shown = show(&app, id(&accepted));
    let history = shown["history"].as_array().unwrap();
    let outcomes: Vec<_> = history.iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes[..3], ["failed"; 3], "{shown}");
    assert_eq!(outcomes.last(), Some(&"done"));
    let name = worker.first_line.split(' ').nth(2).unwrap();
    for attempt in history {
        assert_eq!(attempt["worker"], name);
        let times = [&attempt["startedAt"], &attempt["endedAt"]].map(|time| time.as_str().unwrap());
        assert!(times[0] <= times[1], "{attempt}");
        let failed = attempt["outcome"] == "failed";
        assert_eq!(attempt.get("error").is_some(), failed, "{attempt}");
    }
    assert_eq!((&shown["payload"]["userId"], &shown["userId"]), (&json!(1), &json!(1)));
    let (_, of_api) = app.get(serve.url(), &format!("/admin/jobs/{}", id(&accepted))).await;
    assert_eq!(of_api["attempts"], shown["attempts"], "the API counts as the command line");
    let table = run(&app, &["jobs", "show", id(&accepted)]).stdout;
    assert!(table.contains("there is no such file") && table.contains(name), "{table}");
    let attempts = shown["attempts"].as_i64().unwrap();
    assert!(table.lines().any(|line| line.split_whitespace().eq(["attempts", &attempts.to_string()])), "{table}");
    assert_eq!(run(&app, &["jobs", "show", "01a20af3-7c5c-7497-8f81-9c67afd551d6"]).code, Some(1));
    assert_eq!(run(&app, &["jobs", "show", "x"]).code, Some(2));
    assert!(worker.stop().success());
    let log = worker.stderr();
    let done = log.lines().find(|line| line.contains("job done")).unwrap();
    assert!(done.contains(&format!("attempt={attempts}")), "the log counts as the API: {done}");
}

#[tokio::test]
async fn a_retried_dead_job_is_pending_and_can_succeed() {
    let app = App::new(&["jobs.max_attempts=1"]).await;
    let (serve, mut worker) = (app.serve(), app.worker());
    let (_, accepted) = app.enqueue(serve.url(), &json!({ "userId": 1, "imagePath": "late.jpg" })).await;
    assert_eq!(app.outcome(serve.url(), &accepted).await["status"], "failed");
    assert!(worker.stop().success());
    app.dir.write("data/late.jpg", jpeg(1));
    let ran = run(&app, &["jobs", "retry", "--state", "dead", "--kind", "thumbnail"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "1 queued\n"), "{}", ran.stderr);
    assert_eq!(app.get(serve.url(), "/status/1").await.1["status"], "pending");
    let job = accepted["statusUrl"].as_str().unwrap();
    assert_eq!(app.get(serve.url(), job).await.1["status"], "pending");
    let _worker = app.worker();
    assert_eq!(app.outcome(serve.url(), &accepted).await["status"], "done");
    let ran = run(&app, &["jobs", "retry", id(&accepted)]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("is done"), "{}", ran.stderr);
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_cancelled_job_never_runs_and_its_waiters_are_notified() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    let live = format!("{}/jobs/{}/live", serve.url(), id(&accepted));
    let waiting = tokio::spawn(answer(app.http.get(live)));
    let ran = run(&app, &["jobs", "cancel", id(&accepted)]);
    assert_eq!((ran.code, ran.stdout), (Some(0), format!("{} cancelled\n", id(&accepted))), "{}", ran.stderr);
    let outcome = waiting.await.unwrap().unwrap();
    assert_eq!((outcome.0, &outcome.1["status"]), (200, &json!("failed")));
    assert_eq!(outcome.1["message"], "This was cancelled.");
    let _worker = app.worker();
    let other = app.upload(serve.url(), 2, &jpeg(2)).await;
    assert_eq!(app.outcome(serve.url(), &other).await["status"], "done");
    let shown = show(&app, id(&accepted));
    assert_eq!((&shown["state"], &shown["history"]), (&json!("cancelled"), &json!([])), "{shown}");
    assert_eq!(run(&app, &["jobs", "cancel", id(&other)]).code, Some(1), "a finished job cannot be cancelled");
    assert_eq!(run(&app, &["jobs", "retry", "--state", "cancelled"]).stdout, "1 queued\n");
    assert_eq!(app.outcome(serve.url(), &accepted).await["status"], "done");
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_cancelled_job_is_published_as_finished() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    app.until(serve.url(), "ready").await;
    let stop = CancellationToken::new();
    let (bus, task) = Bus::start(&app.redis.url(), stop.clone()).unwrap();
    let mut finished = bus.subscribe::<Finished>();
    assert!(matches!(within("the subscription", finished.next()).await, Some(Signal::Resync)));
    let cancelled = Outcome::Failed { message: "This was cancelled.".to_owned() };
    for over_http in [false, true] {
        let accepted = app.upload(serve.url(), 7, &jpeg(1)).await;
        if over_http {
            let path = format!("/admin/jobs/{}/cancel", id(&accepted));
            assert_eq!(app.post(serve.url(), &path, &json!({})).await.0, 200);
        } else {
            let mut command = app.command(&["jobs", "cancel", id(&accepted)]);
            let ran = tokio::task::spawn_blocking(move || Ran::of(&mut command)).await.unwrap();
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        }
        let published = loop {
            match within("the event", finished.next()).await {
                Some(Signal::Event(finished)) => break finished,
                Some(Signal::Resync) => {}
                None => panic!("the bus has ended"),
            }
        };
        assert_eq!((published.user_id.get(), &published.outcome), (7, &cancelled));
        assert_eq!(published.job_id.map(|job| job.to_string()).as_deref(), Some(id(&accepted)));
    }
    stop.cancel();
    task.finished().await;
}

#[tokio::test]
async fn the_result_of_a_job_that_was_cancelled_while_it_ran_is_dropped() {
    let mut lab = crate::harness::job_lab::Lab::new();
    let worker = lab.worker(1, crate::harness::job_lab::POLICY);
    let job = lab.enqueue().await;
    let call = lab.call().await;
    let hooks = [m3a3::jobs::operator::KindHooks::of::<crate::harness::job_lab::Fake>()].into();
    let cancelled = m3a3::jobs::operator::cancel(&lab.database, &hooks, job).await.unwrap();
    assert_eq!(cancelled, m3a3::jobs::operator::Intervention::Done);
    call.end(crate::harness::job_lab::Verdict::Done);
    worker.stop().await;
    assert_eq!((lab.row(job).state.as_str(), lab.effects()), ("cancelled", 0));
    let shown = lab.database.read_point(|connection| m3a3::jobs::operator::show(connection, job)).unwrap().unwrap();
    let outcomes: Vec<_> = shown.history.iter().map(|attempt| attempt.outcome.name()).collect();
    assert_eq!(outcomes, ["cancelled"]);
}

#[tokio::test]
async fn commands_fail_without_a_database_and_create_none() {
    let app = App::new(&[]).await;
    for args in [&["jobs", "list"][..], &["jobs", "purge", "--older-than", "1d"], &["warehouse", "report"]] {
        let ran = run(&app, args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{args:?}");
        assert!(ran.stderr.contains("data/m3a3.db is not there"), "{}", ran.stderr);
    }
    assert!(!app.dir.path().join("data").exists());
}

#[tokio::test]
async fn a_retried_image_causes_no_mail_about_a_failure() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    for _ in 0..3 {
        assert_eq!(run(&app, &["jobs", "cancel", id(&accepted)]).code, Some(0));
        assert_eq!(run(&app, &["jobs", "retry", id(&accepted)]).code, Some(0));
    }
    assert_eq!(show(&app, id(&accepted))["error"], Value::Null);
    let _worker = app.worker();
    assert_eq!(app.outcome(serve.url(), &accepted).await["status"], "done");
    let mails = list(&app, &["--kind", "email"]).len();
    let failed = "SELECT count(*) FROM jobs WHERE kind = 'email' AND payload LIKE '%thumbnail_failed%'";
    assert_eq!((mails, app.count(failed)), (2, 0));
}

#[tokio::test]
async fn purge_deletes_old_finished_jobs_and_nothing_else() {
    let app = App::new(&[]).await;
    let (serve, _worker) = (app.serve(), app.worker());
    let done = app.upload(serve.url(), 1, &jpeg(1)).await;
    app.outcome(serve.url(), &done).await;
    assert_eq!(run(&app, &["jobs", "purge", "--older-than", "1h"]).stdout, "0 removed\n");
    let before = app.count("SELECT count(*) FROM jobs");
    assert_eq!(run(&app, &["jobs", "purge", "--older-than", "0s"]).stdout, "1 removed\n");
    assert_eq!(app.count("SELECT count(*) FROM jobs"), before - 1, "queued jobs stay");
    assert_eq!(app.count("SELECT count(*) FROM job_attempts"), 0);
    assert_eq!(app.get(serve.url(), "/status/1").await.1["status"], "done", "the image stays");
    for wrong in ["soon", "-1h", "7"] {
        assert_eq!(run(&app, &["jobs", "purge", "--older-than", wrong]).code, Some(2), "{wrong}");
    }
}

#[tokio::test]
async fn old_jobs_are_pruned_and_so_are_those_that_no_worker_claims() {
    let app = App::new(&["jobs.keep_days=1"]).await;
    {
        let (serve, _worker) = (app.serve(), app.worker());
        let done = app.upload(serve.url(), 1, &jpeg(1)).await;
        app.outcome(serve.url(), &done).await;
    }
    let age = "UPDATE jobs SET finished_at = finished_at - 2 * 86400000, run_at = run_at - 2 * 86400000";
    diesel::RunQueryDsl::execute(diesel::sql_query(age), &mut app.database()).unwrap();
    let waiting = app.enqueue(app.serve().url(), &json!({ "userId": 1, "imagePath": "x.jpg" })).await;
    assert_eq!(waiting.0, 200);
    let serve = app.serve();
    eventually("only new jobs are left", || async {
        (app.count("SELECT count(*) FROM jobs WHERE run_at < (SELECT max(run_at) FROM jobs) - 86400000") == 0)
            .then_some(())
    })
    .await;
    assert_eq!(app.get(serve.url(), "/status/1").await.1["status"], "done");
    let original = app.get(serve.url(), "/users/1/images").await.1["images"][1]["imagePath"].clone();
    assert!(app.dir.path().join("data").join(original.as_str().unwrap()).exists(), "originals stay");
}

#[tokio::test]
async fn the_admin_token_gives_access_to_the_same_operations_over_http() {
    let app = App::new(&["auth.token=everyone", "auth.admin_token=s3cret", "jobs.max_attempts=1"]).await;
    let serve = app.serve();
    let url = serve.url();
    let get = |path: &str| app.http.get(format!("{url}/admin/{path}")).bearer_auth("s3cret");
    let post = |path: &str, body: Value| app.http.post(format!("{url}/admin/{path}")).bearer_auth("s3cret").json(&body);
    for (token, status, named) in [("everyone", 403, "admin token"), ("", 401, "earer"), ("wrong", 401, "earer")] {
        let refused = app.http.get(format!("{url}/admin/jobs")).bearer_auth(token);
        assert_refused(token, refused, status, named).await;
    }
    let enqueue = app.http.post(format!("{url}/enqueue")).bearer_auth("everyone");
    let (_, accepted) = answer(enqueue.json(&json!({ "userId": 1, "imagePath": "x.jpg" }))).await.unwrap();
    let job = id(&accepted).to_owned();
    let (status, listed) = answer(get("jobs?kind=thumbnail&user=1&state=queued&since=1h&limit=5")).await.unwrap();
    assert_eq!((status, listed[0]["id"].as_str()), (200, Some(job.as_str())), "{listed}");
    assert_eq!(listed[0]["error"], Value::Null);
    let (_, next) = answer(get(&format!("jobs?kind=thumbnail&before={job}"))).await.unwrap();
    assert_eq!(next, json!([]));

    let cancelled = answer(post(&format!("jobs/{job}/cancel"), json!({}))).await.unwrap();
    assert_eq!((cancelled.0, &cancelled.1["state"]), (200, &json!("cancelled")));
    assert_refused("twice", post(&format!("jobs/{job}/cancel"), json!({})), 409, "cancelled").await;
    let retried = answer(post(&format!("jobs/{job}/retry"), json!({}))).await.unwrap();
    assert_eq!((retried.0, &retried.1["state"]), (200, &json!("queued")));
    let _worker = app.worker();
    let path = format!("jobs/{job}");
    eventually("the job is dead", || async { (answer(get(&path)).await.unwrap().1["state"] == "dead").then_some(()) })
        .await;
    let all = answer(post("jobs/retry", json!({ "state": "dead", "kind": "thumbnail" }))).await.unwrap();
    assert_eq!(all, (200, json!({ "retried": 1 })));
    eventually("the job is dead", || async { (answer(get(&path)).await.unwrap().1["state"] == "dead").then_some(()) })
        .await;
    let (_, shown) = answer(get(&path)).await.unwrap();
    assert_eq!(shown["history"].as_array().unwrap().len(), 2, "{shown}");
    let purged = answer(post("jobs/purge", json!({ "olderThan": "0s" }))).await.unwrap();
    assert_eq!(purged, (200, json!({ "purged": 1 })));
    assert_eq!(answer(get(&path)).await.unwrap().0, 404);

    assert_refused("a state", get("jobs?state=lost"), 400, "state").await;
    assert_refused("a kind", get("jobs?kind=cat"), 400, "kind").await;
    assert_refused("a time", get("jobs?since=soon"), 400, "since").await;
    assert_refused("a page", get("jobs?before=1"), 400, "before").await;
    assert_refused("an id", get("jobs/1"), 400, "jobId").await;
    assert_refused("what runs", post("jobs/retry", json!({ "state": "running" })), 400, "state").await;
    assert_refused("an age", post("jobs/purge", json!({ "olderThan": 7 })), 400, "olderThan").await;
    assert_refused("nothing", post("jobs/purge", json!({})), 400, "olderThan").await;
}
