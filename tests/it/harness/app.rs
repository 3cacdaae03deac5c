//! A real installation: processes of the built binary on one database and image root, with a private Redis.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::binary::Workdir;
use super::pictures::jpeg;
use super::redis::TestRedis;

/// The timeout of every wait.
pub const DEADLINE: Duration = Duration::from_secs(30);
const PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// Polls a condition, and fails the test after [`DEADLINE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    let mut probes = tokio::time::interval(PROBE_INTERVAL);
    loop {
        probes.tick().await;
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
    }
}

/// An installation: a working directory, a Redis, and the settings that all its processes share.
pub struct App {
    pub dir: Workdir,
    pub redis: TestRedis,
    pub http: reqwest::Client,
    settings: Vec<String>,
}

impl App {
    /// An installation that runs only its Redis. `settings` are `key=value`.
    pub async fn new(settings: &[&str]) -> Self {
        Self::with_redis(TestRedis::start().await, settings)
    }

    /// The same, on this Redis.
    pub fn with_redis(redis: TestRedis, settings: &[&str]) -> Self {
        // The HTTP client requires a TLS provider, also for plain HTTP.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(90)).build().unwrap();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self { dir: Workdir::new(), redis, http, settings }
    }

    /// Starts a subcommand with this installation's settings, and waits for its first line of output.
    pub fn start(&self, args: &[&str]) -> Process {
        Process::start(&mut self.command(args))
    }

    /// A subcommand with this installation's settings.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.dir.command(args);
        let redis = format!("redis.url={}", self.redis.url());
        let own = [
            "serve.port=0",
            "game.port=0",
            "jobs.retry_base_s=0.05",
            "jobs.sweep_interval_s=0.2",
            // Clients here keep idle connections, for which a server would wait.
            "shutdown.spread_s=0",
            redis.as_str(),
        ];
        for setting in own.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["--set", setting]);
        }
        command
    }

    /// Starts the API server and a thumbnail worker in one process.
    pub fn up(&self) -> Process {
        self.start(&["up"])
    }

    /// Starts the API server alone.
    pub fn serve(&self) -> Process {
        self.start(&["serve"])
    }

    /// Starts a game server alone.
    pub fn game_server(&self) -> Process {
        self.start(&["game-server"])
    }

    /// The same, connected to Redis.
    pub async fn ready_game_server(&self) -> Process {
        let server = self.game_server();
        self.until(server.url(), "ready").await;
        server
    }

    /// Starts a thumbnail worker alone.
    pub fn worker(&self) -> Process {
        self.start(&["worker", "thumbnail"])
    }

    /// A connection to the installation's database.
    pub fn database(&self) -> SqliteConnection {
        let path = self.dir.path().join("data/m3a3.db");
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        diesel::sql_query("PRAGMA busy_timeout = 10000").execute(&mut connection).unwrap();
        connection
    }

    /// The result of a query for one integer.
    pub fn count(&self, query: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            count: i64,
        }
        let query = format!("SELECT ({query}) AS count");
        diesel::sql_query(query).get_result::<Count>(&mut self.database()).unwrap().count
    }

    /// Asserts at the end of a test that every job has finished, of those kinds whose worker every test starts.
    pub async fn assert_no_job_is_left(&self) {
        self.assert_none_is_left_of(&["thumbnail", "webhook"]).await;
    }

    /// Waits until every job of these kinds has finished.
    pub async fn assert_none_is_left_of(&self, kinds: &[&str]) {
        let kinds = kinds.iter().map(|kind| format!("'{kind}'")).collect::<Vec<_>>().join(", ");
        let left = format!("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND kind IN ({kinds})");
        eventually("every job ends", || async { (self.count(&left) == 0).then_some(()) }).await;
    }

    /// Uploads an image, which must be accepted.
    pub async fn upload(&self, url: &str, user: i64, picture: &[u8]) -> Value {
        let (status, answer) = self.try_upload(url, user, picture).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Uploads an image.
    pub async fn try_upload(&self, url: &str, user: i64, picture: &[u8]) -> reqwest::Result<(u16, Value)> {
        let part = Part::bytes(picture.to_vec()).file_name("picture");
        let form = Form::new().text("userId", user.to_string()).part("image", part);
        answer(self.http.post(format!("{url}/enqueue")).multipart(form)).await
    }

    /// Enqueues the path of an image.
    pub async fn enqueue(&self, url: &str, body: &Value) -> (u16, Value) {
        answer(self.http.post(format!("{url}/enqueue")).json(body)).await.unwrap()
    }

    /// Places an order.
    pub async fn place_order(&self, url: &str, order: &str, user: &str) -> (u16, Value) {
        let body = json!({ "orderId": order, "userId": user });
        answer(self.http.post(format!("{url}/place_order")).json(&body)).await.unwrap()
    }

    /// Waits until an order's jobs satisfy `wanted`, and returns the order.
    pub async fn order_until(&self, url: &str, order: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("order {order} is as wanted"), || async {
            let (status, answer) = self.get(url, &format!("/orders/{order}")).await;
            (status == 200 && wanted(&answer["jobs"])).then_some(answer)
        })
        .await
    }

    /// Waits until `/readyz` reports `status`: ready, degraded or unavailable.
    pub async fn until(&self, url: &str, status: &str) {
        eventually(&format!("the server is {status}"), || async {
            (self.get(url, "/readyz").await.1["status"] == status).then_some(())
        })
        .await;
    }

    /// Waits until an accepted job has finished, and returns its status.
    pub async fn outcome(&self, url: &str, accepted: &Value) -> Value {
        let path = format!("{}/live?timeout=60", accepted["statusUrl"].as_str().expect("a statusUrl"));
        let (status, answer) = self.get(url, &path).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Asserts that the server still works: a valid image gets its thumbnail.
    pub async fn assert_server_is_well(&self, url: &str) {
        assert_eq!(self.get(url, "/healthz").await, (200, json!({ "status": "ok" })));
        let accepted = self.upload(url, 1, &jpeg(1)).await;
        assert_eq!(self.outcome(url, &accepted).await["status"], "done");
    }

    /// Waits until the cursor in Redis has reached the last score of the database.
    pub async fn redis_has_every_score(&self) {
        eventually("Redis has every score", || async {
            let seq = self.count("SELECT seq FROM leaderboard");
            let cursor = self.redis.ask("GET {leaderboard}:cursor").await;
            cursor.ends_with(&format!(":{seq}\r\n")).then_some(())
        })
        .await;
    }

    /// Posts a JSON body.
    pub async fn post(&self, url: &str, path: &str, body: &Value) -> (u16, Value) {
        answer(self.http.post(format!("{url}{path}")).json(body)).await.unwrap()
    }

    /// Submits a player's score, which must be accepted.
    pub async fn score(&self, url: &str, name: &str, score: impl Into<Value>) -> Value {
        let (status, answer) = self.post(url, "/score", &json!({ "username": name, "score": score.into() })).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
        answer
    }

    /// The names on the leaderboard, highest first.
    pub async fn players(&self, url: &str) -> Vec<String> {
        let (status, page) = self.get(url, "/leaderboard?limit=1000").await;
        assert_eq!(status, 200, "{page}");
        let players = page["players"].as_array().unwrap();
        players.iter().map(|player| player["username"].as_str().unwrap().to_owned()).collect()
    }

    /// Sends a GET request with a JSON response.
    pub async fn get(&self, url: &str, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("{url}{path}"))).await.unwrap()
    }
}

/// The webhook jobs of an order.
pub fn webhooks(order: &Value) -> Value {
    let jobs = order["jobs"].as_array().unwrap();
    jobs.iter().filter(|job| job["kind"] == "webhook").cloned().collect()
}

/// Sends a request with a JSON response.
pub async fn answer(request: reqwest::RequestBuilder) -> reqwest::Result<(u16, Value)> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))))
}

/// A process of the binary, which is killed at the end of the test.
pub struct Process {
    child: Child,
    /// The first line of its output.
    pub first_line: String,
    stderr: Option<std::thread::JoinHandle<()>>,
    logged: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a command, and waits for its first line of output.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let logged = Arc::<Mutex<String>>::default();
        let stderr = std::thread::spawn({
            let logged = Arc::clone(&logged);
            move || {
                let mut line = String::new();
                while stderr.read_line(&mut line).is_ok_and(|length| length > 0) {
                    logged.lock().unwrap().push_str(&line);
                    line.clear();
                }
            }
        });
        let (sender, first_line) = mpsc::channel();
        // Ends with the process, which closes its stdout.
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
        });
        let mut process = Self { child, first_line: String::new(), stderr: Some(stderr), logged };
        match first_line.recv_timeout(DEADLINE) {
            Ok(line) if !line.is_empty() => process.first_line = line.trim_end().to_owned(),
            _ => {
                process.kill();
                panic!("no output; stderr: {}", process.stderr());
            }
        }
        process
    }

    /// The URL of its server.
    pub fn url(&self) -> &str {
        self.first_line.strip_prefix("listening on ").expect("a server prints its URL")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The number of its open sockets: connections and listeners.
    pub fn sockets(&self) -> usize {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let targets = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// Sends a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Sends SIGKILL and waits for the exit.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for the exit.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not exit");
            std::thread::park_timeout(PROBE_INTERVAL);
        }
    }

    /// Its output to stderr, after its exit.
    pub fn stderr(&mut self) -> String {
        let _ = self.stderr.take().map(std::thread::JoinHandle::join);
        std::mem::take(&mut *self.logged.lock().unwrap())
    }

    /// Waits until a line of its log contains this text.
    pub async fn until_logged(&self, text: &str) {
        eventually(&format!("it logs {text:?}"), || async { self.logged.lock().unwrap().contains(text).then_some(()) })
            .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let stderr = self.stderr();
            eprintln!("stderr of {}: {stderr}", self.first_line);
        }
    }
}
