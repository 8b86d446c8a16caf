//! What was wrong in the functions that these replace, each with a test that bears its name. Four of the
//! twelve stand where the part is: `defect_first_record_only` and `defect_undecoded_keys` beside the
//! reading of notices, `defect_one_second_names` and `defect_random_keys` beside the sinks.

use std::thread;

use super::*;

/// A body that arrives once more, perhaps in another form.
fn with_batch_id(id: &str, body: &str) -> Value {
    let mut event = events(body);
    event["headers"]["x-messagesystems-batch-id"] = json!(id);
    event
}

/// A store that fails was answered 200.
#[test]
fn defect_errors_swallowed_then_200() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let function = receiver(&place);
    for fault in [
        Faults {
            unavailable: 1.0,
            ..Faults::default()
        },
        Faults {
            throttled: 1.0,
            ..Faults::default()
        },
        Faults {
            reset: 1.0,
            ..Faults::default()
        },
        Faults {
            credentials: Some(faulty_s3::CredentialFault::Expired),
            ..Faults::default()
        },
    ] {
        s3.set(fault.clone());
        assert_eq!(status(&function, &events("[1]")), 503, "{fault:?}");
        s3.set(Faults::default());
    }
    assert_eq!(status(&function, &events("[2]")), 200);
    assert!(landed(&s3).contains("[2]"));
    function.kill();
}

/// A store that says "forbidden" was understood as "not there yet", and later as "there already".
#[test]
fn defect_access_denied_read_as_absent() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let (receive, load) = (receiver(&place), loader(&place));
    s3.set(Faults {
        credentials: Some(faulty_s3::CredentialFault::ExpiredForbidden),
        ..Faults::default()
    });
    assert_eq!(status(&receive, &with_batch_id("a", "[1]")), 503);
    assert!(s3.objects().is_empty());
    s3.set(Faults::default());
    assert_eq!(status(&receive, &with_batch_id("a", "[1]")), 200);
    // Loading, too: a lake that cannot be read is not a lake that is empty.
    let event = notices(&s3);
    load.invoke(&event, LOAD_TIME).answer();
    let before = place.number("SELECT count(*) FROM batches");
    s3.set(Faults {
        credentials: Some(faulty_s3::CredentialFault::ExpiredForbidden),
        ..Faults::default()
    });
    let failed = load.invoke(&event, LOAD_TIME).answer();
    assert_eq!(failed["batchItemFailures"].as_array().unwrap().len(), 1);
    s3.set(Faults::default());
    load.invoke(&event, LOAD_TIME).answer();
    assert_eq!(place.number("SELECT count(*) FROM batches"), before);
    receive.kill();
    load.kill();
}

/// Batches without an id shared one key, so that each but the first was dropped.
#[test]
fn defect_missing_batch_id() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let function = receiver(&place);
    for body in ["[1]", "[2]", "[3]"] {
        assert_eq!(status(&function, &events(body)), 200);
    }
    let expected = ["[1]", "[2]", "[3]"].map(str::to_owned);
    assert_eq!(landed(&s3), BTreeSet::from(expected));
    function.kill();
}

/// "Is it there? No. Put it." by two at a time: one of two bodies with one id was lost.
#[test]
fn defect_get_then_put_race() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let functions = [receiver(&place), receiver(&place)];
    for round in 0..10 {
        thread::scope(|scope| {
            for (index, function) in functions.iter().enumerate() {
                let event = with_batch_id(&format!("{round}"), &format!("[{round},{index}]"));
                scope.spawn(move || assert_eq!(status(function, &event), 200));
            }
        });
    }
    let landed = landed(&s3);
    for round in 0..10 {
        for index in 0..2 {
            assert!(landed.contains(&format!("[{round},{index}]")), "{landed:?}");
        }
    }
    for function in functions {
        function.kill();
    }
}

/// What one event lacks another has; the header was made of the first, and rows had the order of their
/// own keys. Classes that the code did not know were left out, with the header if they came first.
fn csv_of(order: impl Fn(&mut Vec<Value>)) -> Vec<postlake_testkit::csv::Row> {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let (receive, load) = (receiver(&place), loader(&place));
    let mut batch: Vec<Value> = serde_json::from_str(&text("events-all-27-types.json")).unwrap();
    order(&mut batch);
    assert_eq!(status(&receive, &events(&json!(batch).to_string())), 200);
    load.invoke(&notices(&s3), LOAD_TIME).answer();
    receive.kill();
    load.kill();
    let mut rows = postlake_testkit::oracle::csv_rows(&place, "events");
    for row in &mut rows {
        // Where it stood and when it came is not what it says.
        for column in ["item_index", "received_at", "stream"] {
            row.remove(column);
        }
    }
    rows.sort();
    rows
}

#[test]
fn defect_csv_header_from_the_first_event() {
    let one = csv_of(|_| {});
    let two = csv_of(|batch| batch.reverse());
    assert_eq!(one.len(), 27);
    assert_eq!(one, two);
}

#[test]
fn defect_dropped_classes() {
    let rows = csv_of(|_| {});
    let classes: BTreeSet<_> = rows.iter().map(|row| row["event_class"].clone()).collect();
    let batch: Vec<Value> = serde_json::from_str(&text("events-all-27-types.json")).unwrap();
    let sent: BTreeSet<_> = batch
        .iter()
        .flat_map(|item| item["msys"].as_object().unwrap().keys().cloned())
        .map(Some)
        .collect();
    assert!(sent.len() > 4, "more than the code knew: {sent:?}");
    assert_eq!(classes, sent);
}

/// The branch for bodies that cannot be read failed itself, with a 502 for what should have been kept.
#[test]
fn defect_failing_error_path() {
    let s3 = FaultyS3::start(1);
    let place = place_with_credentials(&s3);
    let (receive, load) = (receiver(&place), loader(&place));
    for body in ["", "{", "[{\"alert_id\":1}", "null", "\"x\""] {
        assert_eq!(status(&receive, &alerts(body)), 200, "{body}");
    }
    assert_eq!(status(&receive, &alerts(&text("alerts-shape-b.json"))), 200);
    let answer = load.invoke(&notices(&s3), LOAD_TIME).answer();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    assert!(place.number("SELECT count(*) FROM quarantine") >= 4);
    assert!(place.number("SELECT count(*) FROM alerts") >= 1);
    receive.kill();
    load.kill();
}

/// Whoever knew the address could post.
#[test]
fn defect_no_authentication() {
    let s3 = FaultyS3::start(1);
    let open = Place::on_faulty_s3(PROGRAM, &s3);
    let (error, outcome) =
        Function::start(&mut function_of(RECEIVE_PROGRAM, &open, "receive")).cannot_start();
    let said = error["errorMessage"].as_str().unwrap();
    assert!(
        said.starts_with("anybody who knows the address can post"),
        "{said}"
    );
    assert_eq!(outcome.code, Some(78));

    let place = place_with_credentials(&s3);
    let function = receiver(&place);
    for event in [
        request("POST", "/webhooks/events", &json!({}), "[1]"),
        request(
            "POST",
            "/webhooks/events",
            &json!({ "authorization": "Basic eDp5" }),
            "[1]",
        ),
        request("POST", "/webhooks/alerts", &json!({}), "[1]"),
        request("POST", "/", &json!({}), "[1]"),
    ] {
        assert!([401, 404].contains(&status(&function, &event)), "{event}");
    }
    assert!(s3.objects().is_empty());
    function.kill();
}
