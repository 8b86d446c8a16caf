//! `init` and `doctor`: from nothing to a server that an operator can trust.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use postlake_testkit::{Outcome, Place, Running, Server};
use serde_json::Value;

use crate::PROGRAM;

fn run(place: &Place, arguments: &[&str]) -> Outcome {
    Running::start(&mut place.command(arguments)).wait()
}

/// The findings of `doctor --json` about one thing.
fn findings(report: &str, check: &str) -> Vec<Value> {
    let report: Value = serde_json::from_str(report).unwrap();
    let all = report["findings"].as_array().unwrap().iter();
    all.filter(|finding| finding["check"] == check)
        .cloned()
        .collect()
}

#[test]
fn init_writes_secrets_for_their_owner_alone_and_shows_none_of_them() {
    let place = Place::local(PROGRAM);
    let made = run(
        &place,
        &[
            "init",
            "new",
            "--auth",
            "basic,header",
            "--url",
            "https://hooks.example.com/",
        ],
    )
    .success();
    let home = place.home().join("new");
    for name in ["basic.secret", "header.secret", "alert.secret"] {
        let path = home.join(name);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
        let secret = fs::read_to_string(&path).unwrap();
        let secret = secret.trim_end();
        assert_eq!(secret.len(), 43, "{name}");
        assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(!made.text().contains(secret) && !made.stderr.contains(secret));
        assert!(
            made.text().contains(path.to_str().unwrap()),
            "{name} is named"
        );
    }
    assert!(!home.join("oauth.secret").exists());
    for value in [
        "https://hooks.example.com/webhooks/events",
        "https://hooks.example.com/webhooks/alerts/",
        "sparkpost",
        "X-Postlake-Key",
    ] {
        assert!(made.text().contains(value), "{value}: {}", made.text());
    }
}

#[test]
fn init_never_overwrites() {
    let place = Place::local(PROGRAM);
    fs::write(
        place.home().join("basic.secret"),
        "in use already, and long enough\n",
    )
    .unwrap();
    run(&place, &["init"]).success();
    let kept = fs::read_to_string(place.home().join("basic.secret")).unwrap();
    assert_eq!(kept, "in use already, and long enough\n");
    let config = fs::read_to_string(place.home().join("postlake.toml")).unwrap();
    let again = run(&place, &["init"]);
    assert_eq!(again.code, Some(73));
    assert!(again.stderr.contains("stays as it is"), "{}", again.stderr);
    let after = fs::read_to_string(place.home().join("postlake.toml")).unwrap();
    assert_eq!(config, after);
}

#[test]
fn what_init_writes_is_right_and_lets_in_who_shows_the_secret() {
    for auth in ["basic", "oauth2", "header"] {
        let place = Place::local(PROGRAM);
        let made = run(&place, &["init", "--auth", auth]).success().text();
        let checked = run(&place, &["check"]);
        assert_eq!(checked.code, Some(0), "{auth}: {}", checked.stderr);

        let mut command = place.command_here(&["serve", "--role", "receive"]);
        command.args(["--ingest-listen", "127.0.0.1:0"]);
        let server = Server::start(&mut command);
        let url = format!("http://{}", server.ingest());
        // The command that init says, to the port that this server has.
        let said = made.lines().find(|line| line.contains("postlake trigger"));
        let said: Vec<&str> = said.unwrap().split_whitespace().skip(1).collect();
        let [trigger, rest @ ..] = &said[..] else {
            panic!("{said:?}")
        };
        let arguments = [&[*trigger, url.as_str()], rest].concat();
        run(&place, &arguments).success();
        let without = run(&place, &["trigger", &url]);
        assert_eq!(without.code, Some(69));
        assert!(without.text().contains("401"), "{}", without.text());
        server.stop();
    }
}

/// The secrets are where systemd would put them, and the configuration names no folder.
#[test]
fn what_init_writes_for_systemd_takes_its_secrets_from_there() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd/postlake.service");
    let unit = fs::read_to_string(unit).unwrap();
    for auth in ["basic", "oauth2", "header"] {
        let place = Place::local(PROGRAM);
        let made = run(&place, &["init", "etc", "--systemd", "--auth", auth]);
        let etc = place.home().join("etc");
        let lines = made.success().text();
        let lines = lines
            .lines()
            .filter_map(|line| line.trim().strip_prefix("LoadCredential="));
        let given = place.home().join("given");
        fs::create_dir(&given).unwrap();
        let mut secret = None;
        for line in lines {
            let (name, original) = line.split_once(':').unwrap();
            fs::rename(original, given.join(name)).unwrap();
            let line = format!("LoadCredential={name}:/etc/postlake/{name}");
            assert!(unit.contains(&line), "{line}");
            secret = secret.or_else(|| Some(given.join(name)));
        }
        let command = |words: &[&str]| {
            let mut command = place.command(words);
            command.args(["--data", place.url(), "--config"]);
            command.arg(etc.join("postlake.toml"));
            command
        };
        let given_to = |words: &[&str]| {
            let mut command = command(words);
            command.env("CREDENTIALS_DIRECTORY", &given);
            command
        };
        let checked = Running::start(&mut command(&["check"])).wait();
        assert_eq!(checked.code, Some(78), "{}", checked.stderr);
        assert!(checked.stderr.contains("CREDENTIALS_DIRECTORY is not set"));
        Running::start(&mut given_to(&["check"])).wait().success();
        let doctor = Running::start(&mut given_to(&["doctor", "--json"])).wait();
        let files = findings(&doctor.text(), "secret file");
        assert!(files.len() == 2 && files.iter().all(|file| file["level"] == "ok"));

        let receive = ["serve", "--role", "receive", "--ingest-listen=127.0.0.1:0"];
        let server = Server::start(&mut given_to(&receive));
        let url = format!("http://{}", server.ingest());
        let (kind, name) = match auth {
            "basic" => ("basic", "sparkpost"),
            "oauth2" => ("oauth2", "postlake"),
            _ => ("header", "X-Postlake-Key"),
        };
        let who = ["trigger", &url, "--auth", kind, "--auth-name", name];
        let secret = secret.unwrap();
        let file = ["--auth-file", secret.to_str().unwrap()];
        run(&place, &[&who[..], &file].concat()).success();
        assert_eq!(run(&place, &["trigger", &url]).code, Some(69));
        server.stop();
    }
}

#[test]
fn doctor_measures_the_disk_and_the_store_and_finds_who_holds_a_port() {
    let place = Place::local(PROGRAM);
    let server = place.serve(&[]);
    let held = server.ingest().to_string();
    let mut command = place.command_here(&["doctor", "--json"]);
    command.env("POSTLAKE_INGEST__LISTEN", &held);
    command.env("POSTLAKE_READ__LISTEN", "127.0.0.1:0");
    let outcome = Running::start(&mut command).wait();
    let report = outcome.text();
    let [speed] = &findings(&report, "disk speed")[..] else {
        panic!("{report}")
    };
    assert!(
        speed["found"].as_str().unwrap().contains("64 KiB synced"),
        "{speed}"
    );
    let port = &findings(&report, "port")[0];
    assert_eq!(port["level"], "ok", "{port}");
    assert!(
        port["found"]
            .as_str()
            .unwrap()
            .contains("a running postlake"),
        "{port}"
    );
    let store = findings(&report, "store");
    assert_eq!(store.len(), 3, "{report}");
    assert!(
        store.iter().all(|finding| finding["level"] == "ok"),
        "{store:?}"
    );
    // What doctor wrote is gone.
    let left: Vec<_> = fs::read_dir(place.directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("doctor") || name.contains("probe"))
        .collect();
    assert_eq!(left, [""; 0]);
    server.stop();
}

#[test]
fn doctor_tells_a_foreign_holder_of_a_port_and_an_open_listener() {
    let place = Place::local(PROGRAM);
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = place.command_here(&["doctor", "--json"]);
    command.env(
        "POSTLAKE_INGEST__LISTEN",
        other.local_addr().unwrap().to_string(),
    );
    let outcome = Running::start(&mut command).wait();
    assert_eq!(outcome.code, Some(69), "{}", outcome.text());
    let port = &findings(&outcome.text(), "port")[0];
    assert_eq!(port["level"], "fail", "{port}");
    assert!(!port["advice"].as_str().unwrap().is_empty());

    let mut command = place.command_here(&["doctor", "--json"]);
    command.env("POSTLAKE_ADMIN__LISTEN", "0.0.0.0:0");
    let outcome = Running::start(&mut command).wait();
    assert_eq!(outcome.code, Some(78));
    assert_eq!(findings(&outcome.text(), "exposure")[0]["level"], "fail");

    let mut command = place.command_here(&["doctor"]);
    command.env("POSTLAKE_INGEST__MAX_BODY_BYTES", "many");
    let outcome = Running::start(&mut command).wait();
    assert_eq!(outcome.code, Some(78));
    assert!(
        outcome.text().contains("fail  configuration"),
        "{}",
        outcome.text()
    );
}
