//! The command line: help, exit codes, configuration, completions.

use std::process::Stdio;

use clap::CommandFactory;
use m3a3::cli::Cli;

use crate::harness::binary::{Ran, Workdir};

/// A pipe whose reader is closed.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn usage_errors_exit_with_2() {
    let workdir = Workdir::new();
    for args in [
        &["nonsense"][..],
        &["--nonsense"],
        &[],
        &["status"],
        &["status", "0"],
        &["status", "1", "--attempts", "3"],
        &["status", "1", "--wait", "--attempts", "0"],
        &["status", "1", "--url", "localhost:3010"],
        &["upload", "--user", "1"],
        &["upload", "x.jpg"],
        &["config"],
        &["config", "show", "--set", "serve.port"],
        &["completions", "tcsh"],
    ] {
        let ran = workdir.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn an_invalid_configuration_exits_every_command_with_2_and_one_line() {
    let workdir = Workdir::new();
    for command in [&["config", "show"][..], &["status", "1"], &["upload", "x.jpg", "--user", "1"]] {
        let ran = Ran::of(workdir.command(command).env("M3A3_SERVE__PROT", "1"));
        let expected = "m3a3: environment sets the unknown key M3A3_SERVE__PROT; \
                        did you mean M3A3_SERVE__PORT?\n";
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), expected));
    }
    let ran = workdir.run(&["config", "show", "--log-level", "m3a3=loud"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.starts_with("m3a3: log.level (--log-level): got \"m3a3=loud\", expected "), "{}", ran.stderr);
}

#[test]
fn config_show_prints_effective_values_and_their_origins() {
    let workdir = Workdir::new();
    workdir.write("config/production.toml", "serve.port = 1\nserve.workers = 2\nlog.level = \"warn\"\n");
    workdir.write(".env", "M3A3_ENV=production\nM3A3_SERVE__PORT=3\nREDIS_PASSWORD=hunter2\nOTHER_PROGRAM=x\n");
    let mut command = workdir.command(&["config", "show", "--log-level", "debug", "--set", "images.root=pictures"]);
    let ran = Ran::of(command.env("M3A3_SERVE__PORT", "4").env("M3A3_AUTH__TOKEN", "hunter2").env("M3A3_TEST_X", "y"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    for line in [
        "port = 4 # environment: M3A3_SERVE__PORT",
        "workers = 2 # config/production.toml",
        "url = \"redis://:***@127.0.0.1:6379\" # .env: REDIS_PASSWORD",
        "root = \"pictures\" # --set",
        "token = \"[set]\" # environment: M3A3_AUTH__TOKEN",
        "level = \"debug\" # --log-level",
        "max_attempts = 5 # default",
    ] {
        assert!(ran.stdout.lines().any(|shown| shown == line), "{line}\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("hunter2"));

    let ran = workdir.run(&["config", "show", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["serve"]["port"], serde_json::json!({ "value": 3, "origin": ".env: M3A3_SERVE__PORT" }));
}

#[test]
fn the_output_of_config_show_is_a_valid_configuration() {
    let workdir = Workdir::new();
    let shown = workdir.run(&["config", "show"]).stdout;
    workdir.write("config/again.toml", &shown);
    let ran = Ran::of(workdir.command(&["config", "show"]).env("M3A3_ENV", "again"));
    let values = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
    assert_eq!(values(&ran.stdout), values(&shown));
}

#[test]
fn completions_exist_for_every_shell_and_need_no_configuration() {
    let workdir = Workdir::new();
    for (shell, marker) in [("bash", "_m3a3()"), ("zsh", "#compdef m3a3"), ("fish", "complete -c m3a3")] {
        let ran = Ran::of(workdir.command(&["completions", shell]).env("M3A3_SERVE__PROT", "1"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stdout.contains(marker), "{shell}");
        assert!(ran.stdout.contains("max-delay-s"), "{shell}");
    }
}

#[test]
fn a_closed_stdout_is_no_error() {
    let workdir = Workdir::new();
    for args in [&["completions", "bash"][..], &["config", "show"], &["--help"], &["--version"]] {
        let ran = Ran::of(workdir.command(args).stdout(closed_pipe()));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_closed_stderr_changes_nothing() {
    let workdir = Workdir::new();
    let args = ["status", "1", "--wait", "--attempts", "1", "--url", "http://127.0.0.1:1", "--log-level", "trace"];
    let ran = Ran::of(workdir.command(&args).stderr(closed_pipe()));
    assert_eq!(ran.code, Some(1));
}

#[test]
fn logs_are_json_when_configured() {
    let workdir = Workdir::new();
    let args = ["status", "1", "--wait", "--attempts", "1", "--url", "http://127.0.0.1:1", "--log-level", "m3a3=debug"];
    let ran = Ran::of(workdir.command(&args).args(["--log-format", "json"]));
    let (log, complaint) = ran.stderr.split_once('\n').unwrap();
    let event: serde_json::Value = serde_json::from_str(log).unwrap();
    assert_eq!(event["level"], "DEBUG");
    assert!(complaint.starts_with("m3a3: no answer from http://127.0.0.1:1"), "{complaint}");
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(Workdir::new().run(&["--version"]).stdout, format!("m3a3 {}\n", env!("CARGO_PKG_VERSION")));
}

/// Every command with a help of its own, by its arguments.
fn command_paths(command: &clap::Command, path: &[String]) -> Vec<Vec<String>> {
    let below = command
        .get_subcommands()
        .flat_map(|below| command_paths(below, &[path, &[below.get_name().to_owned()]].concat()));
    [path.to_vec()].into_iter().chain(below).collect()
}

/// The lines of a paragraph that end although the first word of the next line fits.
fn broken_too_early(help: &str, width: usize) -> Vec<String> {
    let lines: Vec<_> = help.lines().collect();
    let is_text = |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
    let early = lines.windows(2).filter(|pair| {
        let word = pair[1].split(' ').next().unwrap();
        is_text(pair[0])
            && is_text(pair[1])
            && !pair[1].starts_with("Exit codes:")
            && pair[0].len() + 1 + word.len() <= width
    });
    early.map(|pair| pair.join("\n")).collect()
}

#[test]
fn help_is_wrapped_once_at_every_width() {
    let twice = "The API server has the same under\n/admin/jobs. More\n";
    assert_eq!(broken_too_early(twice, 80).len(), 1);
    assert_eq!(broken_too_early(twice, 40).len(), 0);

    let workdir = Workdir::new();
    for path in command_paths(&Cli::command(), &[]) {
        for columns in [60, 80, 120, 200] {
            let width = columns.min(100);
            let mut command = workdir.command(&[]);
            let ran = Ran::of(command.args(&path).arg("--help").env("COLUMNS", columns.to_string()));
            assert_eq!(ran.code, Some(0), "{path:?}");
            let examples = ran.stdout.rfind("\n\nExamples:").unwrap_or(ran.stdout.len());
            assert_eq!(broken_too_early(&ran.stdout[examples..], width), [""; 0], "{path:?} at {columns}");
            for line in ran.stdout.lines() {
                assert!(line.chars().count() <= width, "{path:?} at {columns}: {line}");
            }
            // A comment is beside its example or below it, never in part.
            let below = ran.stdout[examples..].lines().filter(|line| line.starts_with("      ")).count();
            let beside = ran.stdout[examples..].lines().filter(|line| line.trim().contains("   ")).count();
            assert!(below == 0 || beside == 0, "{path:?} at {columns}: {}", ran.stdout);
        }
    }
}

/// The completions that bash offers for the last word.
fn completions(workdir: &Workdir, words: &[&str]) -> Vec<String> {
    let script = workdir.run(&["completions", "bash"]).stdout;
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let last = words.len() - 1;
    let ask = format!(
        "{script}\nCOMP_WORDS=({})\nCOMP_CWORD={last}\n_m3a3 m3a3 {} {}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words[last],
        words[last - 1],
    );
    let mut bash = std::process::Command::new("bash");
    let ran = Ran::of(bash.args(["--norc", "-c", &ask]).env_clear().current_dir(workdir.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stdout.lines().filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_the_values_of_arguments() {
    let workdir = Workdir::new();
    workdir.write("one photo.jpg", "");
    workdir.write("other.db", "");
    for (words, expected) in [
        (&["m3a3", "jobs", "list", "--state", ""][..], &["queued", "running", "done", "dead", "cancelled"][..]),
        (&["m3a3", "jobs", "retry", "--state", ""], &["dead", "cancelled"]),
        (&["m3a3", "jobs", "list", "--kind", "w"], &["webhook", "warehouse"]),
        (&["m3a3", "jobs", "list", "--format", ""], &["table", "json"]),
        (&["m3a3", "serve", "--log-level", ""], &["error", "warn", "info", "debug", "trace", "off"]),
        (&["m3a3", "--log-format", "j"], &["json"]),
        (&["m3a3", "worker", "t"], &["thumbnail"]),
        (&["m3a3", "healthcheck", "g"], &["game"]),
        (&["m3a3", "completions", "f"], &["fish"]),
        (&["m3a3", "upload", ""], &["one photo.jpg", "other.db"]),
        (&["m3a3", "upload", "--user", "1", "one"], &["one photo.jpg"]),
        (&["m3a3", "upload", "x.jpg", "--wa"], &["--wait"]),
        (&["m3a3", "doctor", "--database-url", "ot"], &["other.db"]),
    ] {
        let mut completed = completions(&workdir, words);
        let mut expected: Vec<_> = expected.iter().map(|word| (*word).to_owned()).collect();
        completed.sort();
        expected.sort();
        assert_eq!(completed, expected, "{words:?}");
    }
}

#[cfg(feature = "client")]
#[test]
fn help_starts_with_a_summary_and_ends_with_examples() {
    insta::assert_snapshot!(Workdir::new().run(&["--help"]).stdout, @r#"
    Image uploads, thumbnails, leaderboards and orders, with durable background jobs

    Usage: m3a3 [OPTIONS] <COMMAND>

    Commands:
      up           Run everything in one process: API server, game server, all workers, Redis if none is
                   configured
      serve        Run the API server: uploads, statuses, thumbnails
      game-server  Run the game server: scores, live leaderboard, orders
      worker       Run background jobs
      upload       Upload images of a user
      status       Print the thumbnail status of a user
      client       Watch the leaderboard live
      jobs         Inspect and manage jobs
      leaderboard  Refill the leaderboard in Redis, remove players
      warehouse    Report on the warehouse
      healthcheck  Check whether a server is ready
      doctor       Check configuration, database, Redis, disk and queues
      audit        List missing rows, files and scores
      config       Show the configuration
      token        Generate tokens
      migrate      Update the database schema
      completions  Generate shell completions
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Configuration:
          --database-url <PATH>  SQLite file [database.url]
          --redis-url <URL>      URL of Redis [redis.url]
          --log-level <FILTER>   Log level, also per module, such as info,m3a3::jobs=debug [log.level]
                                 [possible values: error, warn, info, debug, trace, off]
          --log-format <FORMAT>  Log format [log.format] [possible values: text, json]
          --set <KEY=VALUE>      Set any key, such as serve.port=8080; can be repeated

    Examples:
      m3a3 up                                 run everything in one process
      m3a3 serve                              run the API server
      m3a3 game-server                        run the leaderboard and orders
      m3a3 worker thumbnail                   run one worker; start as many as needed
      m3a3 worker all                         run every worker in one process
      m3a3 upload photo.jpg --user 1 --wait   upload an image, print its thumbnail's URL
      m3a3 status 1                           print the thumbnail status of user 1
      m3a3 client                             watch the leaderboard
      m3a3 jobs list --state dead             list dead jobs and their errors
      m3a3 leaderboard refill                 send every score to Redis again
      m3a3 warehouse report                   print totals of the warehouse
      m3a3 healthcheck                        exit with 0 if the API server is ready
      m3a3 doctor                             find problems and how to fix them
      m3a3 audit                              list missing rows, files and scores
      m3a3 config show                        print every setting and its origin
      m3a3 token generate                     print a random token for auth.token
      m3a3 token mint --user 7                print a token of user 7
      m3a3 completions bash > m3a3.bash       generate shell completions

    Settings are read from config/{M3A3_ENV}.toml, .env, the environment (M3A3_SERVE__PORT=8080 sets
    serve.port) and flags; later ones override earlier ones.
    Exit codes: 0 success, 1 failure, 2 usage or configuration error.
    "#);
}
