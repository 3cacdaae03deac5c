use std::collections::BTreeMap;

use super::*;

mod binding;
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
fn an_unknown_key_error_names_its_origin_and_a_suggestion() {
    for (sources, expected) in [
        (
            sources().profile("[serve]\nprot = 1"),
            "config/production.toml sets the unknown key serve.prot; did you mean serve.port?",
        ),
        (
            sources().profile("[srve]\nport = 1"),
            "config/production.toml sets the unknown key srve.port; did you mean serve.port?",
        ),
        (
            sources().profile("[serve.port]\nx = 1"),
            "config/production.toml sets the unknown key serve.port.x; did you mean serve.port?",
        ),
        (
            sources().env("M3A3_SERVE_PORT", "1"),
            "environment sets the unknown key M3A3_SERVE_PORT; did you mean M3A3_SERVE__PORT?",
        ),
        (
            sources().dotenv("M3A3_AUTH__TOKN=hunter2"),
            ".env sets the unknown key M3A3_AUTH__TOKN; did you mean M3A3_AUTH__TOKEN?",
        ),
        (sources().flag("log.levle", "x"), "--set sets the unknown key log.levle; did you mean log.level?"),
    ] {
        assert_eq!(sources.error(), expected);
    }
}

#[test]
fn an_invalid_value_error_names_its_origin_and_the_allowed_values() {
    for (sources, expected) in [
        (
            sources().env("M3A3_SERVE__PORT", "eighty"),
            "serve.port (environment: M3A3_SERVE__PORT): got \"eighty\", expected a whole number from 0 to 65535",
        ),
        (
            sources().profile("serve.port = \"80\""),
            "serve.port (config/production.toml): got \"80\", expected a whole number from 0 to 65535",
        ),
        (
            sources().flag("game.socketio_client", "https://cdn.example/4"),
            "game.socketio_client (--set): got \"https://cdn.example/4\", expected a URL that begins with http:// or \
             https:// and ends with /, a folder, or \"none\"",
        ),
        (
            sources().profile("serve.port = [80]"),
            "serve.port (config/production.toml): got an array or a date, expected a whole number from 0 to 65535",
        ),
        (
            sources().flag("limits.user_bytes", "-1"),
            "limits.user_bytes (--set): got -1, expected a whole number from 0 to 1152921504606846976",
        ),
        (
            sources().flag("serve.port", "65536"),
            "serve.port (--set): got 65536, expected a whole number from 0 to 65535",
        ),
        (
            sources().flag("serve.long_poll_timeout_s", "61"),
            "serve.long_poll_timeout_s (--set): got 61, expected a number of seconds from 1 to 60",
        ),
        (
            sources().flag("jobs.lease_s", "0"),
            "jobs.lease_s (--set): got 0, expected a number of seconds from 0.1 to 86400",
        ),
        (
            sources().flag("jobs.lease_s", "NaN"),
            "jobs.lease_s (--set): got NaN, expected a number of seconds from 0.1 to 86400",
        ),
        (
            sources().dotenv("M3A3_AUTH__ALLOW_ANONYMOUS=yes"),
            "auth.allow_anonymous (.env: M3A3_AUTH__ALLOW_ANONYMOUS): got \"yes\", expected true or false",
        ),
        (
            sources().flag("serve.host", "example.org"),
            "serve.host (--set): got \"example.org\", expected an IP address, or \"localhost\"",
        ),
        (sources().flag("log.format", "xml"), "log.format (--set): got \"xml\", expected \"text\" or \"json\""),
        (
            sources().flag("log.level", "m3a3=loud"),
            "log.level (--set): got \"m3a3=loud\", expected error, warn, info, debug, trace or off, also per module such as \"info,m3a3::jobs=debug\"",
        ),
        (
            sources().env("DATABASE_URL", "postgres://h/d"),
            "database.url (environment: DATABASE_URL): got \"postgres://h/d\", expected the path of a file, or a file: URL such as \"file:./m3a3.db\"",
        ),
        (
            sources().env("REDIS_PORT", "x"),
            "redis.url (environment: REDIS_PORT): got \"x\", expected a port number from 1 to 65535",
        ),
        (
            sources().env("REDIS_HOST", "a/b"),
            "redis.url (environment: REDIS_HOST): got \"a/b\", expected a host name or an IP address",
        ),
    ] {
        assert_eq!(sources.error(), expected);
    }
    assert_eq!(sources().flag("jobs.retry_base_s", "0.05").load().unwrap().jobs.retry_base.as_millis(), 50);
}

#[test]
fn an_array_of_texts_is_a_list() {
    let listed = sources().profile("[cors]\norigins = [\"https://a.example\", \"http://localhost:3000\"]");
    assert_eq!(listed.load().unwrap().cors.origins, ["https://a.example", "http://localhost:3000"]);
    let mixed = sources().profile("[cors]\norigins = [\"https://a.example\", 3]").error();
    assert!(mixed.starts_with("cors.origins (config/production.toml): got an array or a date"), "{mixed}");
}
