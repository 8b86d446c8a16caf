use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use postlake_event::schema::Table;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::fixture::{Memory, score, small_lake};
use crate::server::router;

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response: Response<Body> = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

fn request(path: &str) -> axum::http::request::Builder {
    Request::builder()
        .uri(path)
        .header(header::HOST, "localhost:8080")
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, request(path).body(Body::empty()).unwrap()).await
}

fn small() -> Router {
    router(small_lake().state())
}

async fn ask(router: &Router, body: Value) -> Answer {
    let request = request("/api/v1/query")
        .method(Method::POST)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    send(router, request).await
}

#[tokio::test]
async fn latest_scores_name_their_scale_and_subjects() {
    let answer = get(&small(), "/api/v1/health-scores").await;
    assert_eq!(answer.status, StatusCode::OK);
    insta::assert_snapshot!(serde_json::to_string_pretty(&answer.json()).unwrap());
}

#[tokio::test]
async fn all_formats_hold_the_same_scores() {
    let router = small();
    let json = get(&router, "/api/v1/health-scores.json").await.json();
    let rows = json["data"].as_array().unwrap();
    let ndjson = get(&router, "/api/v1/health-scores.ndjson").await;
    let lines: Vec<Value> = ndjson
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows, &lines);

    let csv = get(&router, "/api/v1/health-scores.csv").await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    let mut csv_lines = csv.body.lines();
    let header: Vec<&str> = csv_lines.next().unwrap().split(',').collect();
    for (row, line) in rows.iter().zip(csv_lines) {
        for (name, value) in header.iter().zip(line.split(',')) {
            let expected = match &row[*name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(value, expected, "{name}");
        }
    }

    let by_accept = request("/api/v1/health-scores")
        .header(header::ACCEPT, "text/csv;q=0.9, */*;q=0.1")
        .body(Body::empty())
        .unwrap();
    assert_eq!(send(&router, by_accept).await.body, csv.body);
    let parquet = get(&router, "/api/v1/health-scores.parquet").await;
    assert!(parquet.body.starts_with("PAR1"));
}

#[tokio::test]
async fn a_history_is_half_open_and_of_one_subject() {
    let lake = Memory::empty();
    let mut facet = score(Some(5), "2026-03-02T08:00:00Z", 10.0);
    facet["facet_name"] = "ip_pool".into();
    facet["facet_value"] = "a b".into();
    lake.add(
        Table::Alerts,
        &[
            facet,
            score(Some(5), "2026-03-01T00:00:00Z", 1.0),
            score(Some(5), "2026-03-02T00:00:00Z", 2.0),
            score(Some(5), "2026-03-03T00:00:00Z", 3.0),
            score(Some(0), "2026-03-02T00:00:00Z", 4.0),
            score(None, "2026-03-02T00:00:00Z", 5.0),
        ],
    );
    let router = router(lake.state());
    let cases = [
        ("5", "", vec![3.0, 2.0, 1.0], false),
        ("5.json", "", vec![3.0, 2.0, 1.0], false),
        (
            "5",
            "?from=2026-03-02T00:00:00Z&to=2026-03-03T00:00:00Z",
            vec![2.0],
            false,
        ),
        ("5", "?to=2026-03-01T01:00:00%2B01:00", vec![], false),
        ("5", "?limit=2", vec![3.0, 2.0], true),
        (
            "5",
            "?facet_name=ip_pool&facet_value=a+b",
            vec![10.0],
            false,
        ),
        ("0", "", vec![4.0], false),
        ("account", "", vec![5.0], false),
        ("6", "", vec![], false),
    ];
    for (segment, query, expected, truncated) in cases {
        let path = format!("/api/v1/health-scores/{segment}{query}");
        let answer = get(&router, &path).await.json();
        let scores: Vec<f64> = answer["data"]
            .as_array()
            .unwrap_or_else(|| panic!("{path}: {answer}"))
            .iter()
            .map(|row| row["score"].as_f64().unwrap())
            .collect();
        assert_eq!(scores, expected, "{path}");
        assert_eq!(answer["truncated"], json!(truncated), "{path}");
    }
}

#[tokio::test]
async fn what_did_not_change_is_answered_304() {
    let lake = small_lake();
    let router = router(lake.state());
    for path in [
        "/api/v1/health-scores",
        "/api/v1/health-scores.csv",
        "/api/v1/health-scores/101",
        "/api/v1/summary",
        "/api/v1/summary/bounce-reasons.csv",
        "/assets/postlake.css",
    ] {
        let first = get(&router, path).await;
        assert_eq!(first.status, StatusCode::OK, "{path}");
        assert_eq!(first.header("cache-control"), "no-cache", "{path}");
        let again = |tag: String| {
            request(path)
                .header(header::IF_NONE_MATCH, tag)
                .body(Body::empty())
                .unwrap()
        };
        let tag = first.header("etag").to_owned();
        let held = send(&router, again(tag.clone())).await;
        assert_eq!(held.status, StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(held.body, "");
        assert_eq!(held.header("etag"), tag);
        let other = send(&router, again("\"other\"".to_owned())).await;
        assert_eq!(other.status, StatusCode::OK, "{path}");
    }
    let tag = get(&router, "/api/v1/health-scores")
        .await
        .header("etag")
        .to_owned();
    lake.add(
        Table::Alerts,
        &[score(Some(9), "2026-03-02T08:00:00Z", 1.0)],
    );
    let changed = get(&router, "/api/v1/health-scores").await;
    assert_ne!(changed.header("etag"), tag);
    assert!(changed.body.contains("subaccount 9"));
}

#[tokio::test]
async fn problems_have_stable_types() {
    let router = small();
    let mut problems = Vec::new();
    for path in [
        "/api/v1/nothing",
        "/api/v1/health-scores?limt=3",
        "/api/v1/health-scores?limit=0",
        "/api/v1/health-scores?limit=1&limit=2",
        "/api/v1/health-scores/-1",
        "/api/v1/health-scores/5?from=yesterday",
        "/api/v1/health-scores/5?from=2026-03-02T00:00:00Z&to=2026-03-02T00:00:00Z",
        "/api/v1/health-scores/5?facet_name=ip_pool",
        "/api/v1/summary?limit=3",
        "/api/v1/summary/bounce-reason",
        "/api/v1/batches?cursor=xyz",
        "/api/v1/query",
    ] {
        let answer = get(&router, path).await;
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("cache-control"), "no-store");
        let problem = answer.json();
        assert_eq!(problem["status"], json!(answer.status.as_u16()));
        problems.push(format!(
            "{path}\n{}",
            serde_json::to_string_pretty(&problem).unwrap()
        ));
    }
    insta::assert_snapshot!(problems.join("\n\n"));
}

#[tokio::test]
async fn queries_are_answered_with_columns_and_rows() {
    let router = small();
    let answer = ask(
        &router,
        json!({
            "sql": "select subaccount_id, count(*) as n, max(received_at) as at from events \
                    where subaccount_id = $1 group by subaccount_id",
            "params": [101],
        }),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut json = answer.json();
    assert!(json["elapsed_ms"].take().is_u64());
    assert_eq!(
        json,
        json!({
            "columns": [
                {"name": "subaccount_id", "type": "Int64"},
                {"name": "n", "type": "Int64"},
                {"name": "at", "type": "Timestamp(µs, \"UTC\")"},
            ],
            "rows": [[101, 3, "2026-03-02T08:59:50Z"]],
            "row_count": 1,
            "truncated": false,
            "elapsed_ms": null,
            "versions": {"events": 1, "alerts": 1, "quarantine": 1, "batches": 1},
        })
    );
}

#[tokio::test]
async fn refused_queries_say_why() {
    let router = small();
    let long = vec!["1"; 2_000].join("+");
    let cases = [
        (
            json!({"sql": "selec"}),
            StatusCode::BAD_REQUEST,
            "sql-syntax",
        ),
        (
            json!({"sql": "select nope from events"}),
            StatusCode::BAD_REQUEST,
            "sql-unknown-name",
        ),
        (
            json!({"sql": "drop table events"}),
            StatusCode::FORBIDDEN,
            "sql-forbidden",
        ),
        (
            json!({"sql": format!("select {long}")}),
            StatusCode::PAYLOAD_TOO_LARGE,
            "sql-too-large",
        ),
        (
            json!({"sql": "x".repeat(1 << 20)}),
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
        ),
        (
            json!({"sql": "select 1", "parms": []}),
            StatusCode::BAD_REQUEST,
            "invalid-body",
        ),
        (
            json!({"sql": "select $1", "params": [[1]]}),
            StatusCode::BAD_REQUEST,
            "invalid-parameter",
        ),
    ];
    for (body, status, code) in cases {
        let answer = ask(&router, body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(
            answer.json()["type"],
            json!(format!("urn:postlake:problem:{code}"))
        );
        assert!(!answer.body.contains(".rs:"), "{}", answer.body);
    }
}

#[tokio::test]
async fn other_sites_cannot_ask() {
    let router = small();
    let post = |name: &str, value: &str| {
        request("/api/v1/query")
            .method(Method::POST)
            .header(header::CONTENT_TYPE, "application/json")
            .header(name, value)
            .body(Body::from(r#"{"sql": "select 1"}"#))
            .unwrap()
    };
    let cases = [
        ("sec-fetch-site", "cross-site", StatusCode::FORBIDDEN),
        ("sec-fetch-site", "same-site", StatusCode::FORBIDDEN),
        ("sec-fetch-site", "same-origin", StatusCode::OK),
        ("origin", "http://evil.example", StatusCode::FORBIDDEN),
        ("origin", "null", StatusCode::FORBIDDEN),
        ("origin", "http://localhost:8080", StatusCode::OK),
        ("x-program", "curl", StatusCode::OK),
    ];
    for (name, value, status) in cases {
        assert_eq!(
            send(&router, post(name, value)).await.status,
            status,
            "{name}: {value}"
        );
    }
    let form = request("/api/v1/query")
        .method(Method::POST)
        .header(header::CONTENT_TYPE, "text/plain")
        .body(Body::from(r#"{"sql": "select 1"}"#))
        .unwrap();
    assert_eq!(
        send(&router, form).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
}

#[tokio::test]
async fn every_answer_is_protected() {
    let router = small();
    for path in [
        "/",
        "/assets/postlake.css",
        "/assets/icon.svg",
        "/api/v1/summary",
        "/api/v1/batches",
        "/nothing",
        "/api/v1/query",
    ] {
        let answer = get(&router, path).await;
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("default-src 'none'; style-src 'self'")
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert_ne!(answer.header("cache-control"), "", "{path}");
    }
    for method in [
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
        Method::TRACE,
    ] {
        let request = request("/").method(method).body(Body::empty()).unwrap();
        assert_eq!(
            send(&router, request).await.status,
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}

#[tokio::test]
async fn foreign_host_names_are_misdirected() {
    let router = small();
    let named = |host: &str| {
        Request::builder()
            .uri("/api/v1/summary")
            .header(header::HOST, host)
            .body(Body::empty())
            .unwrap()
    };
    for host in ["localhost", "127.0.0.1:9", "[::1]:8080"] {
        assert_eq!(send(&router, named(host)).await.status, StatusCode::OK);
    }
    for host in ["rebind.example", "127.0.0.1.rebind.example:8080"] {
        let answer = send(&router, named(host)).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let nameless = Request::builder().uri("/").body(Body::empty()).unwrap();
    assert_eq!(
        send(&router, nameless).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn pages_of_a_list_together_are_the_whole_while_rows_arrive() {
    let lake = Memory::empty();
    let row = |number: i64| {
        json!({
            "received_at": format!("2026-03-01T08:00:{:02}Z", number / 3), "stream": format!("s{}", number % 2),
            "segment": number, "code": "not-json", "source": "events", "message": number.to_string(),
            "item_index": if number % 2 == 0 { Value::Null } else { json!(number) },
        })
    };
    let rows: Vec<Value> = (0..10).map(row).collect();
    lake.add(Table::Quarantine, &rows);
    let router = router(lake.state());
    let messages = |answer: &Value| -> Vec<String> {
        answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["message"].as_str().unwrap().to_owned())
            .collect()
    };
    let whole = messages(&get(&router, "/api/v1/quarantine").await.json());
    assert_eq!(whole.len(), 10);
    let mut paged = Vec::new();
    let mut next = Some("/api/v1/quarantine?limit=3&source=events".to_owned());
    let mut newer = 30;
    while let Some(path) = next {
        let answer = get(&router, &path).await.json();
        paged.extend(messages(&answer));
        next = answer["next"].as_str().map(str::to_owned);
        lake.add(Table::Quarantine, &[row(newer)]);
        newer += 3;
    }
    assert_eq!(paged, whole);
}

#[tokio::test]
async fn batches_are_found_by_their_id() {
    let router = small();
    let found = get(&router, "/api/v1/batches?batch_id=one").await.json();
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    let naughty = get(&router, "/api/v1/batches?batch_id=x'%20or%20'a'='a")
        .await
        .json();
    assert_eq!(naughty["data"], json!([]));
    let csv = get(&router, "/api/v1/batches.csv").await;
    assert_eq!(csv.header("postlake-truncated"), "false");
    assert_eq!(csv.body.lines().count(), 3);
}

#[tokio::test]
async fn the_ledger_is_a_list_by_the_hour_in_every_format_page_by_page() {
    let lake = small_lake();
    let hour = json!({"received_at": "2026-03-02T05:30:00Z", "items": 2, "duplicates": 2});
    lake.add(Table::Batches, &[hour]);
    let router = router(lake.state());
    let whole = get(&router, "/api/v1/ledger").await;
    let rows = whole.json()["data"].as_array().unwrap().clone();
    let begins: Vec<_> = rows
        .iter()
        .map(|row| row["hour"].as_str().unwrap())
        .collect();
    assert_eq!(begins, ["2026-03-02T08:00:00Z", "2026-03-02T05:00:00Z"]);
    assert!(rows.iter().all(|row| row["balanced"] == true), "{rows:?}");
    let ndjson = get(&router, "/api/v1/ledger.ndjson").await;
    let lines = ndjson
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    assert_eq!(lines.collect::<Vec<Value>>(), rows);
    let csv = get(&router, "/api/v1/ledger.csv").await.body;
    assert!(
        csv.starts_with("hour,batches,bytes,items,events,alerts,duplicates,rejects,"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 3);

    let first = get(&router, "/api/v1/ledger?limit=1").await.json();
    assert_eq!(
        (&first["truncated"], &first["data"][0]),
        (&Value::from(true), &rows[0])
    );
    let second = get(&router, first["next"].as_str().unwrap()).await.json();
    assert_eq!(
        (&second["truncated"], &second["data"][0]),
        (&Value::from(false), &rows[1])
    );

    let held = request("/api/v1/ledger")
        .header(header::IF_NONE_MATCH, whole.header("etag"))
        .body(Body::empty())
        .unwrap();
    assert_eq!(send(&router, held).await.status, StatusCode::NOT_MODIFIED);
    for wrong in ["since=yesterday", "limit=0", "hours=3"] {
        let answer = get(&router, &format!("/api/v1/ledger?{wrong}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

/// What filters are given: names and values of any kind, known and unknown, and cursors of all sorts.
fn any_query() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = prop_oneof![
        6 => prop::sample::select(vec!["source", "code", "batch_id", "cursor", "limit", "since", "until"])
            .prop_map(str::to_owned),
        1 => "\\PC{0,12}",
    ];
    let values = prop_oneof![
        prop::sample::select(vec![
            "events", "one", "two", "'", "x' or 'a'='a", "$1", "\\", "%", "0", "-1", "1001", "2026-03-01T00:00:00Z",
            "7b7d", "\u{0}", "",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,20}",
        (any::<i64>(), "\\PC{0,9}").prop_map(|(segment, stream)| {
            let cursor = json!({
                "received_at": "2026-03-01T08:00:00Z", "stream": stream, "segment": segment, "batch_index": segment,
            });
            hex::encode(cursor.to_string())
        }),
    ];
    prop::collection::vec((names, values), 0..4)
}

fn encoded(query: &[(String, String)]) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = query
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_query_of_a_list_is_a_fault_of_the_server_and_filters_are_those_of_memory(query in any_query()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let router = small();
            for list in ["batches", "quarantine", "ledger", "health-scores"] {
                let path = format!("/api/v1/{list}?{}", encoded(&query));
                let answer = get(&router, &path).await;
                prop_assert!([StatusCode::OK, StatusCode::BAD_REQUEST].contains(&answer.status), "{path}: {}", answer.body);
                let known = |name: &str| ["source", "batch_id"].contains(&name);
                if list != "batches" || answer.status != StatusCode::OK || !query.iter().all(|(name, _)| known(name)) {
                    continue;
                }
                let mut rows = get(&router, "/api/v1/batches").await.json()["data"].as_array().unwrap().clone();
                rows.retain(|row| query.iter().all(|(name, value)| row[name] == value.as_str()));
                prop_assert_eq!(&answer.json()["data"], &Value::from(rows));
            }
            Ok(())
        })?;
    }
}
