//! The systemd units of config/: what an accepted image relies on when its worker crashes.

use std::path::Path;
use std::process::Command;

const WORKERS: [&str; 2] = ["m3a3-thumbnail@.service", "m3a3-worker@.service"];
const SERVERS: [&str; 2] = ["m3a3-serve.service", "m3a3-game-server.service"];

fn unit(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)).unwrap()
}

/// The settings of one section.
fn section<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    let lines = unit.lines().skip_while(|line| *line != name).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn no_number_of_crashes_ends_a_unit_and_a_wrong_configuration_does() {
    for name in WORKERS.into_iter().chain(SERVERS) {
        let unit = unit(name);
        assert!(section(&unit, "[Unit]").contains(&"StartLimitIntervalSec=0"), "{name}");
        for wanted in ["Restart=always", "RestartSec=1", "RestartPreventExitStatus=2", "UMask=0077"] {
            assert!(section(&unit, "[Service]").contains(&wanted), "{name}: {wanted}");
        }
    }
}

#[test]
fn an_image_that_takes_too_much_memory_ends_its_worker_alone() {
    for name in WORKERS {
        let unit = unit(name);
        assert!(section(&unit, "[Service]").iter().any(|line| line.starts_with("MemoryMax=")), "{name}");
    }
}

/// The restrictions of one unit: all settings from its umask on.
fn restrictions(unit: &str) -> Vec<&str> {
    section(unit, "[Service]").into_iter().skip_while(|line| !line.starts_with("UMask=")).collect()
}

#[test]
fn the_units_differ_in_the_restrictions_that_their_comments_explain_alone() {
    let serve = unit("m3a3-serve.service");
    let common = restrictions(&serve);
    for wanted in ["CapabilityBoundingSet=", "NoNewPrivileges=true", "ProtectSystem=strict", "NoExecPaths=/"] {
        assert!(common.contains(&wanted), "{wanted}");
    }
    for (name, own) in [
        ("m3a3-game-server.service", &["RestrictSUIDSGID=true"][..]),
        ("m3a3-thumbnail@.service", &["IPAddressDeny=any", "IPAddressAllow=localhost"]),
        ("m3a3-worker@.service", &[]),
    ] {
        let unit = unit(name);
        assert_eq!(restrictions(&unit), [&common[..], own].concat(), "{name}");
    }
}

#[test]
fn a_unit_has_only_the_secrets_that_it_uses() {
    // Name of the unit, and the secrets that it keeps.
    let kept = [
        ("m3a3-serve.service", &["AUTH__TOKEN", "AUTH__ADMIN_TOKEN", "AUTH__JWT__SECRET"][..]),
        (
            "m3a3-game-server.service",
            &[
                "AUTH__TOKEN",
                "AUTH__ADMIN_TOKEN",
                "AUTH__JWT__SECRET",
                "WEBHOOK__URL",
                "WEBHOOK__SECRET",
                "WEBHOOK__SIGNING_SECRET",
            ],
        ),
        ("m3a3-thumbnail@.service", &[]),
        ("m3a3-worker@.service", &["EMAIL__SMTP_URL"]),
    ];
    let mut all: Vec<&str> = kept.iter().flat_map(|(_, secrets)| secrets.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    for (name, kept) in kept {
        let unit = unit(name);
        let lines = section(&unit, "[Service]");
        let unset = lines.iter().filter_map(|line| line.strip_prefix("UnsetEnvironment="));
        let unset: Vec<&str> = unset.flat_map(str::split_whitespace).collect();
        for secret in &all {
            assert_ne!(unset.contains(&format!("M3A3_{secret}").as_str()), kept.contains(secret), "{name}: {secret}");
        }
    }
}

#[test]
fn the_servers_can_be_told_to_reload_their_certificate() {
    for name in SERVERS {
        assert!(section(&unit(name), "[Service]").contains(&"ExecReload=+/bin/kill -HUP $MAINPID"), "{name}");
    }
}

#[test]
fn systemd_knows_every_setting_of_the_units() {
    // Where systemd is not installed, its own CI runs are what checks them.
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in WORKERS.into_iter().chain(SERVERS) {
        let path = folder.path().join(name.replace('@', "@1"));
        std::fs::write(&path, unit(name).replace("/usr/local/bin/m3a3", "/bin/true")).unwrap();
        let verified = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
        let output = String::from_utf8_lossy(&verified.stderr);
        assert!(!output.contains("Unknown") && !output.contains("Failed to parse"), "{name}: {output}");
    }
}
