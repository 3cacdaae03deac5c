use std::collections::BTreeMap;

use super::*;

mod binding;
mod errors;
mod shown;
mod tls;

/// The sources of the configuration, each empty at first.
#[derive(Default)]
struct Sources {
    environment: Variables,
    files: BTreeMap<String, String>,
    flags: Overrides,
}

impl Sources {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn dotenv(self, text: &str) -> Self {
        self.file(".env", text)
    }

    fn profile(self, text: &str) -> Self {
        self.env("M3A3_ENV", "production").file("config/production.toml", text)
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        self.files.insert(name.to_owned(), text.to_owned());
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.flags.set(key, value, "--set");
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        let read = |path: &Path| {
            let text = path.to_str().and_then(|name| self.files.get(name));
            text.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        };
        Config::from_layers(&self.environment, &read, &self.flags)
    }

    fn error(&self) -> String {
        self.load().unwrap_err().to_string()
    }

    fn redis(&self) -> Option<String> {
        self.load().unwrap().redis.url.map(|url| url.expose().to_owned())
    }
}

fn sources() -> Sources {
    Sources::default()
}

#[test]
fn every_default_is_read_and_every_key_has_a_default() {
    let no_file = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let settings = layers::merge(&Variables::new(), &no_file, &Overrides::default()).unwrap();
    let mut reader = Reader::new(settings.clone());
    Config::read(&mut reader).unwrap();
    assert_eq!(reader.unread(), [""; 0]);

    for missing in &settings {
        let others = settings.iter().filter(|setting| setting.key != missing.key).cloned().collect();
        let error = Config::read(&mut Reader::new(others)).unwrap_err();
        assert!(matches!(error, ConfigError::NoDefault { key } if key == missing.key));
    }
}

#[test]
fn every_default_has_a_comment() {
    let text = include_str!("../../../config/default.toml");
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ") && !pair[1].starts_with('#')) {
        assert!(pair[0].starts_with('#') || pair[0].starts_with('['), "{}", pair[1]);
    }
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = sources().load().unwrap();
    assert_eq!(config.serve.address().to_string(), "127.0.0.1:3010");
    assert_eq!(config.game.address().to_string(), "127.0.0.1:3011");
    assert_eq!(config.serve.long_poll_timeout.as_secs(), 30);
    assert_eq!(config.serve.max_upload_bytes, 50 << 20);
    assert!(config.redis.url.is_none() && config.webhook.url.is_none() && config.auth.token.is_none());
    assert_eq!(config.database.path, Path::new("data/m3a3.db"));
    assert_eq!(config.images.max_pixels, 100_000_000);
    assert_eq!((config.jobs.lease.as_secs(), config.jobs.sweep_interval.as_secs()), (30, 1));
    assert_eq!((config.jobs.max_attempts, config.jobs.retry_base.as_secs()), (5, 1));
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.serve.public_url, None);
}

#[test]
fn a_public_url_has_no_slash_at_its_end_and_no_query() {
    let load = |url: &str| sources().env("M3A3_SERVE__PUBLIC_URL", url).load().map(|config| config.serve.public_url);
    for (text, url) in [
        ("https://example.org", "https://example.org"),
        ("http://example.org:8080/", "http://example.org:8080"),
        ("https://example.org/a b/", "https://example.org/a%20b"),
    ] {
        assert_eq!(load(text).unwrap().as_deref(), Some(url));
    }
    for bad in ["/images", "example.org", "ftp://example.org", "https://example.org/?a", "https://u:p@example.org"] {
        assert!(load(bad).unwrap_err().to_string().starts_with("serve.public_url"), "{bad}");
    }
}

#[test]
fn a_later_layer_wins() {
    const KEY: &str = "serve.port";
    const VARIABLE: &str = "M3A3_SERVE__PORT";
    let port = |sources: &Sources| {
        let config = sources.load().unwrap();
        let origin = config.entries().iter().find(|entry| entry.key == KEY).map(|entry| entry.origin.clone());
        (config.serve.port, origin.unwrap())
    };
    let is = |port: u16, origin: &str| (port, origin.to_owned());
    let profile = "[serve]\nport = 2";
    let dotenv = "M3A3_SERVE__PORT=3";

    assert_eq!(port(&sources()), is(3010, "default"));
    assert_eq!(port(&sources().profile(profile)), is(2, "config/production.toml"));
    assert_eq!(port(&sources().dotenv(dotenv)), is(3, ".env: M3A3_SERVE__PORT"));
    assert_eq!(port(&sources().profile(profile).dotenv(dotenv)), is(3, ".env: M3A3_SERVE__PORT"));
    assert_eq!(port(&sources().profile(profile).env(VARIABLE, "4")), is(4, "environment: M3A3_SERVE__PORT"));
    assert_eq!(port(&sources().dotenv(dotenv).env(VARIABLE, "4")), is(4, "environment: M3A3_SERVE__PORT"));
    assert_eq!(port(&sources().dotenv(dotenv).env(VARIABLE, "")), is(3, ".env: M3A3_SERVE__PORT"));
    assert_eq!(port(&sources().env(VARIABLE, "4").flag(KEY, "5")), is(5, "--set"));
    assert_eq!(port(&sources().env(VARIABLE, "4").flag(KEY, "")), is(4, "environment: M3A3_SERVE__PORT"));
    assert_eq!(
        port(&sources().profile(profile).dotenv(dotenv).env(VARIABLE, "4").flag(KEY, "5").flag(KEY, "6")),
        is(6, "--set")
    );
}

#[test]
fn legacy_variables_work_and_m3a3_variables_override_them() {
    type Environment = &'static [(&'static str, &'static str)];
    // Environment, .env, and the URL that results.
    let table: &[(Environment, &str, Option<&str>)] = &[
        (&[], "", None),
        (&[("REDIS_URL", ""), ("REDIS_HOST", ""), ("REDIS_PASSWORD", "")], "REDIS_URL=\nM3A3_REDIS__URL=", None),
        (&[("REDIS_URL", "redis://env")], "", Some("redis://env")),
        (&[], "REDIS_URL=redis://dotenv", Some("redis://dotenv")),
        (&[("REDIS_URL", "redis://env")], "REDIS_URL=redis://dotenv", Some("redis://env")),
        (&[("REDIS_URL", "")], "REDIS_URL=redis://dotenv", Some("redis://dotenv")),
        (&[("REDIS_URL", "redis://old")], "M3A3_REDIS__URL=redis://new", Some("redis://new")),
        (&[("REDIS_URL", "redis://old"), ("M3A3_REDIS__URL", "redis://new")], "", Some("redis://new")),
        (&[("M3A3_REDIS__URL", ""), ("REDIS_URL", "redis://old")], "", Some("redis://old")),
        (&[("REDIS_HOST", "h")], "", Some("redis://h:6379")),
        (&[("REDIS_PORT", "7000")], "", Some("redis://127.0.0.1:7000")),
        (&[("REDIS_HOST", "h")], "REDIS_PORT=7000", Some("redis://h:7000")),
        (&[("REDIS_HOST", "::1")], "", Some("redis://[::1]:6379")),
        (&[("REDIS_HOST", "h")], "REDIS_URL=redis://url", Some("redis://url")),
        (&[("REDIS_URL", "redis://url"), ("REDIS_HOST", "h"), ("REDIS_PORT", "1")], "", Some("redis://url")),
        (&[("REDIS_HOST", "h"), ("REDIS_PASSWORD", "p@/:%41 é")], "", Some("redis://:p%40%2F%3A%2541%20%C3%A9@h:6379")),
        (&[("REDIS_HOST", "h"), ("REDIS_USERNAME", "me"), ("REDIS_PASSWORD", "p")], "", Some("redis://me:p@h:6379")),
        (&[("REDIS_URL", "redis://h/2"), ("REDIS_PASSWORD", "p")], "", Some("redis://:p@h/2")),
        (&[("REDIS_URL", "redis://a:b@h"), ("REDIS_PASSWORD", "p")], "", Some("redis://a:b@h")),
    ];
    for (environment, dotenv, expected) in table {
        let sources =
            environment.iter().fold(sources(), |sources, (name, value)| sources.env(name, value)).dotenv(dotenv);
        assert_eq!(sources.redis().as_deref(), *expected, "{environment:?} {dotenv}");
    }
    let database = |sources: Sources| sources.load().unwrap().database.path.display().to_string();
    assert_eq!(database(sources().env("DATABASE_URL", "file:./x.db?connection_limit=1")), "./x.db");
    assert_eq!(database(sources().env("DATABASE_URL", "file:./x.db").dotenv("M3A3_DATABASE__URL=y.db")), "y.db");
    assert_eq!(database(sources().env("DATABASE_URL", "x.db").profile("database.url = \"z.db\"")), "x.db");
    assert_eq!(database(sources().env("DATABASE_URL", "x.db").flag("database.url", "f.db")), "f.db");
}

#[test]
fn m3a3_env_selects_the_file_and_may_be_set_in_dotenv() {
    let file = "[serve]\nport = 9";
    assert_eq!(sources().dotenv("M3A3_ENV=ci").file("config/ci.toml", file).load().unwrap().serve.port, 9);
    assert_eq!(
        sources().env("M3A3_ENV", "").dotenv("M3A3_ENV=ci").file("config/ci.toml", file).load().unwrap().serve.port,
        9
    );
    assert_eq!(sources().env("M3A3_ENV", "ci").error(), "cannot read config/ci.toml, which M3A3_ENV selects");
    assert!(sources().env("M3A3_ENV", "../x").error().starts_with("M3A3_ENV (environment): got \"../x\""));
    assert!(sources().env("M3A3_TEST_REDIS", "real").load().is_ok());
}

#[test]
fn an_array_of_texts_is_a_list() {
    let listed = sources().profile("[cors]\norigins = [\"https://a.example\", \"http://localhost:3000\"]");
    assert_eq!(listed.load().unwrap().cors.origins, ["https://a.example", "http://localhost:3000"]);
    let mixed = sources().profile("[cors]\norigins = [\"https://a.example\", 3]").error();
    assert!(mixed.starts_with("cors.origins (config/production.toml): got an array or a date"), "{mixed}");
}
