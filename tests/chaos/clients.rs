//! The clients: they upload, poll, score and order, and record the responses.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::seed::Random;

/// A stopped process does not respond in time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// Between two operations of a client.
const PAUSE_MS: (u64, u64) = (20, 160);
/// One in this many uploads is truncated.
const BAD_EVERY: u64 = 10;

/// An upload that was answered with 200.
#[derive(Debug, Clone)]
pub struct Uploaded {
    pub job: String,
    /// Whether the image is invalid.
    pub is_bad: bool,
    /// The final status in the response to a poll.
    pub polled: Option<String>,
}

/// Points that were added to a player.
#[derive(Debug, Clone, Copy, Default)]
pub struct Points {
    /// Answered with 200.
    pub answered: i64,
    /// Without a response, so that they may count or not.
    pub unknown: i64,
}

/// All responses.
#[derive(Debug, Default)]
pub struct Answered {
    pub uploads: Vec<Uploaded>,
    pub orders: Vec<String>,
    /// Players whose score was set once.
    pub set: Vec<(String, f64)>,
    /// Players to whom points were added.
    pub added: HashMap<String, Points>,
    /// The highest acknowledged and the highest sent score of players with the mode "best".
    pub best: HashMap<String, (i64, i64)>,
    /// The number of other responses, by status or error.
    pub refused: BTreeMap<String, u64>,
}

/// Shared by all clients.
#[derive(Clone)]
pub struct Clients {
    pub http: reqwest::Client,
    pub answered: Arc<Mutex<Answered>>,
    api: Vec<String>,
    game: Vec<String>,
    stop: CancellationToken,
}

impl Clients {
    pub fn new(api: &[String], game: &[String], stop: CancellationToken) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build().unwrap();
        Self { http, answered: Arc::default(), api: api.to_vec(), game: game.to_vec(), stop }
    }

    pub fn start(&self, seed: u64) -> tokio::task::JoinSet<()> {
        let mut tasks = tokio::task::JoinSet::new();
        for client in 0..2 {
            tasks.spawn(self.clone().uploading(client, Random::new(seed, 100 + client)));
        }
        for client in 0..4 {
            tasks.spawn(self.clone().scoring(client, Random::new(seed, 200 + client)));
        }
        tasks.spawn(self.clone().ordering(Random::new(seed, 300)));
        tasks
    }

    async fn uploading(self, client: u64, mut random: Random) {
        let mut polls = tokio::task::JoinSet::new();
        for number in 0_u64.. {
            if !self.pause(&mut random).await {
                break;
            }
            let is_bad = random.between(0, BAD_EVERY) == 0;
            let image = image(client * 1_000_000 + number, is_bad);
            // With a key the client retries until it gets a response; the key prevents duplicates.
            let key = (random.between(0, 2) == 0).then(|| format!("upload-{client}-{number}"));
            let user = random.between(1, 50);
            loop {
                let url = random.one_of(&self.api).clone();
                if let Some((job, status_url)) = self.upload(&url, user, &image, key.as_deref()).await {
                    let at = {
                        let mut answered = self.answered.lock().unwrap();
                        answered.uploads.push(Uploaded { job, is_bad, polled: None });
                        answered.uploads.len() - 1
                    };
                    if polls.len() < 20 {
                        let url = random.one_of(&self.api).clone();
                        polls.spawn(self.clone().poll(at, format!("{url}{status_url}/live?timeout=5")));
                    }
                    break;
                }
                if key.is_none() || !self.pause(&mut random).await {
                    break;
                }
            }
            while polls.try_join_next().is_some() {}
        }
        while polls.join_next().await.is_some() {}
    }

    async fn upload(&self, url: &str, user: u64, image: &[u8], key: Option<&str>) -> Option<(String, String)> {
        let part = Part::bytes(image.to_vec()).file_name("picture.jpg");
        let form = Form::new().text("userId", user.to_string()).part("image", part);
        let mut request = self.http.post(format!("{url}/enqueue")).multipart(form);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = self.answer(request).await?;
        Some((answer["jobId"].as_str()?.to_owned(), answer["statusUrl"].as_str()?.to_owned()))
    }

    /// Polls until the job has finished or a poll fails. The response to a long poll that times out is 408 with
    /// `pending`.
    async fn poll(self, at: usize, url: String) {
        while let Ok(response) = self.http.get(&url).send().await
            && let Ok(answer) = response.json::<Value>().await
        {
            match answer["status"].as_str() {
                Some("pending") if !self.stop.is_cancelled() => {}
                Some(status @ ("done" | "failed")) => {
                    self.answered.lock().unwrap().uploads[at].polled = Some(status.to_owned());
                    return;
                }
                _ => return,
            }
        }
    }

    async fn scoring(self, client: u64, mut random: Random) {
        let (adder, climber) = (format!("add-{client}"), format!("best-{client}"));
        for number in 1_i64.. {
            if !self.pause(&mut random).await {
                return;
            }
            let url = random.one_of(&self.game).clone();
            match random.between(0, 3) {
                0 => {
                    // Increasing, so that the top ten change. Retried until there is a response, which is idempotent.
                    let (name, score) = (format!("set-{client}-{number}"), number as f64 * 10.0 + 0.5);
                    let mut url = url;
                    while !self.score(&url, &name, "set", score).await {
                        if !self.pause(&mut random).await {
                            return;
                        }
                        url = random.one_of(&self.game).clone();
                    }
                    self.answered.lock().unwrap().set.push((name, score));
                }
                1 => {
                    // Without a response it may count or not.
                    self.answered.lock().unwrap().added.entry(adder.clone()).or_default().unknown += 1;
                    if self.score(&url, &adder, "add", 1.0).await {
                        let mut answered = self.answered.lock().unwrap();
                        let points = answered.added.entry(adder.clone()).or_default();
                        points.unknown -= 1;
                        points.answered += 1;
                    }
                }
                _ => {
                    self.answered.lock().unwrap().best.entry(climber.clone()).or_default().1 = number;
                    if self.score(&url, &climber, "best", number as f64).await {
                        self.answered.lock().unwrap().best.entry(climber.clone()).or_default().0 = number;
                    }
                }
            }
        }
    }

    async fn score(&self, url: &str, name: &str, mode: &str, score: f64) -> bool {
        let body = json!({ "username": name, "score": score, "mode": mode });
        self.answer(self.http.post(format!("{url}/score")).json(&body)).await.is_some()
    }

    async fn ordering(self, mut random: Random) {
        for number in 0_u64.. {
            let order = format!("order-{number}");
            let body = json!({ "orderId": order, "userId": random.between(1, 50).to_string() });
            // Retries are idempotent.
            loop {
                if !self.pause(&mut random).await {
                    return;
                }
                let url = format!("{}/place_order", random.one_of(&self.game));
                if self.answer(self.http.post(url).json(&body)).await.is_some() {
                    self.answered.lock().unwrap().orders.push(order);
                    break;
                }
            }
        }
    }

    /// The body of a response with status 200.
    async fn answer(&self, request: reqwest::RequestBuilder) -> Option<Value> {
        let refused = match request.send().await {
            Ok(response) if response.status() == 200 => match response.json().await {
                Ok(body) => return Some(body),
                Err(_) => "connection lost".to_owned(),
            },
            Ok(response) => response.status().as_u16().to_string(),
            Err(error) if error.is_connect() => "connection refused".to_owned(),
            Err(error) if error.is_timeout() => "timeout".to_owned(),
            Err(_) => "connection lost".to_owned(),
        };
        *self.answered.lock().unwrap().refused.entry(refused).or_default() += 1;
        None
    }

    /// Waits a little. Returns false after the stop.
    async fn pause(&self, random: &mut Random) -> bool {
        let pause = Duration::from_millis(random.between(PAUSE_MS.0, PAUSE_MS.1));
        self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some()
    }
}

/// A small unique image; an invalid one is truncated.
fn image(number: u64, is_bad: bool) -> Vec<u8> {
    let mut noise = Random::new(number, 7);
    let mut bytes = Cursor::new(Vec::new());
    let pixels = RgbImage::from_fn(64, 48, |x, y| {
        let noise = noise.number();
        Rgb([(x * 4) as u8, (y * 5) as u8, noise as u8])
    });
    DynamicImage::from(pixels).write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    let mut bytes = bytes.into_inner();
    if is_bad {
        bytes.truncate(bytes.len() / 2);
    }
    bytes
}
