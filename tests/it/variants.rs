//! Several thumbnails of one image: configuration, naming, listing and serving.

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::harness::app::App;
use crate::harness::binary::{Ran, Workdir};
use crate::harness::pictures::{jpeg, truncated_jpeg};

/// A thumbnail response.
struct File {
    content_type: String,
    caching: String,
    bytes: Vec<u8>,
}

impl File {
    fn pixels(&self) -> image::RgbaImage {
        image::load_from_memory(&self.bytes).unwrap().to_rgba8()
    }

    fn size(&self) -> (u32, u32) {
        self.pixels().dimensions()
    }
}

async fn file(app: &App, url: &str, variant: &Value) -> File {
    let response = app.http.get(format!("{url}{}", variant["url"].as_str().unwrap())).send().await.unwrap();
    assert_eq!(response.status(), 200, "{variant}");
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let (content_type, caching) = (header("content-type"), header("cache-control"));
    File { content_type, caching, bytes: response.bytes().await.unwrap().to_vec() }
}

/// Uploads an image for a user, and returns the variants of the finished job.
async fn variants(app: &App, url: &str, user: i64, picture: &[u8]) -> Value {
    let accepted = app.upload(url, user, picture).await;
    let outcome = app.outcome(url, &accepted).await;
    assert_eq!(outcome["status"], "done", "{outcome}");
    outcome["variants"].clone()
}

/// An image of 300x200 pixels, red on the left and blue on the right.
fn red_and_blue() -> Vec<u8> {
    let picture = RgbImage::from_fn(300, 200, |x, _| if x < 150 { Rgb([220, 20, 20]) } else { Rgb([20, 20, 220]) });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn every_variant_has_the_configured_size_fit_and_format() {
    let wanted = "images.variants=cover=100x100, contain=100x100 contain png, inside=100x100 inside q95, \
                  coarse=100x100 inside q10, tall=40x120";
    let app = App::new(&[wanted]).await;
    let up = app.up();
    let made = variants(&app, up.url(), 1, &red_and_blue()).await;
    for (name, size, content_type) in [
        ("cover", (100, 100), "image/jpeg"),
        ("contain", (100, 100), "image/png"),
        ("inside", (100, 67), "image/jpeg"),
        ("coarse", (100, 67), "image/jpeg"),
        ("tall", (40, 120), "image/jpeg"),
    ] {
        let variant = &made[name];
        let file = file(&app, up.url(), variant).await;
        assert_eq!((file.size(), file.content_type.as_str()), (size, content_type), "{name}");
        let listed = json!({ "url": variant["url"], "width": size.0, "height": size.1, "bytes": file.bytes.len() });
        assert_eq!(variant, &listed, "{name}");
        assert!(file.caching.contains("immutable"), "{name}: {}", file.caching);
        let (pixels, middle) = (file.pixels(), size.1 / 2);
        let (left, right) = (pixels.get_pixel(5, middle).0, pixels.get_pixel(size.0 - 6, middle).0);
        assert!(left[0] > 150 && left[2] < 100 && right[2] > 150 && right[0] < 100, "{name}: {left:?} {right:?}");
    }
    let contained = file(&app, up.url(), &made["contain"]).await.pixels();
    assert_eq!(contained.get_pixel(50, 2).0[3], 0, "the margin of a PNG is transparent");
    assert!(made["coarse"]["bytes"].as_i64() < made["inside"]["bytes"].as_i64(), "{made}");
    app.assert_no_job_is_left().await;
}

#[cfg(feature = "libwebp")]
#[tokio::test]
async fn variants_without_a_format_use_the_configured_output() {
    use crate::harness::pictures::half_transparent_png;

    let variants_setting =
        "images.variants=own=50x50, png=50x50 png, jpeg=50x50 jpeg, webp=50x50 webp, auto=50x50 auto";
    for (output, opaque, clear) in [
        ("jpeg", "image/jpeg", "image/png"),
        ("webp", "image/webp", "image/webp"),
        ("auto", "image/jpeg", "image/webp"),
    ] {
        let app = App::new(&[variants_setting, &format!("images.output={output}")]).await;
        let up = app.up();
        for (picture, own, [png, jpeg, webp, auto]) in [
            (red_and_blue(), opaque, ["image/png", "image/jpeg", "image/webp", "image/jpeg"]),
            (half_transparent_png(), clear, ["image/png", "image/png", "image/webp", "image/webp"]),
        ] {
            let made = variants(&app, up.url(), 1, &picture).await;
            for (name, format) in [("own", own), ("png", png), ("jpeg", jpeg), ("webp", webp), ("auto", auto)] {
                let file = file(&app, up.url(), &made[name]).await;
                assert_eq!((file.content_type.as_str(), file.size()), (format, (50, 50)), "{output} {name}");
                let is_transparent = file.pixels().get_pixel(5, 25).0[3] == 0;
                assert_eq!(is_transparent, picture == half_transparent_png(), "{output} {name}");
            }
        }
        app.assert_no_job_is_left().await;
    }
}

#[tokio::test]
async fn all_variants_are_listed_everywhere_and_the_first_is_the_thumbnail() {
    let app = App::new(&["images.variants=wide=200x100, thumb=300x300, alpha=10x10"]).await;
    let up = app.up();
    let url = up.url();
    let accepted = app.upload(url, 1, &jpeg(1)).await;
    let job = app.outcome(url, &accepted).await;
    let names: Vec<_> = job["variants"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["alpha", "thumb", "wide"]);
    assert_eq!(job["thumbnailUrl"], job["variants"]["wide"]["url"]);
    let user = json!({ "status": "done", "thumbnailUrl": job["thumbnailUrl"], "variants": job["variants"] });
    for path in ["/status/1", "/status-live/1"] {
        assert_eq!(app.get(url, path).await, (200, user.clone()), "{path}");
    }
    assert_eq!(app.get(url, accepted["statusUrl"].as_str().unwrap()).await, (200, job.clone()));

    app.upload(url, 1, &truncated_jpeg()).await;
    app.upload(url, 1, &jpeg(2)).await;
    app.assert_no_job_is_left().await;
    let (_, gallery) = app.get(url, "/users/1/images").await;
    let images = gallery["images"].as_array().unwrap();
    assert_eq!(images.len(), 3, "one entry for each accepted image: {gallery}");
    assert_eq!(images[2]["variants"], job["variants"]);
    assert_eq!((&images[1]["status"], images[1].get("variants")), (&json!("failed"), None));
    for image in [&images[0], &images[2]] {
        let first = &image["variants"]["wide"];
        assert_eq!(image["thumbnailUrl"], first["url"], "{image}");
        let size = json!({ "width": 200, "height": 100, "bytes": first["bytes"] });
        assert_eq!(image["thumbnail"], size, "{image}");
    }
    assert_ne!(images[0]["variants"]["alpha"]["url"], images[2]["variants"]["alpha"]["url"]);
}

#[tokio::test]
async fn identical_thumbnails_with_two_names_share_one_file() {
    let app = App::new(&["images.variants=thumb=300x300, same=300x300 q80 jpeg cover, other=299x300"]).await;
    let up = app.up();
    for user in 1..=2 {
        let made = variants(&app, up.url(), user, &jpeg(1)).await;
        assert_eq!(made["thumb"], made["same"]);
        assert_ne!(made["thumb"]["url"], made["other"]["url"]);
    }
    assert_eq!(app.count("SELECT count(*) FROM thumbnails"), 6);
    let thumbnails = app.dir.path().join("data/thumbnails");
    let folders = std::fs::read_dir(thumbnails).unwrap().map(|entry| entry.unwrap());
    let folders = folders.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let files: usize = folders.map(|folder| std::fs::read_dir(folder.path()).unwrap().count()).sum();
    assert_eq!(files, 2);
}

#[tokio::test]
async fn existing_thumbnails_are_kept_when_the_setting_changes() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let old = {
        let _worker = app.start(&["worker", "thumbnail", "--set", "images.variants=old=10x10"]);
        variants(&app, serve.url(), 1, &jpeg(1)).await
    };
    let _worker = app.worker();
    let new = variants(&app, serve.url(), 2, &jpeg(1)).await;
    assert_eq!(new["thumb"]["width"], 300, "the default variant: {new}");
    assert_eq!(app.get(serve.url(), "/status/1").await.1["variants"], old);
    assert_eq!((old["old"]["width"].as_i64(), old.as_object().unwrap().len()), (Some(10), 1));
}

#[test]
fn an_invalid_setting_is_rejected_with_the_problem_and_the_expected_syntax() {
    let workdir = Workdir::new();
    for (key, value, wrong) in [
        ("variants", "thumb=300", "got \"300\" in \"thumb=300\", expected a size such as 600x400"),
        ("variants", "thumb=300x5000", "got \"300x5000\" in \"thumb=300x5000\", expected a size"),
        (
            "variants",
            "thumb=1x1, card=2x2 fill",
            "got \"fill\" in \"card=2x2 fill\", expected cover, contain or inside",
        ),
        ("variants", "Thumb=1x1", "got \"Thumb\" in \"Thumb=1x1\", expected a name of 1 to 32 characters"),
        ("variants", "a=1x1, a=2x2", "got two variants \"a\", expected a unique name for each"),
        ("variants", "a=1x1,", "got \"\", expected NAME=WIDTHxHEIGHT"),
        ("output", "png", "got \"png\", expected jpeg"),
    ] {
        let ran = workdir.run(&["config", "show", "--set", &format!("images.{key}={value}")]);
        assert_eq!(ran.code, Some(2), "{value}: {}", ran.stdout);
        let line = format!("m3a3: images.{key} (--set): {wrong}");
        assert!(ran.stderr.starts_with(&line) && ran.stderr.lines().count() == 1, "{value}: {}", ran.stderr);
    }
    workdir.write("config/array.toml", "[images]\nvariants = [\"thumb=1x1\"]\n");
    let ran = Ran::of(workdir.command(&["config", "show"]).env("M3A3_ENV", "array"));
    assert!(ran.stderr.contains("got an array or a date, expected a text such as \"thumb=300x300, "), "{}", ran.stderr);
}

#[test]
fn a_list_can_be_set_in_the_environment_and_can_have_line_breaks() {
    let workdir = Workdir::new();
    let set = "card=600x400 inside q70";
    let ran = Ran::of(workdir.command(&["config", "show"]).env("M3A3_IMAGES__VARIANTS", set));
    let line = format!("variants = \"{set}\" # environment: M3A3_IMAGES__VARIANTS");
    assert!(ran.stdout.lines().any(|shown| shown == line), "{}{}", ran.stdout, ran.stderr);
    let lines = "[images]\nvariants = \"\"\"\n  thumb=300x300,\n  card=600x400 inside\n\"\"\"\n";
    workdir.write("config/lines.toml", lines);
    let ran = Ran::of(workdir.command(&["config", "show"]).env("M3A3_ENV", "lines"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}
