//! The command line: help, exit codes, configuration, completions.

use std::process::Stdio;

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
      doctor       Check configuration, database, Redis, disk and queues
      audit        List missing rows, files and scores
      config       Show the configuration
      migrate      Update the database schema
      completions  Generate shell completions
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Configuration:
          --database-url <PATH>  SQLite file [database.url]
          --redis-url <URL>      URL of Redis [redis.url]
          --log-level <FILTER>   Log level: error, warn, info, debug, trace or off, also per module
                                 [log.level]
          --log-format <FORMAT>  Log format: text or json [log.format]
          --set <KEY=VALUE>      Set any key, such as serve.port=8080; can be repeated

    Examples:
      m3a3 up                                   run everything in one process
      m3a3 serve                                run the API server
      m3a3 game-server                          run the leaderboard and orders
      m3a3 worker thumbnail                     run one worker; start as many as needed
      m3a3 worker all                           run every worker in one process
      m3a3 upload photo.jpg --user 1 --wait     upload an image, print its thumbnail's URL
      m3a3 status 1                             print the thumbnail status of user 1
      m3a3 client                               watch the leaderboard
      m3a3 jobs list --state dead               list dead jobs and their errors
      m3a3 leaderboard refill                   send every score to Redis again
      m3a3 warehouse report                     print totals of the warehouse
      m3a3 doctor                               find problems and how to fix them
      m3a3 audit                                list missing rows, files and scores
      m3a3 config show                          print every setting and its origin
      m3a3 completions bash > m3a3.bash         generate shell completions

    Settings are read from config/{M3A3_ENV}.toml, .env, the environment (M3A3_SERVE__PORT=8080 sets
    serve.port) and flags; later ones override earlier ones.
    Exit codes: 0 success, 1 failure, 2 usage or configuration error.
    "#);
}
