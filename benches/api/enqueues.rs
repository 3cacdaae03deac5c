//! `POST /enqueue`, by path and as upload. Every 200 must have its row.

use anyhow::ensure;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};

use super::rig::CONNECTIONS;
use super::rig::load::{self, Client};
use super::rig::report::{Report, Target};
use super::{Bench, rows, serve};

/// The number of users per connection.
const USERS: usize = 256;
const PHOTO: &str = "photo.jpg";

/// Loads one new server per form of the request.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let photo = photo()?;
    let targets = [Some(Target::AtLeast(5_000.0)), Some(Target::Below(50.0)), None];
    let name = format!("Durable `POST /enqueue` (JSON), {CONNECTIONS} connections");
    run(bench, report, "enqueues", &name, &photo, targets, ByPath::new)?;
    let name = format!("Uploads of {} KiB (multipart), {CONNECTIONS} connections", photo.len() / 1024);
    run(bench, report, "uploads", &name, &photo, [None; 3], |connection| Uploading::new(connection, &photo))
}

fn run<C: Client>(
    bench: &Bench,
    report: &mut Report,
    folder: &str,
    name: &str,
    photo: &[u8],
    targets: [Option<Target>; 3],
    client: impl Fn(usize) -> C,
) -> anyhow::Result<()> {
    let server = serve(bench, folder)?;
    std::fs::write(server.images().join(PHOTO), photo)?;
    server.ready()?;
    let load = load::run(&bench.rig, &server, client)?;
    report.add_load(name, &load, targets);
    let rows = rows::images(&mut server.database()?)?;
    ensure!(i64::try_from(load.total) == Ok(rows), "{} were accepted, {rows} have a row", load.total);
    Ok(())
}

/// Whether the body is that of an accepted image.
fn is_accepted(body: &[u8]) -> bool {
    let text = b"\"message\":\"Image received and event broadcasted!\"";
    body.windows(text.len()).any(|window| window == text)
}

/// An image of 640x480 pixels with the entropy of a small photo.
pub fn photo() -> anyhow::Result<Vec<u8>> {
    let wave = |x: u32, y: u32, step: u32| ((x * x / step + y * y / (step + 20) + x * y / 97) % 256) as u8;
    let picture = RgbImage::from_fn(640, 480, |x, y| Rgb([wave(x, y, 300), wave(y, x, 400), wave(x, x, 500)]));
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 50).encode_image(&picture)?;
    Ok(bytes)
}

struct ByPath {
    requests: Vec<String>,
    next: usize,
}

impl ByPath {
    fn new(connection: usize) -> Self {
        let request = |user: usize| {
            let body = format!("{{\"userId\":{user},\"imagePath\":\"{PHOTO}\"}}");
            format!(
                "POST /enqueue HTTP/1.1\r\nHost: 127.0.0.1:3010\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        Self { requests: (0..USERS).map(|user| request(connection * USERS + user + 1)).collect(), next: 0 }
    }
}

impl Client for ByPath {
    fn request(&mut self) -> &[u8] {
        self.next = (self.next + 1) % USERS;
        self.requests[self.next].as_bytes()
    }

    fn is_right(&mut self, body: &[u8]) -> bool {
        is_accepted(body)
    }
}

/// Uploads the same image with a different number after its end, so that each content is unique.
pub struct Uploading {
    request: Vec<u8>,
    number_at: usize,
    number: u64,
}

impl Uploading {
    pub fn new(connection: usize, photo: &[u8]) -> Self {
        let number = (connection as u64) << 32;
        let before = format!(
            "--x\r\nContent-Disposition: form-data; name=\"userId\"\r\n\r\n{}\r\n\
             --x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"photo.jpg\"\r\n\
             Content-Type: image/jpeg\r\n\r\n",
            connection + 1
        );
        let after = "\r\n--x--\r\n";
        let length = before.len() + photo.len() + size_of_val(&number) + after.len();
        let head = format!(
            "POST /enqueue HTTP/1.1\r\nHost: 127.0.0.1:3010\r\nContent-Type: multipart/form-data; boundary=x\r\n\
             Content-Length: {length}\r\n\r\n{before}"
        );
        let number_at = head.len() + photo.len();
        Self { request: [head.as_bytes(), photo, &number.to_be_bytes(), after.as_bytes()].concat(), number_at, number }
    }
}

impl Client for Uploading {
    fn request(&mut self) -> &[u8] {
        self.number += 1;
        let number = self.number.to_be_bytes();
        self.request[self.number_at..][..number.len()].copy_from_slice(&number);
        &self.request
    }

    fn is_right(&mut self, body: &[u8]) -> bool {
        is_accepted(body)
    }
}
