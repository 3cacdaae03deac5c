//! The container image and `config/compose.yaml`: their settings, commands and health checks.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::harness::binary::Workdir;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The part of one service.
fn service<'a>(compose: &'a str, name: &str) -> &'a str {
    let (_, part) = compose.split_once(&format!("\n  {name}:\n")).unwrap();
    // The next service, or the next section.
    let is_end = |at: usize| !part[at..].starts_with("\n   ") && !part[at..].starts_with("\n\n");
    let end = part.match_indices('\n').map(|(at, _)| at).find(|at| is_end(*at)).unwrap_or(part.len());
    &part[..end]
}

/// The lists in `[…]` after this key.
fn lists(compose: &str, key: &str) -> Vec<Vec<String>> {
    let lines = compose.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
    lines.filter(|list| list.starts_with('[')).map(|list| serde_json::from_str(list).unwrap()).collect()
}

#[test]
fn the_settings_of_the_containers_are_keys_and_reach_the_servers() {
    let compose = file("config/compose.yaml");
    let shown: Value =
        serde_json::from_str(&Workdir::new().run(&["config", "show", "--format", "json"]).stdout).unwrap();
    let variables: BTreeSet<_> = compose
        .match_indices("M3A3_")
        .map(|(at, _)| compose[at..].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap())
        .collect();
    assert!(variables.len() > 8, "{variables:?}");
    for variable in variables {
        let key = variable.strip_prefix("M3A3_").unwrap().to_lowercase();
        let (section, name) = key.split_once("__").unwrap();
        assert!(shown[section][name].is_object(), "{variable} is no key");
    }
    for (name, settings) in [
        ("serve", &["*server"][..]),
        ("game-server", &["*server", "M3A3_WEBHOOK__URL", "M3A3_WEBHOOK__SECRET", "M3A3_WEBHOOK__SIGNING_SECRET"]),
        ("email", &["M3A3_EMAIL__SMTP_URL", "M3A3_EMAIL__FROM"]),
    ] {
        for setting in settings {
            assert!(service(&compose, name).contains(setting), "{name} has no {setting}");
        }
    }
    let (_, server) = compose.split_once("x-server:").unwrap();
    let server = server.split("\n\n").next().unwrap();
    assert!(["M3A3_AUTH__TOKEN", "M3A3_AUTH__ADMIN_TOKEN"].iter().all(|setting| server.contains(setting)), "{server}");
}

#[test]
fn the_commands_and_health_checks_of_the_containers_are_valid() {
    let compose = file("config/compose.yaml");
    let mut commands = lists(&compose, "command");
    let checks =
        lists(&compose, "test").into_iter().filter(|check| check[1] == "m3a3").map(|check| check[2..].to_vec());
    commands.extend(checks);
    assert_eq!(commands.len(), 5 + 2);
    for command in commands {
        let arguments: Vec<_> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let ran = Workdir::new().run(&arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn one_image_with_ca_certificates_serves_all() {
    let (compose, image) = (file("config/compose.yaml"), file("config/Dockerfile"));
    let names: Vec<_> = compose.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    assert_eq!(names, ["m3a3", "redis:7"]);
    assert!(compose.contains("dockerfile: config/Dockerfile\n"));
    let (_, last_stage) = image.rsplit_once("\nFROM ").unwrap();
    assert!(last_stage.contains(" ca-certificates"), "{last_stage}");
    let ignored = file(".dockerignore");
    assert!(ignored.lines().any(|line| line == "*") && ignored.lines().any(|line| line == "**/.env"), "{ignored}");
}
