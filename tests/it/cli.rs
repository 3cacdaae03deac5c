//! The command line: help, exit codes, configuration, completions.

use std::process::Stdio;

use crate::harness::binary::{Ran, Workdir};

/// A pipe that nobody reads any more.
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
fn a_bad_configuration_exits_with_2_and_one_line_whatever_the_command() {
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
fn config_show_tells_what_is_in_force_and_where_it_came_from() {
    let workdir = Workdir::new();
    workdir.write("config/production.toml", "serve.port = 1\nserve.workers = 2\nlog.level = \"warn\"\n");
    workdir.write(".env", "M3A3_ENV=production\nM3A3_SERVE__PORT=3\nREDIS_PASSWORD=hunter2\nSOMEBODY_ELSE=x\n");
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
fn what_config_show_prints_is_a_configuration() {
    let workdir = Workdir::new();
    let shown = workdir.run(&["config", "show"]).stdout;
    workdir.write("config/again.toml", &shown);
    let ran = Ran::of(workdir.command(&["config", "show"]).env("M3A3_ENV", "again"));
    let values = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
    assert_eq!(values(&ran.stdout), values(&shown));
}

#[test]
fn completions_are_there_for_every_shell_and_need_no_configuration() {
    let workdir = Workdir::new();
    for (shell, sign) in [("bash", "_m3a3()"), ("zsh", "#compdef m3a3"), ("fish", "complete -c m3a3")] {
        let ran = Ran::of(workdir.command(&["completions", shell]).env("M3A3_SERVE__PROT", "1"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stdout.contains(sign), "{shell}");
        assert!(ran.stdout.contains("max-delay-s"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let workdir = Workdir::new();
    for args in [&["completions", "bash"][..], &["config", "show"], &["--help"], &["--version"]] {
        let ran = Ran::of(workdir.command(args).stdout(closed_pipe()));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_log_that_nobody_reads_changes_nothing() {
    let workdir = Workdir::new();
    let args = ["status", "1", "--wait", "--attempts", "1", "--url", "http://127.0.0.1:1", "--log-level", "trace"];
    let ran = Ran::of(workdir.command(&args).stderr(closed_pipe()));
    assert_eq!(ran.code, Some(1));
}

#[test]
fn logs_are_json_when_asked_for() {
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
fn help_begins_with_what_it_is_and_ends_with_examples() {
    insta::assert_snapshot!(Workdir::new().run(&["--help"]).stdout, @r#"
    Pictures in, thumbnails out, leaderboards live: one binary that does the jobs and loses none

    Usage: m3a3 [OPTIONS] <COMMAND>

    Commands:
      up           Run everything in this process: API server, game server, every worker, and Redis if
                   there is none
      serve        Accept pictures, answer polls, serve thumbnails
      game-server  Take scores and orders, push the leaderboard to everyone who watches
      worker       Run background jobs
      upload       Upload pictures of a user
      status       Ask what became of a user's picture
      client       Watch the leaderboard live
      jobs         See what became of jobs, and see to those that did not end well
      leaderboard  Refill the board in Redis, remove a player
      warehouse    What the warehouse holds
      doctor       Look at everything that m3a3 stands on, and say what to do about what is wrong
      audit        Compare rows, files, jobs and the board, and list what is missing
      config       Show the configuration
      migrate      Bring the database's schema up to date
      completions  Print completions for a shell
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Configuration:
          --database-url <PATH>  The SQLite file [database.url]
          --redis-url <URL>      Where Redis is [redis.url]
          --log-level <FILTER>   What is logged: error, warn, info, debug, trace, off, also per module
                                 [log.level]
          --log-format <FORMAT>  "text" or "json" [log.format]
          --set <KEY=VALUE>      Any other key, such as serve.port=8080; may be given several times

    Examples:
      m3a3 up                                   everything in one process, nothing to install
      m3a3 serve                                the API server alone
      m3a3 game-server                          the leaderboard and orders alone
      m3a3 worker thumbnail                     a worker alone; start as many as you like
      m3a3 worker all                           every worker in one process
      m3a3 upload photo.jpg --user 1 --wait     upload a picture, print where its thumbnail is
      m3a3 status 1                             what became of user 1's picture
      m3a3 client                               the leaderboard, live
      m3a3 jobs list --state dead               what was given up, and why
      m3a3 leaderboard refill                   send every score to Redis again
      m3a3 warehouse report                     what the warehouse holds
      m3a3 doctor                               is everything well, and what to do if not
      m3a3 audit                                list missing rows, files and scores
      m3a3 config show                          every setting, and where it came from
      m3a3 completions bash > m3a3.bash         completions for a shell

    Settings come from config/{M3A3_ENV}.toml, .env, the environment (M3A3_SERVE__PORT=8080 sets
    serve.port) and flags; the later wins. Exit codes: 0 fine, 1 failed, 2 usage or configuration.
    "#);
}
