//! Credentials of the ingest listener, through the real program.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use postlake_raw::segment;
use postlake_sparkpost::{Credential, Request, Sender};
use postlake_testkit::{Outcome, Place, Running, Server, http, until};

use crate::PROGRAM;
use crate::traffic::one_event;

/// A secret that is found wherever it turns up.
fn canary(name: &str) -> String {
    format!("canary-{name}-0123456789abcdef")
}

fn write_secrets(folder: &Path, names: &[&str]) {
    for name in names {
        let path = folder.join(format!("{name}.secret"));
        fs::write(&path, canary(name) + "\n").unwrap();
        set_mode(&path, 0o600);
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Every kind of credential.
const ALL: &str = r#"
[ingest.auth]
basic = [
    { username = "sparkpost", password_file = "basic.secret" },
    { username = "canary-nameless-0123456789", empty_password = true },
]
oauth2 = [{ client_id = "postlake", client_secret_file = "oauth.secret" }]
headers = [{ name = "X-Postlake-Key", value_file = "header.secret" }, { name = "X-Other", value_env = "THE_OTHER_KEY" }]
webhook_token_files = ["legacy.secret"]
alert_secret_files = ["alert.secret"]
token_lifetime = "1s"
"#;
const NAMES: [&str; 5] = ["basic", "oauth", "header", "legacy", "alert"];

fn place(config: &str) -> Place {
    let place = Place::local(PROGRAM);
    write_secrets(place.home(), &NAMES);
    configure(&place, config);
    place
}

fn configure(place: &Place, config: &str) {
    fs::write(place.home().join("postlake.toml"), config).unwrap();
}

fn serve_with(place: &Place, variables: &[(&str, &str)]) -> Server {
    let free = [
        "--ingest-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--role",
        "receive,load",
    ];
    let mut command = place.command_here(&["serve"]);
    command.args(free).env("THE_OTHER_KEY", canary("other"));
    command.envs(variables.iter().copied());
    Server::start(&mut command)
}

fn status(server: &Server, path: &str, headers: &[(&str, &str)], id: &str) -> u16 {
    http::exchange(server.ingest(), "POST", path, headers, &one_event(id))
        .unwrap()
        .status
}

fn trigger(place: &Place, server: &Server, arguments: &[&str]) -> Outcome {
    let url = format!("http://{}", server.ingest());
    Running::start(place.command(&["trigger", &url]).args(arguments)).wait()
}

/// A token as the endpoint gives it.
fn token(server: &Server) -> String {
    let secret = canary("oauth");
    let body = format!("grant_type=client_credentials&client_id=postlake&client_secret={secret}");
    let answer = http::exchange(
        server.ingest(),
        "POST",
        "/oauth/token",
        &[],
        body.as_bytes(),
    )
    .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    format!("Bearer {token}")
}

/// What the banner of a server with all of them says.
const BANNER: [&str; 8] = [
    "basic, user sparkpost, password in the file basic.secret",
    "basic, a secret user name, no password",
    "OAuth 2.0, client postlake, secret in the file oauth.secret",
    "header X-Postlake-Key, value in the file header.secret",
    "header X-Other, value in the variable THE_OTHER_KEY",
    "Token URL https://<your host>/oauth/token",
    "/webhooks/alerts/<the content of the file alert.secret>",
    " --auth basic --auth-name sparkpost --auth-file basic.secret",
];

#[test]
fn every_configured_credential_lets_webhooks_in_and_the_banner_says_how() {
    let place = place(ALL);
    let server = serve_with(&place, &[]);
    for path in [
        "/webhooks/events",
        "/webhooks/alerts",
        "/webhooks/alerts/",
        "/oauth/tokens",
    ] {
        let expected = if path.ends_with('s') && path.starts_with("/w") {
            401
        } else {
            404
        };
        assert_eq!(status(&server, path, &[], "none"), expected, "{path}");
    }
    let other = canary("other");
    assert_eq!(
        status(&server, "/webhooks/events", &[("x-other", &other)], "other"),
        200
    );
    for (kind, name, file) in [
        ("basic", "sparkpost", "basic.secret"),
        ("oauth2", "postlake", "oauth.secret"),
        ("header", "X-Postlake-Key", "header.secret"),
        ("token", "unused", "legacy.secret"),
    ] {
        let arguments = [
            "--auth",
            kind,
            "--auth-name",
            name,
            "--auth-file",
            file,
            "--count",
            "1",
        ];
        let outcome = trigger(&place, &server, &arguments).success();
        assert!(outcome.text().starts_with("200 {}"), "{}", outcome.text());
        // A right kind with another's secret.
        let wrong = [
            "--auth",
            kind,
            "--auth-name",
            name,
            "--auth-file",
            "alert.secret",
        ];
        assert_eq!(trigger(&place, &server, &wrong).code, Some(69), "{kind}");
    }
    let alerts = [
        "--alerts",
        "--auth",
        "alert-path",
        "--auth-file",
        "alert.secret",
    ];
    assert!(
        trigger(&place, &server, &alerts)
            .success()
            .text()
            .starts_with("200 {}")
    );
    let nobody = trigger(&place, &server, &["--alerts"]);
    assert_eq!(nobody.code, Some(69));
    assert!(
        nobody.stderr.contains("say so with --auth"),
        "{}",
        nobody.stderr
    );
    let said = server.stderr();
    for line in BANNER {
        assert!(said.contains(line), "{line} is missing in {said}");
    }
    assert!(!said.contains("warning"), "{said}");
    place.drain(server);
    assert_eq!(place.number("SELECT count(*) FROM events"), 5);
    assert_eq!(place.number("SELECT count(*) FROM alerts"), 11);
    assert_eq!(place.number("SELECT count(*) FROM quarantine"), 0);
}

#[test]
fn an_expired_token_is_401_and_the_batch_arrives_with_the_next_one() {
    let place = place(ALL);
    let server = serve_with(&place, &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = format!("http://{}", server.ingest());
    let sender = Sender::new(&url)
        .unwrap()
        .with_credential(&Credential::OAuth2 {
            token_url: format!("{url}/oauth/token"),
            client_id: "postlake".to_owned(),
            client_secret: canary("oauth"),
        })
        .unwrap();
    let post = |id: &str| {
        let mut request = Request::alerts_body(one_event(id).into());
        request.path = "/webhooks/events";
        runtime.block_on(sender.post(&request)).unwrap()
    };
    assert!(post("first").is_accepted());
    // This token is younger than the sender's: when it has expired, so has that one.
    let younger = token(&server);
    let expired = until("the token expires", || {
        let headers = [("authorization", younger.as_str())];
        let answer = http::exchange(server.ingest(), "POST", "/webhooks/events", &headers, b"[]");
        answer.ok().filter(|answer| answer.status == 401)
    });
    let challenge = expired.header("www-authenticate").unwrap();
    assert!(challenge.contains("the token has expired"), "{challenge}");
    assert!(post("second").is_accepted());
    place.drain(server);
    let ids = place.sorted_lines("SELECT event_id FROM events");
    assert_eq!(ids, [r#"{"event_id":"first"}"#, r#"{"event_id":"second"}"#]);
}

#[test]
fn tokens_stay_valid_over_a_restart_and_secrets_are_rotated_without_losing_a_batch() {
    let clients = |names: &[&str]| {
        let client = |name: &&str| {
            format!("{{ client_id = \"postlake\", client_secret_file = \"{name}.secret\" }}")
        };
        let clients: Vec<_> = names.iter().map(client).collect();
        format!("[ingest.auth]\noauth2 = [{}]\n", clients.join(", "))
    };
    let place = place(&clients(&["oauth"]));
    let server = serve_with(&place, &[]);
    let old = token(&server);
    let headers = [("authorization", old.as_str())];
    assert_eq!(status(&server, "/webhooks/events", &headers, "before"), 200);
    server.stop();
    // The new secret first: both are valid while the sender's form is changed.
    configure(&place, &clients(&["header", "oauth"]));
    let server = serve_with(&place, &[]);
    assert_eq!(status(&server, "/webhooks/events", &headers, "during"), 200);
    let arguments = [
        "--auth",
        "oauth2",
        "--auth-name",
        "postlake",
        "--count",
        "1",
        "--auth-file",
    ];
    for file in ["header.secret", "oauth.secret"] {
        trigger(&place, &server, &[&arguments[..], &[file]].concat()).success();
    }
    server.stop();
    configure(&place, &clients(&["header"]));
    let server = serve_with(&place, &[]);
    assert_eq!(status(&server, "/webhooks/events", &headers, "after"), 401);
    trigger(
        &place,
        &server,
        &[&arguments[..], &["header.secret"]].concat(),
    )
    .success();
    place.drain(server);
    assert_eq!(place.number("SELECT count(*) FROM events"), 5);
}

#[test]
fn right_credentials_go_through_while_many_wrong_ones_are_tried() {
    let place = place(ALL);
    let server = serve_with(&place, &[]);
    let done = AtomicBool::new(false);
    let (server_ref, done_ref) = (&server, &done);
    let guesses = thread::scope(|scope| {
        let guessers: Vec<_> = (0..16)
            .map(|guesser| {
                scope.spawn(move || {
                    let mut guesses = 0;
                    while !done_ref.load(Ordering::Relaxed) {
                        let guess = canary(&format!("guess-{guesser}-{guesses}"));
                        let headers = [("x-postlake-key", guess.as_str())];
                        assert_eq!(
                            status(server_ref, "/webhooks/events", &headers, "guess"),
                            401
                        );
                        guesses += 1;
                    }
                    guesses
                })
            })
            .collect();
        let key = canary("header");
        for number in 0..60 {
            let id = format!("right-{number}");
            let headers = [("x-postlake-key", key.as_str())];
            assert_eq!(status(server_ref, "/webhooks/events", &headers, &id), 200);
        }
        done.store(true, Ordering::Relaxed);
        let counts = guessers.into_iter().map(|guesser| guesser.join().unwrap());
        counts.sum::<i32>()
    });
    assert!(guesses >= 16, "{guesses}");
    place.drain(server);
    assert_eq!(place.number("SELECT count(*) FROM events"), 60);
}

/// Requests with right and wrong secrets everywhere.
fn post_secrets(server: &Server) {
    let wrong = canary("wrong");
    let basic = Credential::Basic {
        username: "canary-user".to_owned(),
        password: canary("basic"),
    };
    assert!(!format!("{basic:?}").contains("canary"));
    let right = token(server);
    let odd = format!("{wrong}?{wrong}");
    for (path, headers) in [
        ("/webhooks/events", vec![("authorization", right.as_str())]),
        (
            "/webhooks/events",
            vec![("authorization", "Bearer canary-token")],
        ),
        (
            "/webhooks/events",
            vec![("authorization", "Basic Y2FuYXJ5OmNhbmFyeQ==")],
        ),
        ("/webhooks/events", vec![("x-postlake-key", wrong.as_str())]),
        (
            "/webhooks/events",
            vec![("x-messagesystems-webhook-token", wrong.as_str())],
        ),
        (
            "/oauth/token",
            vec![("authorization", "Basic Y2FuYXJ5OmNhbmFyeQ==")],
        ),
        (&format!("/webhooks/alerts/{}", canary("alert")), vec![]),
        (&format!("/webhooks/alerts/{wrong}"), vec![]),
        (
            &format!("/webhooks/events/{odd}"),
            vec![("cookie", wrong.as_str())],
        ),
    ] {
        status(server, path, &headers, "event");
    }
}

/// What the commands say to which secrets are given.
fn say_secrets(place: &Place, server: &Server) -> String {
    let mut said = String::new();
    for arguments in [
        vec![
            "--alerts",
            "--auth",
            "alert-path",
            "--auth-file",
            "alert.secret",
        ],
        vec![
            "--auth",
            "oauth2",
            "--auth-name",
            "postlake",
            "--auth-file",
            "oauth.secret",
        ],
        vec![
            "--auth",
            "basic",
            "--auth-name",
            "sparkpost",
            "--auth-file",
            "legacy.secret",
        ],
        vec![
            "--auth",
            "header",
            "--auth-name",
            "not a name",
            "--auth-file",
            "legacy.secret",
        ],
    ] {
        let url = format!("http://{}", server.ingest());
        let mut command = place.command(&["trigger", &url, "--json"]);
        command.args(arguments).env("POSTLAKE_LOG", "trace");
        let outcome = Running::start(&mut command).wait();
        said.push_str(&outcome.text());
        said.push_str(&outcome.stderr);
    }
    let check = Running::start(
        place
            .command(&["check"])
            .env("THE_OTHER_KEY", canary("other")),
    );
    let check = check.wait();
    said.push_str(&(check.text() + &check.stderr));
    said
}

#[test]
fn no_secret_is_written_anywhere() {
    let place = place(ALL);
    let server = serve_with(&place, &[("POSTLAKE_LOG", "trace")]);
    post_secrets(&server);
    let mut said = say_secrets(&place, &server);
    let outcome = server.stop();
    said.push_str(&outcome.stderr);
    assert!(said.contains("TRACE"), "the log is not at trace level");
    for trace in ["canary", "Y2FuYXJ5", "postlake_token_"] {
        let line = said.lines().find(|line| line.contains(trace));
        assert_eq!(line, None, "{trace}");
    }
    for (name, bytes) in place.objects("") {
        let plain = match segment::decode(None, &bytes) {
            Ok(segment) => format!("{segment:?}"),
            Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
        };
        assert!(
            !plain.contains("canary") && !name.contains("canary"),
            "{name}"
        );
    }
}

#[test]
fn faults_of_credentials_are_told_all_at_once_and_without_a_secret() {
    let place = place("");
    let write = |name: &str, content: &str| fs::write(place.home().join(name), content).unwrap();
    write("short.secret", "canary\n");
    write("uniform.secret", &"ca".repeat(20));
    write("path.secret", "canary/0123456789abcdefghij");
    write("space.secret", " canary-0123456789abcdefghij");
    configure(
        &place,
        r#"
[ingest]
trusted_proxies = ["10.0.0.0/8", "10.0.0.0/99"]

[ingest.auth]
colour = "red"
basic = [
    { username = "a", password_file = "short.secret" },
    { username = "b:c", password_file = "basic.secret" },
    { username = "d", password = "canary" },
    { username = "e", empty_password = true },
    { username = "f", empty_password = true, password_file = "basic.secret" },
    { password_file = "basic.secret" },
]
oauth2 = [{ client_id = "g", client_secret_file = "absent.secret" }, "canary"]
headers = [{ name = "User-Agent", value_file = "header.secret" }, { name = "X-A", value_file = "space.secret", value_env = "B" }]
webhook_token_files = "canary"
webhook_token_envs = ["ABSENT_VARIABLE"]
alert_secret_credentials = ["../canary", "given.secret"]
alert_secret_files = ["path.secret", "uniform.secret"]
token_lifetime = "2 years"
allow_addresses = ["here"]
allow_unresolved = "perhaps"
"#,
    );
    let outcome = Running::start(&mut place.command_here(&["serve"])).wait();
    assert_eq!(outcome.code, Some(78));
    for fault in [
        "ingest.trusted_proxies.1: `10.0.0.0/99` is no network such as 10.0.0.0/8 and no address",
        "ingest.auth.colour: there is no such key",
        "ingest.auth.basic.0: the file short.secret has 6 bytes, a secret needs at least 22",
        "ingest.auth.basic.2.password: secrets are not written into the configuration",
        "ingest.auth.basic.4: has a password and says that it is empty",
        "ingest.auth.basic.5.username: is missing",
        "ingest.auth.oauth2.0: the file absent.secret cannot be read",
        "ingest.auth.oauth2.1: must be a table",
        "ingest.auth.headers.0: `User-Agent` has a meaning of its own",
        "ingest.auth.headers.1: needs one of value_file, value_env and value_credential",
        "ingest.auth.webhook_token_files: must be a list",
        "the variable ABSENT_VARIABLE is not set",
        "ingest.auth.alert_secret_files.2: a credential has the name that LoadCredential= gives it",
        "the credential given.secret cannot be read: CREDENTIALS_DIRECTORY is not set",
        "ingest.auth.alert_secret_files.0: the file path.secret has characters other than",
        "ingest.auth.alert_secret_files.1: the file uniform.secret has fewer than 8 different",
        "ingest.auth.token_lifetime: ",
        "ingest.auth.allow_addresses.0: `here` is no network",
        "ingest.auth.allow_unresolved: must be refuse or admit",
        "a user name is not empty and has no colon",
        "without a password the user name is the secret, and it has 1 bytes",
    ] {
        assert!(
            outcome.stderr.contains(fault),
            "{fault} is missing in {}",
            outcome.stderr
        );
    }
    assert!(!outcome.stderr.contains("canary"), "{}", outcome.stderr);
    // Who only reads needs no secret: the files may be out of its reach.
    configure(
        &place,
        "[ingest.auth]\nwebhook_token_files = [\"absent.secret\"]\n",
    );
    assert_eq!(place.load().code, Some(0));
}

#[test]
fn a_secret_that_others_can_read_is_told_with_the_remedy() {
    let place = place(ALL);
    set_mode(&place.home().join("legacy.secret"), 0o644);
    let server = serve_with(&place, &[]);
    let said = server.stderr();
    let warning =
        "warning: legacy.secret is open to every user of this machine: chmod o= legacy.secret";
    assert!(said.contains(warning), "{said}");
    assert_eq!(said.matches("warning").count(), 1);
    server.stop();
}

#[test]
fn the_process_that_answers_questions_gets_no_secret() {
    let place = place(ALL);
    let other = canary("other");
    let mut command = place.command_here(&["serve"]);
    for listener in ["--ingest-listen", "--read-listen", "--admin-listen"] {
        command.args([listener, "127.0.0.1:0"]);
    }
    let server = Server::start(command.env("THE_OTHER_KEY", &other));
    let environment = |id: u32| fs::read(format!("/proc/{id}/environ")).unwrap();
    let holds = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(&other);
    assert!(holds(&environment(server.id())), "it is looked for rightly");
    let [reader] = server.children()[..] else {
        panic!("one child reads: {:?}", server.children());
    };
    assert!(!holds(&environment(reader)));
    server.stop();
}

#[test]
fn what_init_writes_lets_sparkpost_in_and_nobody_else() {
    let place = Place::local(PROGRAM);
    let init = ["init", ".", "--auth", "basic,oauth2,header"];
    Running::start(&mut place.command(&init)).wait().success();
    let server = serve_with(&place, &[]);
    assert_eq!(status(&server, "/webhooks/events", &[], "nobody"), 401);
    for (kind, name, file) in [
        ("basic", "sparkpost", "basic.secret"),
        ("oauth2", "postlake", "oauth.secret"),
        ("header", "X-Postlake-Key", "header.secret"),
    ] {
        let arguments = ["--auth", kind, "--auth-name", name, "--auth-file", file];
        trigger(&place, &server, &arguments).success();
    }
    let alerts = [
        "--alerts",
        "--auth",
        "alert-path",
        "--auth-file",
        "alert.secret",
    ];
    trigger(&place, &server, &alerts).success();
    server.stop();
}

/// 192.0.2.1 belongs to no machine: what may be opened fails later, with another code.
#[test]
fn beyond_loopback_webhooks_need_credentials_and_a_way_on_which_nobody_reads_them() {
    let beyond = [
        "serve",
        "--role",
        "receive",
        "--ingest-listen",
        "192.0.2.1:8025",
    ];
    let place = place("");
    let run = |more: &[&str]| {
        let mut command = place.command_here(&beyond);
        command.args(more).env("THE_OTHER_KEY", canary("other"));
        Running::start(&mut command).wait()
    };
    let open = run(&[]);
    assert_eq!(open.code, Some(78));
    assert!(
        open.stderr.contains("anybody who reaches it can post"),
        "{}",
        open.stderr
    );
    assert_eq!(run(&["--dangerously-open-to-everyone"]).code, Some(69));
    configure(
        &place,
        "[ingest.auth]\nallow_addresses = [\"192.0.2.0/24\"]\n",
    );
    assert_eq!(run(&[]).code, Some(78), "addresses are no secret");
    configure(&place, ALL);
    let clear = run(&[]);
    assert_eq!(clear.code, Some(78));
    assert!(clear.stderr.contains("in the clear"), "{}", clear.stderr);
    configure(
        &place,
        &format!("[ingest]\ntrusted_proxies = [\"192.0.2.7\"]\n{ALL}"),
    );
    assert_eq!(run(&[]).code, Some(69));
    // What is read stays on this machine whatever protects the webhooks.
    let read = [
        "serve",
        "--role",
        "receive,read",
        "--read-listen",
        "192.0.2.1:8080",
    ];
    let outcome = Running::start(
        place
            .command_here(&read)
            .env("THE_OTHER_KEY", canary("other")),
    );
    assert_eq!(outcome.wait().code, Some(78));
}
