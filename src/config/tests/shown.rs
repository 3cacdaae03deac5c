use super::*;

#[test]
fn secrets_are_hidden_everywhere() {
    const SECRETS: [(&str, &str); 6] = [
        ("M3A3_AUTH__TOKEN", "hunter2"),
        ("M3A3_AUTH__ADMIN_TOKEN", "hunter2"),
        ("M3A3_WEBHOOK__SECRET", "hunter2"),
        ("M3A3_WEBHOOK__SIGNING_SECRET", "whsec_hunter2A"),
        ("M3A3_EMAIL__SMTP_URL", "smtp://me:hunter2@h"),
        ("REDIS_PASSWORD", "hunter2"),
    ];
    let config = SECRETS.iter().fold(sources(), |sources, (name, value)| sources.env(name, value)).load().unwrap();
    let shown = format!("{config:?}\n{}\n{}", config.to_toml(), config.to_json());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(config.to_toml().contains("token = \"[set]\" # environment: M3A3_AUTH__TOKEN"), "{}", config.to_toml());
    assert!(config.to_toml().contains("url = \"redis://:***@127.0.0.1:6379\" # environment: REDIS_PASSWORD"));

    for (name, bad) in [
        ("M3A3_AUTH__TOKEN", "hunter2\u{e9}"),
        ("REDIS_URL", "hunter2@h"),
        ("M3A3_WEBHOOK__URL", "ftp://hunter2"),
        ("M3A3_EMAIL__SMTP_URL", "smtp://me:hunter2@h?tls=maybe"),
        ("M3A3_WEBHOOK__SIGNING_SECRET", "hunter2"),
    ] {
        let error = sources().env(name, bad).error();
        assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn the_shown_configuration_is_valid_toml() {
    let shown = sources().load().unwrap().to_toml();
    let table: toml::Table = toml::from_str(&shown).unwrap();
    assert_eq!(table["serve"]["port"].as_integer(), Some(3010));
    assert!(shown.starts_with("[serve]\nhost = \"127.0.0.1\" # default\n"), "{shown}");
}
