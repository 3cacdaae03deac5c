//! The rules of the source tree, checked on the source tree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// Each module, and the modules of the crate that it may name. A module without a row may name none.
const LAYERS: [(&str, &[&str]); 27] = [
    ("main", &["cli"]),
    (
        "cli",
        &[
            "address_file",
            "admin",
            "audit",
            "backoff",
            "bus",
            "client",
            "config",
            "db",
            "doctor",
            "email",
            "events",
            "files",
            "http",
            "ids",
            "images",
            "job_payloads",
            "jobs",
            "leaderboard",
            "lifecycle",
            "orders",
            "socketio",
            "telemetry",
            "thumbnail",
            "users",
            "warehouse",
        ],
    ),
    ("images", &["bus", "db", "events", "files", "http", "ids", "jobs", "job_payloads", "thumbnail", "users"]),
    ("socketio", &["http", "ids"]),
    ("leaderboard", &["bus", "db", "events", "http", "ids", "socketio"]),
    ("orders", &["bus", "config", "db", "events", "http", "ids", "jobs", "job_payloads"]),
    ("admin", &["db", "http", "ids", "job_payloads", "jobs"]),
    ("audit", &["bus", "db", "files", "ids", "jobs", "leaderboard", "job_payloads"]),
    ("doctor", &["bus", "config", "db", "files", "job_payloads", "jobs", "leaderboard"]),
    ("email", &["config", "db", "files", "ids", "jobs", "job_payloads", "users"]),
    ("warehouse", &["db", "files", "ids", "jobs", "job_payloads", "thumbnail"]),
    ("address_file", &[]),
    ("backoff", &[]),
    ("client", &["backoff"]),
    ("jobs", &["backoff", "db", "ids"]),
    ("files", &["ids"]),
    ("users", &["db", "http", "ids", "job_payloads", "jobs"]),
    ("http", &["ids", "lazy_span"]),
    ("http_errors", &["db", "http", "jobs"]),
    ("bus", &["events"]),
    ("db", &["ids"]),
    ("lifecycle", &["telemetry"]),
    ("telemetry", &["config", "lazy_span"]),
    ("lazy_span", &[]),
    ("events", &["ids"]),
    ("job_payloads", &["ids", "jobs"]),
    ("config", &["job_payloads", "thumbnail"]),
];

/// The modules of the crate in `src/thumbnail`; each may name only those before it, so there is no circle.
const THUMBNAIL: [&str; 17] = [
    "zigzag",
    "limits",
    "error",
    "orientation",
    "raster",
    "profile",
    "colour",
    "resize",
    "formats",
    "spec",
    "encode",
    "plan",
    "probe",
    "open",
    "message",
    "pipeline",
    "bench_hooks",
];

#[test]
fn every_module_imports_only_what_its_layer_allows() {
    for file in sources().into_iter().filter(|file| module(file) != "thumbnail") {
        let module = module(&file);
        let allowed = LAYERS.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, allowed)| allowed);
        for import in imports(&std::fs::read_to_string(&file).unwrap()) {
            let allowed = import == module || allowed.contains(&import.as_str());
            assert!(allowed, "{} imports crate::{import}, which {module} must not", file.display());
        }
    }
}

#[test]
fn imports_are_found_in_each_form() {
    let text = "use crate::db::{Database, now};\nuse crate::{bus::Bus, ids};\nlet x = crate::http::Problem::new();\n\
                use m3a3_thumbnail::Spec;";
    assert_eq!(imports(text), ["bus", "db", "http", "ids", "thumbnail"].map(str::to_owned).into());
}

#[test]
fn the_thumbnail_crate_needs_nothing_of_m3a3_and_its_modules_have_no_circle() {
    let folder = Path::new(SRC).join("thumbnail");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("path = \".."), "a dependency on a crate beside it");
    let place = |name: &str| THUMBNAIL.iter().position(|module| *module == name);
    let files = sources().into_iter().filter(|file| file.starts_with(&folder) && !file.ends_with("thumbnail/lib.rs"));
    let mut seen = BTreeSet::new();
    for file in files {
        let path = file.strip_prefix(&folder).unwrap().with_extension("");
        if path.to_str().unwrap().contains("test") {
            continue;
        }
        let names: Vec<_> = path.iter().map(|name| name.to_str().unwrap()).filter(|name| *name != "mod").collect();
        let this = place(names[0]).unwrap_or_else(|| panic!("{} is not in the table", file.display()));
        seen.insert(this);
        for import in imports(&absolute(&std::fs::read_to_string(&file).unwrap(), names.len())) {
            let allowed = place(&import).is_some_and(|other| other <= this);
            assert!(allowed, "{} imports crate::{import}, which {} must not", file.display(), names[0]);
        }
    }
    assert_eq!(seen.len(), THUMBNAIL.len(), "modules of the table without a file");
}

#[test]
fn relative_imports_are_made_absolute() {
    let text = "use super::super::error::Error;\nuse super::codec::Codec;\n/// [`x`](super::super::x)\n\
                #[cfg(test)]\nmod tests { use super::super::tests; }";
    assert_eq!(absolute(text, 2), "use crate::error::Error;\nuse super::codec::Codec;");
}

/// The code of a module at this depth, without inline tests and comments, with imports from the root by `crate::`.
fn absolute(text: &str, depth: usize) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    code.join("\n").replace(&"super::".repeat(depth), "crate::")
}

#[test]
fn channel_names_are_defined_in_events_only() {
    for file in sources().into_iter().filter(|file| module(file) != "events") {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for name in ["\"image_uploaded", "\"finished:", "\"order_placed", "\"leaderboard_update"] {
            assert!(!code.clone().any(|line| line.contains(name)), "{} spells {name}", file.display());
        }
    }
}

#[test]
fn only_the_bus_talks_to_redis_and_only_files_opens_files_of_clients() {
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        let module = module(&file);
        assert!(module == "bus" || !text.contains("fred::"), "{} uses fred", file.display());
        let opens = text.contains("File::open") || text.contains("openat");
        // The worker locks, the addresses of servers and the arguments of the command line are not files of clients.
        assert!(
            ["address_file", "files", "jobs", "cli"].contains(&module.as_str()) || !opens,
            "{} opens files",
            file.display()
        );
    }
}

#[test]
fn no_event_has_a_field_in_debug_format() {
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        for event in events(&text) {
            assert_eq!(debug_fields(event), [""; 0], "{}: {event}", file.display());
        }
    }
}

#[test]
fn fields_in_debug_format_are_found_in_each_form() {
    let text = "tracing::info!(?signal, took = ?self.took(), %id, n, \"why?\"); error_span!(\"job\", kind = ?kind)";
    let found: Vec<_> = events(text).into_iter().map(debug_fields).collect();
    assert_eq!(found, [vec!["?signal", "= ?self"], vec!["= ?kind"]]);
}

/// The arguments of each macro of tracing.
fn events(text: &str) -> Vec<&str> {
    let macros = ["trace", "debug", "info", "warn", "error"].iter().flat_map(|level| {
        let starts = [format!("tracing::{level}!("), format!("{level}_span!(")];
        starts
            .into_iter()
            .flat_map(|start| text.match_indices(&start).map(|(at, _)| at + start.len()).collect::<Vec<_>>())
    });
    let mut macros: Vec<_> = macros.collect();
    macros.sort_unstable();
    macros.into_iter().map(|at| arguments(&text[at..])).collect()
}

/// The text up to the parenthesis that closes it.
fn arguments(text: &str) -> &str {
    let mut depth = 1;
    let end = text.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    &text[..end.expect("a closing parenthesis")]
}

/// The fields that `?` formats with `Debug`, outside of texts.
fn debug_fields(event: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let code = event.split('"').step_by(2);
    for part in code.flat_map(|code| code.split(',')).map(str::trim) {
        let at = if part.starts_with('?') { Some(0) } else { part.find("= ?") };
        let end = |rest: &str| rest.find(|c: char| !(c.is_alphanumeric() || "_?= ".contains(c))).unwrap_or(rest.len());
        fields.extend(at.map(|at| &part[at..at + end(&part[at..])]));
    }
    fields
}

/// Every source file except the crate's root.
pub fn sources() -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(SRC)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("src/lib.rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 50, "the sources are found");
    files
}

/// The top-level module of a file.
pub fn module(file: &Path) -> String {
    let first = file.strip_prefix(SRC).unwrap().iter().next().unwrap();
    Path::new(first).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The top-level modules that a text uses by `crate::name` or `crate::{name, …}`, and the crate of thumbnails.
fn imports(text: &str) -> BTreeSet<String> {
    let mut imports = BTreeSet::new();
    if text.contains("m3a3_thumbnail::") {
        imports.insert("thumbnail".to_owned());
    }
    for (at, path) in text.match_indices("crate::") {
        let rest = &text[at + path.len()..];
        let names = match rest.strip_prefix('{') {
            None => vec![rest],
            Some(group) => group[..group.find("};").unwrap()].split(',').map(str::trim).collect(),
        };
        let names =
            names.into_iter().map(|name| name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap());
        imports.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    imports
}
