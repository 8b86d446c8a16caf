//! The functions of AWS Lambda: the real program under a runtime of ours, on a store that fails on
//! command.

mod defects;
mod emulator;
mod template;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use postlake_testkit::faulty_s3::{Faults, FaultyS3};
use postlake_testkit::lambda::{Function, Invoked};
use postlake_testkit::{Place, faulty_s3};
use serde_json::{Value, json};

use crate::{PROGRAM, RECEIVE_PROGRAM, fixtures};

/// What a template gives a function; the sender waits no longer either.
const TIME: Duration = Duration::from_secs(10);
/// The role `load` keeps a reserve of ten seconds.
const LOAD_TIME: Duration = Duration::from_secs(60);

const SECRET: &str = "a-secret-that-is-long-enough-for-a-path";
const PASSWORD: &str = "a-password-that-is-long-enough";

fn function(place: &Place, role: &str) -> Command {
    function_of(PROGRAM, place, role)
}

fn function_of(program: &str, place: &Place, role: &str) -> Command {
    let mut command = place.command_of(program, &[]);
    command
        .env("POSTLAKE_ROLE", role)
        .env("POSTLAKE_STORE__URL", place.url())
        .env("A_PASSWORD", PASSWORD)
        .env("A_SECRET", SECRET);
    command
}

/// Credentials of both webhooks, in the file that lies beside the program.
fn place_with_credentials(s3: &FaultyS3) -> Place {
    let place = Place::on_faulty_s3(PROGRAM, s3);
    let settings = "[ingest.auth]\n\
        basic = [{ username = \"sparkpost\", password_env = \"A_PASSWORD\" }]\n\
        alert_secret_envs = [\"A_SECRET\"]\n";
    std::fs::write(place.home().join("postlake.toml"), settings).unwrap();
    place
}

/// The program of the package that receives.
fn receiver(place: &Place) -> Function {
    Function::start(&mut function_of(RECEIVE_PROGRAM, place, "receive"))
}

fn loader(place: &Place) -> Function {
    Function::start(&mut function(place, "load"))
}

/// A request as a load balancer hands it over.
fn request(method: &str, path: &str, headers: &Value, body: &str) -> Value {
    let mut all =
        json!({ "x-forwarded-for": "54.188.124.157", "content-type": "application/json" });
    for (name, value) in headers.as_object().unwrap() {
        all[name] = value.clone();
    }
    json!({
        "requestContext": { "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:..." } },
        "httpMethod": method,
        "path": path,
        "queryStringParameters": {},
        "headers": all,
        "body": body,
        "isBase64Encoded": false,
    })
}

/// `sparkpost` and its password.
fn authorization() -> Value {
    use base64::Engine as _;
    let both = format!("sparkpost:{PASSWORD}");
    let both = base64::engine::general_purpose::STANDARD.encode(both);
    json!({ "authorization": format!("Basic {both}") })
}

fn events(body: &str) -> Value {
    request("POST", "/webhooks/events", &authorization(), body)
}

fn alerts(body: &str) -> Value {
    let path = format!("/webhooks/alerts/{SECRET}");
    request("POST", &path, &json!({}), body)
}

#[track_caller]
fn status(function: &Function, event: &Value) -> u64 {
    let answer = function.invoke(event, TIME).answer();
    answer["statusCode"].as_u64().unwrap()
}

/// The bodies in the raw store.
fn landed(s3: &FaultyS3) -> BTreeSet<String> {
    let objects = s3.objects();
    let segments = objects
        .iter()
        .filter(|(name, _)| name.ends_with(".seg.zst"));
    segments
        .flat_map(|(_, bytes)| postlake_raw::segment::decode(None, bytes).unwrap().batches)
        .map(|batch| String::from_utf8(batch.body.to_vec()).unwrap())
        .collect()
}

/// What the bucket tells the queue, and the queue the function: a message for each segment.
fn notices(s3: &FaultyS3) -> Value {
    let objects = s3.objects();
    let segments = objects.keys().filter(|name| name.ends_with(".seg.zst"));
    let messages: Vec<_> = segments
        .enumerate()
        .map(|(index, key)| {
            let record = json!({
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": { "bucket": { "name": faulty_s3::BUCKET }, "object": { "key": key } },
            });
            json!({
                "messageId": format!("m{index}"),
                "eventSource": "aws:sqs",
                "body": json!({ "Records": [record] }).to_string(),
            })
        })
        .collect();
    assert!(!messages.is_empty());
    json!({ "Records": messages })
}

fn text(name: &str) -> String {
    String::from_utf8(fixtures::read(name)).unwrap()
}

/// The small program and `postlake` under the role are the same function.
#[test]
fn the_receive_function_answers_as_the_server_does() {
    for program in [RECEIVE_PROGRAM, PROGRAM] {
        answers_as_the_server_does(program);
    }
}

fn answers_as_the_server_does(program: &str) {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let function = Function::start(&mut function_of(program, &place, "receive"));
    let none = json!({});
    let cases = [
        (request("GET", "/livez", &none, ""), 200),
        (request("GET", "/readyz", &none, ""), 200),
        (request("POST", "/webhooks/events", &none, "[]"), 401),
        (request("POST", "/webhooks/alerts/wrong", &none, "[]"), 404),
        (request("POST", "/elsewhere", &authorization(), "[]"), 404),
        (
            request("GET", "/webhooks/events", &authorization(), ""),
            405,
        ),
        (events("[{\"msys\":{}}]"), 200),
        (events("no json at all \u{0}"), 200),
        (alerts(&text("alerts-shape-a.json")), 200),
    ];
    for (event, expected) in &cases {
        assert_eq!(status(&function, event), *expected, "{event}");
    }
    let refused = function.invoke(&cases[2].0, TIME).answer();
    let challenge = refused["headers"]["www-authenticate"].as_str().unwrap();
    assert!(challenge.starts_with("Basic realm="), "{challenge}");
    assert_eq!(refused["statusDescription"], "401 Unauthorized");
    let taken = function.invoke(&events("[]"), TIME).answer();
    assert_eq!(taken["body"], "{}");
    // What is no request is an error of the invocation, and the function goes on.
    let failed = function.invoke(&json!({ "Records": [] }), TIME);
    assert!(matches!(failed, Invoked::Failed(_)), "{failed:?}");
    assert_eq!(status(&function, &events("[1]")), 200);
    assert!(landed(&s3).contains("[1]"));
    function.kill();
}

#[test]
fn the_small_program_says_that_it_only_receives() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let mut load = function_of(RECEIVE_PROGRAM, &place, "load");
    let (error, outcome) = Function::start(&mut load).cannot_start();
    assert_eq!(
        error["errorMessage"],
        "POSTLAKE_ROLE is load, and this package has the function `receive` alone; \
         use the package of the whole program, docs/aws.md says how"
    );
    assert_eq!(outcome.code, Some(78));
}

/// F23: a load balancer hands a function at most 1 MB.
#[test]
fn doctor_tells_of_the_wall_at_1_mb() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    for (role, most, level) in [
        ("receive", "33554432", "warn"),
        ("receive", "1000000", "ok"),
        ("load", "33554432", "ok"),
    ] {
        let mut doctor = place.command_here(&["doctor", "--json"]);
        doctor
            .env("POSTLAKE_ROLE", role)
            .env("POSTLAKE_INGEST__MAX_BODY_BYTES", most)
            .env("A_PASSWORD", PASSWORD)
            .env("A_SECRET", SECRET);
        let said: Value = serde_json::from_slice(&doctor.output().unwrap().stdout).unwrap();
        let findings = said["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["check"] == "bodies");
        let found = found.unwrap();
        assert_eq!(found["level"], level, "{found}");
        assert!(found["found"].as_str().unwrap().contains("1 MB"), "{found}");
    }
}

/// One environment, one stream; the binary body of a compressed request comes through.
#[test]
fn an_environment_has_one_stream_and_bodies_are_byte_for_byte() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let function = receiver(&place);
    for number in 0..5 {
        assert_eq!(status(&function, &events(&format!("[{number}]"))), 200);
    }
    let mut event = events("WzIsImJhc2U2NCJd");
    event["isBase64Encoded"] = json!(true);
    assert_eq!(status(&function, &event), 200);
    let names: Vec<_> = s3.objects().into_keys().collect();
    let streams: BTreeSet<_> = names
        .iter()
        .map(|name| name.rsplit_once('/').unwrap().0)
        .collect();
    assert_eq!((names.len(), streams.len()), (6, 1), "{names:?}");
    assert!(landed(&s3).contains("[2,\"base64\"]"));
    function.kill();
}

/// An environment has one request at a time, so none is made to wait for others to join it: on S3 a server
/// leaves 200 ms between two puts.
#[test]
fn answers_that_follow_one_another_do_not_wait_for_the_interval_between_puts() {
    const REQUESTS: u32 = 30;
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let function = receiver(&place);
    let begun = Instant::now();
    for _ in 0..REQUESTS {
        assert_eq!(status(&function, &events("[1]")), 200);
    }
    let waited = begun.elapsed();
    assert!(
        waited < Duration::from_millis(200) * (REQUESTS - 1),
        "{waited:?}"
    );
    function.kill();
}

#[test]
fn a_lake_is_made_by_the_load_function_and_a_second_delivery_changes_nothing() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let (receive, load) = (receiver(&place), loader(&place));
    let deliver = || {
        for event in [
            events(&text("events-all-27-types.json")),
            alerts(&text("alerts-shape-a.json")),
            alerts(&text("alerts-shape-b.json")),
        ] {
            assert_eq!(status(&receive, &event), 200);
        }
        let answer = load.invoke(&notices(&s3), LOAD_TIME).answer();
        assert_eq!(
            answer,
            json!({ "batchItemFailures": [] }),
            "{}",
            load.stderr()
        );
    };
    deliver();
    assert_eq!(place.number("SELECT count(*) FROM events"), 27);
    let rows = |table: &str| place.sorted_lines(&format!("SELECT * FROM {table}"));
    let before = [rows("events"), rows("alerts")];
    deliver();
    assert_eq!([rows("events"), rows("alerts")], before);
    // The same notices once more, and one of a bucket that is nobody's.
    let again = load.invoke(&notices(&s3), LOAD_TIME).answer();
    assert_eq!(again, json!({ "batchItemFailures": [] }));
    let test = json!({ "Records": [{
        "messageId": "t", "eventSource": "aws:sqs", "body": "{\"Event\":\"s3:TestEvent\"}",
    }] });
    let passed = load.invoke(&test, LOAD_TIME).answer();
    assert_eq!(passed, json!({ "batchItemFailures": [] }));
    assert_eq!([rows("events"), rows("alerts")], before);
    receive.kill();
    load.kill();
}

#[test]
fn messages_come_again_when_they_could_not_be_loaded() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let (receive, load) = (receiver(&place), loader(&place));
    assert_eq!(
        status(&receive, &events(&text("events-all-27-types.json"))),
        200
    );
    let event = notices(&s3);
    s3.set(Faults {
        credentials: Some(faulty_s3::CredentialFault::Expired),
        ..Faults::default()
    });
    let failed = load.invoke(&event, LOAD_TIME).answer();
    assert_eq!(
        failed,
        json!({ "batchItemFailures": [{ "itemIdentifier": "m0" }] })
    );
    s3.set(Faults::default());
    let loaded = load.invoke(&event, LOAD_TIME).answer();
    assert_eq!(
        loaded,
        json!({ "batchItemFailures": [] }),
        "{}",
        load.stderr()
    );
    assert_eq!(place.number("SELECT count(*) FROM events"), 27);
    receive.kill();
    load.kill();
}

/// The rows are in the lake then, and are loaded no second time.
#[test]
fn messages_come_again_when_a_sink_has_not_taken_their_rows() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let receive = receiver(&place);
    let body = text("events-all-27-types.json");
    assert_eq!(status(&receive, &events(&body)), 200);
    receive.kill();
    let event = notices(&s3);
    // A file stands where the sink has its folder.
    let folder = place.home().join("sink");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("csv"), "").unwrap();
    let mut command = function(&place, "load");
    let sinks = format!(
        "[{{name=\"csv\",type=\"csv\",url=\"{}\"}}]",
        folder.display()
    );
    command.env("POSTLAKE_SINKS", sinks);
    let load = Function::start(&mut command);
    let failed = load.invoke(&event, LOAD_TIME).answer();
    let again = json!({ "batchItemFailures": [{ "itemIdentifier": "m0" }] });
    assert_eq!(failed, again, "{}", load.stderr());
    assert_eq!(place.number("SELECT count(*) FROM events"), 27);
    std::fs::remove_file(folder.join("csv")).unwrap();
    let loaded = load.invoke(&event, LOAD_TIME).answer();
    assert_eq!(
        loaded,
        json!({ "batchItemFailures": [] }),
        "{}",
        load.stderr()
    );
    assert_eq!(place.number("SELECT count(*) FROM events"), 27);
    let files = std::fs::read_dir(folder.join("csv/events")).unwrap();
    assert!(files.count() >= 1);
    load.kill();
}

#[test]
fn the_schedule_loads_what_no_notice_has_led_to() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let receive = receiver(&place);
    assert_eq!(
        status(&receive, &events(&text("events-all-27-types.json"))),
        200
    );
    let maintain = Function::start(&mut function(&place, "maintain"));
    let report = maintain
        .invoke(&json!({ "source": "aws.events" }), LOAD_TIME)
        .answer();
    assert_eq!(
        (&report["events"], &report["more"]),
        (&json!(27), &json!(false))
    );
    let report = maintain.invoke(&json!({}), LOAD_TIME).answer();
    assert_eq!(report["events"], json!(0));
    receive.kill();
    maintain.kill();
}

/// F23: the runtime kills a function at its deadline, in the midst of a put. What was answered 200 is
/// there; what was not is sent again, and is there once.
#[test]
fn a_function_that_is_killed_in_the_midst_of_a_put_loses_and_doubles_nothing() {
    const ROUNDS: u64 = 30;
    let seed = postlake_testkit::seed::seed();
    let s3 = FaultyS3::start(seed);
    let place = place_with_credentials(&s3);
    let body = |id: u64| {
        let mut batch: Value = serde_json::from_str(&text("events-all-27-types.json")).unwrap();
        for item in batch.as_array_mut().unwrap() {
            let class = item["msys"]
                .as_object_mut()
                .unwrap()
                .values_mut()
                .next()
                .unwrap();
            class["event_id"] = json!(format!("{id}"));
        }
        batch.to_string()
    };
    let mut killed = 0;
    for round in 0..ROUNDS {
        let (event, sent) = (events(&body(round)), body(round));
        let function = receiver(&place);
        // So that it has started before it is the put that takes time.
        assert_eq!(
            status(&function, &request("GET", "/livez", &json!({}), "")),
            200
        );
        s3.set(Faults {
            delay: Some(faulty_s3::Delay {
                mean: Duration::from_millis(60),
                spread: Duration::from_millis(50),
            }),
            lost_answer: 0.3,
            ..Faults::default()
        });
        let limit = Duration::from_millis(round * 7);
        function.offer(&event, TIME);
        let first = function.collect(limit);
        function.kill();
        s3.set(Faults::default());
        match first {
            Invoked::Answer(answer) => assert_eq!(answer["statusCode"], 200),
            Invoked::TimedOut => {
                killed += 1;
                let next = receiver(&place);
                assert_eq!(status(&next, &event), 200);
                next.kill();
            }
            Invoked::Failed(error) => panic!("{error}"),
        }
        assert!(landed(&s3).contains(&sent), "round {round}");
    }
    assert!(killed > 3, "{killed} of {ROUNDS} were killed");
    let load = loader(&place);
    let answer = load.invoke(&notices(&s3), LOAD_TIME).answer();
    assert_eq!(
        answer,
        json!({ "batchItemFailures": [] }),
        "{}",
        load.stderr()
    );
    let expected = i64::try_from(27 * ROUNDS).unwrap();
    assert_eq!(place.number("SELECT count(*) FROM events"), expected);
    assert_eq!(place.number("SELECT count(*) FROM quarantine"), 0);
    load.kill();
}

#[test]
fn a_function_that_is_killed_in_the_midst_of_loading_loses_and_doubles_nothing() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let receive = receiver(&place);
    for _ in 0..2 {
        let body = text("events-all-27-types.json");
        assert_eq!(status(&receive, &events(&body)), 200);
    }
    assert_eq!(status(&receive, &alerts(&text("alerts-shape-a.json"))), 200);
    receive.kill();
    let event = notices(&s3);
    for round in 1..25 {
        s3.set(Faults {
            delay: Some(faulty_s3::Delay {
                mean: Duration::from_millis(15),
                spread: Duration::from_millis(15),
            }),
            ..Faults::default()
        });
        let load = loader(&place);
        load.offer(&event, LOAD_TIME);
        let ended = load.collect(Duration::from_millis(round * 40));
        load.kill();
        if matches!(ended, Invoked::Answer(_)) {
            break;
        }
    }
    s3.set(Faults::default());
    let load = loader(&place);
    let answer = load.invoke(&event, LOAD_TIME).answer();
    assert_eq!(
        answer,
        json!({ "batchItemFailures": [] }),
        "{}",
        load.stderr()
    );
    assert_eq!(place.number("SELECT count(*) FROM events"), 27);
    assert_eq!(place.number("SELECT count(*) FROM alerts"), 11);
    load.kill();
}

/// Alerts are sent once. One that was refused in time is landed as soon as the store allows, as long as
/// the function has time.
#[test]
fn an_alert_that_the_store_refuses_at_first_gets_the_whole_time_of_the_function() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let function = receiver(&place);
    assert_eq!(status(&function, &events("[1]")), 200);
    s3.set(Faults::silent());
    let time = Duration::from_secs(60);
    function.offer(&alerts("[2]"), time);
    assert_eq!(function.collect(Duration::from_secs(9)), Invoked::TimedOut);
    s3.set(Faults::default());
    let begun = Instant::now();
    let Invoked::Answer(_) = function.collect(time) else {
        panic!("{}", function.stderr());
    };
    assert!(landed(&s3).contains("[2]"), "after {:?}", begun.elapsed());
    function.kill();
}
