//! Error messages.

use super::*;

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
