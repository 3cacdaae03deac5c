//! The documentation: every configuration key, command, route and metric is documented, and every internal link
//! resolves.
//!
//! What must be documented is read from the product. Each check is a function of a document's text, so that each test
//! also shows that its check fails once something is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use m3a3::cli::Cli;
use serde_json::{Value, json};

use crate::architecture::{module, sources};
use crate::harness::app::{App, eventually};
use crate::harness::binary::{Ran, Workdir};
use crate::harness::pictures::jpeg;
use crate::tls::TlsApp;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MAX_README_LINES: usize = 200;

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The rows of all tables whose first cell is code, by that code.
fn rows(document: &str) -> BTreeMap<&str, &str> {
    let rows = document.lines().filter_map(|line| Some((line.strip_prefix("| `")?.split_once("` |")?.0, line)));
    rows.collect()
}

/// The document without the row of that name.
fn without_row(document: &str, name: &str) -> String {
    let prefix = format!("| `{name}` |");
    let lines = document.lines().filter(|line| !line.starts_with(&prefix));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Every key of the configuration with its default, as `m3a3 config show` prints them.
fn keys(shown: &Value) -> BTreeMap<String, Value> {
    let sections = shown.as_object().unwrap().iter();
    let keys = sections.flat_map(|(section, keys)| {
        let keys = keys.as_object().unwrap().iter();
        keys.map(move |(key, setting)| (format!("{section}.{key}"), setting["value"].clone()))
    });
    keys.collect()
}

/// The variable that sets a key, by the rule that docs/configuration.md states.
fn variable(key: &str) -> String {
    format!("M3A3_{}", key.to_uppercase().replace('.', "__"))
}

/// A value as it is written in a file or an environment variable; empty when it is unset.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The keys that have no row with their default and their variable.
fn undocumented_keys(document: &str, keys: &BTreeMap<String, Value>) -> Vec<String> {
    let rows = rows(document);
    let is_documented = |key: &str, value: &Value| {
        let default = match written(value).as_str() {
            "" => "unset".to_owned(),
            default => format!("`{default}`"),
        };
        let cells = format!("| `{key}` | {default} | `{}` |", variable(key));
        rows.get(key).is_some_and(|row| row.starts_with(&cells))
    };
    keys.iter().filter(|(key, value)| !is_documented(key, value)).map(|(key, _)| key.clone()).collect()
}

#[test]
fn every_configuration_key_is_documented_with_its_default_and_its_variable() {
    let workdir = Workdir::new();
    let show = ["config", "show", "--format", "json"];
    let keys = keys(&serde_json::from_str(&workdir.run(&show).stdout).unwrap());
    let document = document("docs/configuration.md");
    assert_eq!(undocumented_keys(&document, &keys), [""; 0]);
    for key in keys.keys() {
        assert_eq!(undocumented_keys(&without_row(&document, key), &keys), [key.as_str()]);
    }
    let is_key = |name: &&&str| name.contains('.') && name.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c));
    for name in rows(&document).keys().filter(is_key) {
        assert!(keys.contains_key(*name), "docs/configuration.md documents {name}, which is not a key");
    }

    // Each variable really sets its key.
    let set: BTreeMap<_, _> = keys.iter().filter(|(_, value)| !written(value).is_empty()).collect();
    let variables = set.iter().map(|(key, value)| (variable(key), written(value)));
    let ran = Ran::of(workdir.command(&show).envs(variables));
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
    for key in set.keys() {
        let (section, name) = key.split_once('.').unwrap();
        assert_eq!(shown[section][name]["origin"], format!("environment: {}", variable(key)), "{key}");
    }
}

/// Every command that can be run, with its own flags.
fn commands(command: &clap::Command, path: &str) -> BTreeMap<String, Vec<String>> {
    let path = format!("{path}{}", command.get_name());
    let subcommands: Vec<_> = command.get_subcommands().collect();
    if subcommands.is_empty() {
        let flags = command.get_arguments().filter_map(|argument| argument.get_long());
        let flags = flags.filter(|flag| !["help", "version"].contains(flag)).map(|flag| format!("--{flag}"));
        return BTreeMap::from([(path, flags.collect())]);
    }
    subcommands.into_iter().flat_map(|subcommand| commands(subcommand, &format!("{path} "))).collect()
}

/// The commands that have no row with all their flags.
fn undocumented_commands(document: &str, commands: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let rows = rows(document);
    let is_documented = |name: &str, flags: &[String]| {
        rows.get(name).is_some_and(|row| flags.iter().all(|flag| row.contains(&format!("`{flag}`"))))
    };
    commands.iter().filter(|(name, flags)| !is_documented(name, flags)).map(|(name, _)| name.clone()).collect()
}

#[test]
fn every_command_is_documented_with_its_flags() {
    let commands = commands(&Cli::command(), "");
    let document = document("docs/operating.md");
    assert_eq!(undocumented_commands(&document, &commands), [""; 0]);
    for (name, flags) in &commands {
        assert_eq!(undocumented_commands(&without_row(&document, name), &commands), [name.as_str()]);
        for flag in flags {
            let row = rows(&document)[name.as_str()];
            let renamed = document.replace(row, &row.replace(&format!("`{flag}`"), "`--other`"));
            assert_eq!(undocumented_commands(&renamed, &commands), [name.as_str()], "{flag}");
        }
    }
    for name in rows(&document).into_keys().filter(|name| name.starts_with("m3a3 ")) {
        let is_left_out = name == "m3a3 client" && !cfg!(feature = "client");
        assert!(
            commands.contains_key(name) || is_left_out,
            "docs/operating.md documents `{name}`, which is not a command"
        );
    }
}

/// One level-3 section of docs/api.md whose heading begins with code.
struct Section<'a> {
    /// The level-2 heading above it.
    part: &'a str,
    code: &'a str,
    body: &'a str,
}

fn sections(document: &str) -> Vec<Section<'_>> {
    let mut sections = Vec::new();
    for part in document.split("\n## ").skip(1) {
        let heading = part.lines().next().unwrap();
        for section in part.split("\n### ").skip(1) {
            let code = section.strip_prefix('`').and_then(|section| section.split_once('`'));
            sections.extend(code.map(|(code, body)| Section { part: heading, code, body }));
        }
    }
    sections
}

/// Every operation of a server as in `POST /enqueue`, with the errors that it may answer.
async fn operations(app: &App, url: &str) -> BTreeMap<String, BTreeSet<String>> {
    let (_, description) = app.get(url, "/openapi.json").await;
    let mut operations = BTreeMap::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let statuses = operation["responses"].as_object().unwrap().keys().cloned();
            let errors = statuses.filter(|status| status.starts_with(['4', '5'])).collect();
            operations.insert(format!("{} {path}", method.to_uppercase()), errors);
        }
    }
    operations
}

/// The operations that have no section with an example and all their errors, in the part of their server or of both.
fn undocumented_routes(document: &str, part: &str, operations: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let sections = sections(document);
    let is_documented = |name: &str, errors: &BTreeSet<String>| {
        sections.iter().any(|Section { part: own, code, body }| {
            (*own == part || *own == "Both servers")
                && *code == name
                && body.contains("\ncurl ")
                && errors.iter().all(|status| body.contains(&format!("`{status}`")))
        })
    };
    operations.iter().filter(|(name, errors)| !is_documented(name, errors)).map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn every_route_is_documented_with_an_example_and_its_errors() {
    let app = App::new(&[]).await;
    let document = document("docs/api.md");
    let mut all = BTreeSet::new();
    for (part, process) in [("API server", app.serve()), ("Game server", app.game_server())] {
        let operations = operations(&app, process.url()).await;
        assert_eq!(undocumented_routes(&document, part, &operations), [""; 0], "{part}");
        for (name, errors) in &operations {
            let missing = |text: &str| undocumented_routes(text, part, &operations);
            let heading = format!("\n### `{name}`");
            assert_eq!(missing(&document.replace(&heading, "\n### `GET /elsewhere`")), [name.as_str()]);
            // `GET /` is a route of either server, and the section of the other one is not part of this check.
            let bodies = sections(&document).into_iter().filter(|section| section.code == name).map(|own| own.body);
            for body in bodies {
                let edited = |from: &str, to: &str| document.replace(body, &body.replace(from, to));
                let is_own = missing(&edited("\ncurl ", "\nwget ")) == [name.as_str()];
                assert!(is_own || name == "GET /", "the example of {name}");
                for status in errors.iter().filter(|_| is_own) {
                    assert_eq!(missing(&edited(&format!("`{status}`"), "`999`")), [name.as_str()], "{status}");
                }
            }
        }
        all.extend(operations.into_keys());
    }
    for Section { code, .. } in sections(&document) {
        assert!(all.contains(code), "docs/api.md documents {code}, which is not a route");
    }
}

/// The metrics of a scrape by the names of their samples, without a histogram's suffixes, each with its labels.
fn metrics(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut metrics = BTreeMap::new();
    for (name, kind) in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        let samples = text.lines().filter_map(|line| line.strip_prefix(&name)?.split_once('{')?.1.split_once('}'));
        let labels = samples.flat_map(|(labels, _)| labels.split("\",")).filter_map(|label| label.split_once('='));
        let labels = labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le").collect();
        metrics.insert(name, labels);
    }
    metrics
}

/// The metrics that have no row with all their labels.
fn undocumented_metrics(document: &str, metrics: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let rows = rows(document);
    let is_documented = |name: &str, labels: &BTreeSet<String>| {
        rows.get(name).is_some_and(|row| labels.iter().all(|label| row.contains(&format!("`{label}`"))))
    };
    metrics.iter().filter(|(name, labels)| !is_documented(name, labels)).map(|(name, _)| name.clone()).collect()
}

#[tokio::test]
async fn every_metric_is_documented_with_its_labels() {
    let app = App::new(&[]).await;
    let document = document("docs/operating.md");
    let processes = [app.serve(), app.game_server()];
    app.until(processes[1].url(), "ready").await;
    // A server with a certificate has one more.
    let tls = TlsApp::new(&[]).await;
    let (secure, http) = (tls.app.game_server(), tls.client());
    app.upload(processes[0].url(), 1, &jpeg(1)).await;
    app.post(processes[1].url(), "/seed", &json!({})).await;
    let rows = rows(&document);
    let documented: BTreeSet<_> =
        rows.into_keys().filter(|name| name.starts_with("m3a3_") || name.starts_with("process_")).collect();
    // Some appear only once there is something to count.
    let metrics = eventually("every documented metric is there", || async {
        let mut all = BTreeMap::new();
        for process in &processes {
            let response = app.http.get(format!("{}/metrics", process.url())).send().await.unwrap();
            all.extend(metrics(&response.text().await.unwrap()));
        }
        let response = http.get(format!("{}/metrics", secure.url())).send().await.unwrap();
        all.extend(metrics(&response.text().await.unwrap()));
        documented.iter().all(|name| all.contains_key(*name)).then_some(all)
    })
    .await;
    assert_eq!(undocumented_metrics(&document, &metrics), [""; 0]);
    for (name, labels) in &metrics {
        assert_eq!(undocumented_metrics(&without_row(&document, name), &metrics), [name.as_str()]);
        for label in labels {
            let row = self::rows(&document)[name.as_str()];
            let renamed = document.replace(row, &row.replace(&format!("`{label}`"), "`other`"));
            assert_eq!(undocumented_metrics(&renamed, &metrics), [name.as_str()], "{label}");
        }
    }
}

/// The lines of a document that are not code, without their code spans' content.
fn prose(document: &str) -> Vec<String> {
    let mut is_code = false;
    let lines = document.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.map(|line| line.split('`').step_by(2).collect()).collect()
}

fn links(document: &str) -> Vec<String> {
    let text = prose(document).join("\n");
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// The anchors that GitHub makes of a document's headings.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut is_code = false;
    for line in document.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !is_code) else { continue };
        let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        let anchor: String = heading.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
        let repeats = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(repeats).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

/// The links of a document in `folder` that lead to no file, folder or heading.
fn broken_links(folder: &Path, text: &str) -> Vec<String> {
    let is_broken = |link: &String| {
        let (path, anchor) = link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
        let target = folder.join(path);
        let headings = if path.is_empty() { Some(text.to_owned()) } else { std::fs::read_to_string(&target).ok() };
        let is_anchor = |anchor: &str| headings.as_deref().is_some_and(|text| anchors(text).contains(anchor));
        !target.exists() || !anchor.is_none_or(is_anchor)
    };
    let internal = links(text).into_iter().filter(|link| !link.contains("://"));
    internal.filter(is_broken).collect()
}

fn documents() -> Vec<PathBuf> {
    let in_folder = |folder: &Path| -> Vec<PathBuf> {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
    };
    let root = Path::new(ROOT);
    [in_folder(root), in_folder(&root.join("docs"))].concat()
}

#[test]
fn every_internal_link_resolves() {
    let documents = documents();
    assert!(documents.len() >= 10, "{documents:?}");
    for path in documents {
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(broken_links(path.parent().unwrap(), &text), [""; 0], "{}", path.display());
    }
}

#[test]
fn broken_links_are_found() {
    let text = "# Some `code` & words\n## Twice\n## Twice\n[a](#some-code--words) [b](#twice-1) [c](api.md#errors)\n\
                [d](../Cargo.toml) [`e`](../src/) [f](https://example.org/#x) `[not](a-link)`\n\
                ```text\n# no heading\n[not](a-link)\n```\n";
    let folder = Path::new(ROOT).join("docs");
    assert_eq!(broken_links(&folder, text), [""; 0]);
    for link in ["#no-heading", "#twice-2", "api.md#nowhere", "../src/nowhere.rs", "nowhere.md", "../src/#a", "/src"] {
        assert_eq!(broken_links(&folder, &format!("{text}[x]({link})")), [link]);
    }
}

/// The modules that the map of docs/architecture.md has no link to.
fn modules_off_the_map(document: &str) -> Vec<String> {
    let links: BTreeSet<_> = links(document).into_iter().collect();
    let modules: BTreeSet<_> = sources().iter().map(|file| module(file)).collect();
    let is_linked = |module: &String| {
        [format!("../src/{module}/"), format!("../src/{module}.rs")].iter().any(|link| links.contains(link))
    };
    modules.into_iter().filter(|module| !is_linked(module)).collect()
}

#[test]
fn every_module_is_on_the_map_of_the_architecture() {
    let document = document("docs/architecture.md");
    assert_eq!(modules_off_the_map(&document), [""; 0]);
    assert_eq!(modules_off_the_map(&document.replace("(../src/jobs/)", "(../src/)")), ["jobs"]);
}

/// The tests that a document names: code of several words with underscores.
fn named_tests(document: &str) -> BTreeSet<&str> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let code = document.split('`').skip(1).step_by(2);
    code.filter(|code| code.matches('_').count() > 2 && code.chars().all(is_word)).collect()
}

#[test]
fn every_test_that_the_recipes_name_exists() {
    let document = document("CONTRIBUTING.md");
    let tests = std::fs::read_dir(Path::new(ROOT).join("tests/it")).unwrap().map(|entry| entry.unwrap().path());
    let files = tests.chain(sources()).filter(|path| path.is_file());
    let code: String = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let missing = |document: &str| -> Vec<String> {
        let names = named_tests(document).into_iter().map(str::to_owned);
        names.filter(|name| !code.contains(&format!("fn {name}("))).collect()
    };
    assert!(named_tests(&document).len() >= 4, "each recipe names a test");
    assert_eq!(missing(&document), [""; 0]);
    assert_eq!(missing("`a_test_that_is_no_test`"), ["a_test_that_is_no_test"]);
}

#[test]
fn the_readme_stays_short() {
    assert!(document("README.md").lines().count() <= MAX_README_LINES);
}
