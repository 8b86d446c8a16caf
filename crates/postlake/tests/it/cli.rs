//! The words of the command line: help, mistakes and exit codes.

use std::fs;

use postlake_testkit::{Outcome, Place, Running, Server};

use crate::PROGRAM;
use crate::traffic::one_event;

/// What a command says, with everything that differs from run to run taken out.
#[track_caller]
fn check(name: &str, place: &Place, outcome: &Outcome) {
    let code = outcome
        .code
        .map_or("none".to_owned(), |code| code.to_string());
    let said = format!(
        "exit code: {code}\n----- stdout\n{}----- stderr\n{}",
        outcome.text(),
        outcome.stderr
    );
    let home = regex_escaped(place.home().to_str().unwrap());
    let filters = [
        (home.as_str(), "[HOME]"),
        (env!("CARGO_PKG_VERSION"), "[VERSION]"),
        (r"127\.0\.0\.1:\d{5}", "127.0.0.1:[PORT]"),
        (r"the process \d+", "the process [ID]"),
    ];
    insta::with_settings!({ filters => filters, omit_expression => true, prepend_module_to_snapshot => false, snapshot_path => "snapshots" }, {
        insta::assert_snapshot!(name, said);
    });
}

fn regex_escaped(text: &str) -> String {
    text.replace('.', r"\.")
}

fn run(place: &Place, arguments: &[&str]) -> Outcome {
    Running::start(&mut place.command(arguments)).wait()
}

const COMMANDS: [&str; 21] = [
    "serve",
    "demo",
    "trigger",
    "load",
    "import",
    "dynamodb",
    "lambda",
    "query",
    "scores",
    "convert",
    "verify",
    "quarantine",
    "replay",
    "backfill",
    "repair",
    "init",
    "check",
    "doctor",
    "top",
    "completions",
    "man",
];

#[test]
fn help_of_every_command() {
    let place = Place::local(PROGRAM);
    check("help", &place, &run(&place, &["--help"]));
    for command in COMMANDS {
        check(
            &format!("help-{command}"),
            &place,
            &run(&place, &[command, "--help"]),
        );
    }
    let version = run(&place, &["--version"]).success().text();
    assert_eq!(version, format!("postlake {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn mistakes_in_the_arguments_end_with_2() {
    let place = Place::local(PROGRAM);
    let cases: [(&str, &[&str]); 10] = [
        ("no-command", &[]),
        ("unknown-command", &["sreve"]),
        ("unknown-flag", &["serve", "--ingest-lisen", "127.0.0.1:1"]),
        ("not-an-address", &["serve", "--ingest-listen", "here"]),
        ("unknown-role", &["serve", "--role", "reed"]),
        ("not-a-time", &["demo", "--for", "soon"]),
        ("unknown-event-type", &["trigger", "--type", "bouncy"]),
        ("unknown-format", &["query", "SELECT 1", "-o", "xml"]),
        ("no-file", &["convert", "--to", "csv"]),
        (
            "alerts-of-a-type",
            &["trigger", "--alerts", "--type", "bounce"],
        ),
    ];
    for (name, arguments) in cases {
        let outcome = run(&place, arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}");
        check(&format!("usage-{name}"), &place, &outcome);
    }
}

#[test]
fn faults_of_the_configuration_are_told_all_at_once_and_end_with_78() {
    let place = Place::local(PROGRAM);
    let file = place.home().join("postlake.toml");
    fs::write(
        &file,
        "[ingest]\nlisten = \"here\"\ncolour = \"red\"\nmax_body_bytes = \"many\"\n\n[load]\ninterval = \"2 weeks\"\n\n\
         [weather]\nsunny = true\n\n[[sinks]]\nname = \"a\"\ntype = \"csv\"\n\n[[sinks]]\nname = \"a\"\ntype = \"csv\"\n",
    )
    .unwrap();
    let faults = run(&place, &["serve"]);
    assert_eq!(faults.code, Some(78));
    check("config-faults", &place, &faults);

    let absent = run(&place, &["serve", "--config", "absent.toml"]);
    assert_eq!(absent.code, Some(78));
    check("config-absent", &place, &absent);

    fs::write(&file, "").unwrap();
    let open = run(&place, &["serve", "--ingest-listen", "0.0.0.0:0"]);
    assert_eq!(open.code, Some(78));
    check("config-open-listener", &place, &open);

    let mut unknown = place.command(&["load"]);
    unknown.env("POSTLAKE_STORE__ULR", "elsewhere");
    let unknown = Running::start(&mut unknown).wait();
    assert_eq!(unknown.code, Some(78));
    check("config-unknown-variable", &place, &unknown);
}

#[test]
fn check_says_what_is_in_force_and_where_it_comes_from() {
    let place = Place::local(PROGRAM);
    fs::write(
        place.home().join("postlake.toml"),
        "[ingest]\nmax_body_bytes = 1048576\n\n[load]\ninterval = \"5s\"\n",
    )
    .unwrap();
    let mut command = place.command(&["check", "--data", "lake-here"]);
    command.env_remove("POSTLAKE_ADMIN__LISTEN");
    command.env("POSTLAKE_READ__LISTEN", "127.0.0.1:9090");
    command.env("POSTLAKE_INGEST_LISTEN", "127.0.0.1:9091");
    let right = Running::start(&mut command).wait().success();
    check("check-right", &place, &right);

    let mut command = place.command(&["check"]);
    command.env("POSTLAKE_ADMIN__LISTEN", "0.0.0.0:8026");
    let exposed = Running::start(&mut command).wait();
    assert_eq!(exposed.code, Some(78));
    check("check-exposed", &place, &exposed);

    let json = run(&place, &["check", "--json"]).success().text();
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["ok"], true);
    let mut values = report["values"].as_array().unwrap().iter();
    let load = values
        .find(|value| value["key"] == "load.interval")
        .unwrap();
    assert_eq!(load["from"], "postlake.toml");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let place = Place::local(PROGRAM);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&place, &["completions", shell]).success().text();
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    let page = run(&place, &["man"]).success().text();
    assert!(page.contains(".TH postlake 1"), "{page}");
    run(&place, &["man", "--dir", "pages"]).success();
    for command in COMMANDS {
        let page = place.home().join(format!("pages/postlake-{command}.1"));
        assert!(fs::read_to_string(page).unwrap().contains(command));
    }
}

#[test]
fn exit_codes_tell_what_kind_of_failure_it_was() {
    let place = Place::local(PROGRAM);
    let no_lake = place.run(&["query", "SELECT 1"]);
    assert_eq!(no_lake.code, Some(69));
    check("exit-no-lake", &place, &no_lake);
    assert_eq!(place.run(&["scores"]).code, Some(69));

    let server = place.serve(&[]);
    server.accepts_body("/webhooks/events", &one_event("exit"));
    let second = place.run(&[
        "serve",
        "--ingest-listen",
        "127.0.0.1:0",
        "--read-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(second.code, Some(73));
    assert!(
        second
            .stderr
            .contains(&format!("the process {}", server.id())),
        "{}",
        second.stderr
    );
    check("exit-directory-in-use", &place, &second);

    let taken = Place::local(PROGRAM);
    let address = server.ingest().to_string();
    let port = taken.run(&[
        "serve",
        "--ingest-listen",
        &address,
        "--read-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(port.code, Some(69));
    check("exit-port-in-use", &taken, &port);
    place.drain(server);

    for (name, sql) in [
        ("exit-no-such-column", "SELECT typ FROM events"),
        ("exit-no-such-table", "SELECT * FROM event"),
        ("exit-bad-syntax", "SELEC 1"),
        ("exit-not-a-question", "DROP TABLE events"),
        (
            "exit-fails-as-it-runs",
            "SELECT CAST(event_id AS INT) FROM events",
        ),
    ] {
        let outcome = place.run(&["query", sql]);
        assert_eq!(outcome.code, Some(65), "{sql}: {}", outcome.stderr);
        check(name, &place, &outcome);
    }

    let nobody = run(&place, &["trigger", &format!("http://{address}")]);
    assert_eq!(nobody.code, Some(69));
    check("exit-nobody-listens", &place, &nobody);
}

#[test]
fn answers_of_query_in_every_format() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&["--role", "receive,load"]);
    server.accepts_body("/webhooks/events", &one_event("formats"));
    place.drain(server);
    let sql = "SELECT type, event_id, event_at, subaccount_id, reason, geo_ip_latitude, open_tracking, campaign_id FROM events";
    for format in ["table", "csv", "json", "ndjson"] {
        let outcome = place.run(&["query", sql, "-o", format]).success();
        check(&format!("query-{format}"), &place, &outcome);
    }
    let parquet = place.run(&["query", sql, "-o", "parquet"]).success().stdout;
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    // For a pipe csv is the default.
    let piped = place.run(&["query", sql]).success();
    assert_eq!(piped.stdout, place.run(&["query", sql, "-o", "csv"]).stdout);

    let mut command = place.command_here(&["query", "-", "-o", "csv"]);
    let asked =
        Running::start_with_input(&mut command, b"SELECT count(*) AS n FROM events".to_vec());
    assert_eq!(asked.wait().success().text(), "n\n1\n");
    let scores = place.run(&["scores"]).success();
    check("scores-none", &place, &scores);
}

#[test]
fn a_server_that_is_asked_to_end_loads_everything_first() {
    let place = Place::local(PROGRAM);
    let mut command = place.command_here(&[
        "serve",
        "--role",
        "receive,load",
        "--ingest-listen",
        "127.0.0.1:0",
    ]);
    // Without the request to end nothing would be loaded within this test.
    let server = Server::start(command.env("POSTLAKE_LOAD__INTERVAL", "1h"));
    for number in 0..5 {
        server.accepts_body("/webhooks/events", &one_event(&format!("drain-{number}")));
    }
    let outcome = server.stop();
    check("serve-drained", &place, &outcome);
    assert_eq!(place.number("SELECT count(*) FROM events"), 5);
}

#[test]
fn a_demo_that_ends_by_itself_ends_with_0_and_balanced_books() {
    let place = Place::local(PROGRAM);
    let free = [
        "--ingest-listen",
        "127.0.0.1:0",
        "--read-listen",
        "127.0.0.1:0",
    ];
    let mut command = place.command(&["demo", "--for", "5s", "--seed", "7"]);
    let outcome = Running::start(command.args(free)).wait().success();
    let said = outcome.text();
    assert!(said.contains("the books balance"), "{said}");
    assert!(!said.contains("DIFFERS"), "{said}");
    let folder = outcome
        .stderr
        .lines()
        .find_map(|line| line.trim().strip_prefix("data"))
        .unwrap();
    assert!(
        !fs::exists(folder.trim()).unwrap(),
        "the temporary directory stays behind"
    );
}
