//! The document against real answers: every endpoint, every problem, every field.

use std::path::PathBuf;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::fixture::small_lake;
use crate::server::router;

fn document() -> Value {
    serde_json::from_str(&DOCUMENT).unwrap()
}

struct Answer {
    status: StatusCode,
    media_type: String,
    body: Vec<u8>,
}

async fn send(router: &Router, method: Method, path: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:8080")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_owned()));
    let response = router.clone().oneshot(request.unwrap()).await.unwrap();
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.map_or("", |value| value.to_str().unwrap());
    let media_type = media_type.split(';').next().unwrap().to_owned();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 24).await.unwrap();
    Answer {
        status,
        media_type,
        body: body.to_vec(),
    }
}

/// As far as the document goes: `$ref`, `allOf`, `anyOf`, `type`, `enum`, `const`, properties and items.
fn conforms(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let named = document.pointer(reference.trim_start_matches('#'));
        return conforms(document, named.ok_or(reference)?, value);
    }
    let each = |key: &str| schema[key].as_array().cloned().unwrap_or_default();
    for all in each("allOf") {
        conforms(document, &all, value)?;
    }
    let any = each("anyOf");
    if !any.is_empty() && !any.iter().any(|any| conforms(document, any, value).is_ok()) {
        return Err(format!("{value} is none of them"));
    }
    let allowed = schema.get("enum").and_then(Value::as_array);
    if allowed.is_some_and(|allowed| !allowed.contains(value))
        || schema.get("const").is_some_and(|only| only != value)
    {
        return Err(format!("{value} is not allowed by {schema}"));
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        Value::Null => Vec::new(),
        kind => vec![kind.clone()],
    };
    if !kinds.is_empty()
        && !kinds
            .iter()
            .any(|kind| is_of(kind.as_str().unwrap(), value))
    {
        return Err(format!("{value} is not of {}", schema["type"]));
    }
    for required in each("required") {
        let name = required.as_str().unwrap();
        value
            .get(name)
            .ok_or_else(|| format!("{name} is missing in {value}"))?;
    }
    for (name, part) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(of) => conforms(document, of, part).map_err(|fault| format!("{name}: {fault}"))?,
            None if schema["additionalProperties"] == false => {
                return Err(format!("{name} is not in the document"));
            }
            None => {}
        }
    }
    if let Some(of) = schema.get("items") {
        for item in value.as_array().into_iter().flatten() {
            conforms(document, of, item)?;
        }
    }
    Ok(())
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// The answer is one that the document has for the path.
fn check(path: &str, method: &str, answer: &Answer) {
    let document = document();
    let status = answer.status.as_u16().to_string();
    let response = &document["paths"][path][method]["responses"][&status];
    let text = String::from_utf8_lossy(&answer.body);
    assert!(
        !response.is_null(),
        "{method} {path} is answered {status}: {text}"
    );
    let media = &response["content"][&answer.media_type];
    assert!(
        !media.is_null(),
        "{method} {path} {status} is answered in {}",
        answer.media_type
    );
    if answer.media_type.ends_with("json") && !answer.media_type.contains("ndjson") {
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        conforms(&document, &media["schema"], &value)
            .unwrap_or_else(|fault| panic!("{method} {path} {status}: {fault}"));
    }
}

fn concrete(path: &str) -> Vec<String> {
    if path.contains("{table}") {
        let tables = crate::summary::SummaryTable::ALL;
        return tables
            .map(|table| path.replace("{table}", table.name()))
            .to_vec();
    }
    let subjects = ["account", "0", "101"];
    match path.contains('{') {
        true => subjects
            .map(|subject| path.replace("{subaccount_id}", subject))
            .to_vec(),
        false => vec![path.to_owned()],
    }
}

#[tokio::test]
async fn every_endpoint_answers_as_the_document_says() {
    let router = router(small_lake().state());
    let document = document();
    let mut answered = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let http = method.to_uppercase().parse::<Method>().unwrap();
            for concrete in concrete(path) {
                let body = json!({ "sql": "SELECT type, count(*) FROM events WHERE type <> $1 GROUP BY 1", "params": ["x"] });
                let answer = send(&router, http.clone(), &concrete, &body.to_string()).await;
                assert_eq!(answer.status, StatusCode::OK, "{concrete}");
                check(path, method, &answer);
                answered += 1;
                // Every parameter that the document names is taken, and no other.
                for parameter in operation["parameters"].as_array().unwrap() {
                    let name = parameter["name"].as_str().unwrap();
                    if parameter["in"] == "query" {
                        let answer = send(
                            &router,
                            http.clone(),
                            &format!("{concrete}?{name}=%20"),
                            "{}",
                        )
                        .await;
                        check(path, method, &answer);
                        let said = String::from_utf8_lossy(&answer.body);
                        assert!(!said.contains("unknown parameter"), "{concrete}: {name}");
                    }
                }
                let answer = send(
                    &router,
                    http.clone(),
                    &format!("{concrete}?no_such=1"),
                    "{}",
                )
                .await;
                assert_eq!(answer.status, StatusCode::BAD_REQUEST);
                check(path, method, &answer);
            }
        }
    }
    assert!(answered >= 25, "{answered}");
}

#[tokio::test]
async fn problems_are_those_of_the_document() {
    let router = router(small_lake().state());
    for (path, asked, body) in [
        ("/api/v1/summary/{table}", "/api/v1/summary/nothing", ""),
        (
            "/api/v1/health-scores/{subaccount_id}",
            "/api/v1/health-scores/x",
            "",
        ),
        ("/api/v1/batches", "/api/v1/batches?cursor=x", ""),
        ("/api/v1/query", "/api/v1/query", "{}"),
        ("/api/v1/query", "/api/v1/query", r#"{"sql":"select"}"#),
        (
            "/api/v1/query",
            "/api/v1/query",
            r#"{"sql":"select x from events"}"#,
        ),
        (
            "/api/v1/query",
            "/api/v1/query",
            r#"{"sql":"drop table events"}"#,
        ),
        ("/api/v1/query", "/api/v1/query", r#"{"sql":"select 1/0"}"#),
    ] {
        let method = if path.ends_with("query") {
            Method::POST
        } else {
            Method::GET
        };
        let answer = send(&router, method.clone(), asked, body).await;
        assert!(answer.status.is_client_error(), "{asked} {body}");
        check(path, method.as_str().to_lowercase().as_str(), &answer);
    }
}

/// Codes that the document names are those that answers have.
#[test]
fn every_problem_of_sql_and_of_an_endpoint_is_known() {
    use crate::sql::SqlErrorKind as Kind;
    let kinds = [
        Kind::Syntax,
        Kind::Unknown,
        Kind::Invalid,
        Kind::Forbidden,
        Kind::TooLarge,
        Kind::Timeout,
        Kind::Busy,
        Kind::Unavailable,
        Kind::Internal,
    ];
    let known = |code: &str| CODES.iter().any(|(known, _)| *known == code);
    for kind in kinds {
        assert!(known(kind.name()), "{}", kind.name());
        let problem: Value =
            serde_json::to_value(Problem::from(crate::sql::SqlError::new(kind, "x"))).unwrap();
        let status = CODES
            .iter()
            .find(|(code, _)| *code == kind.name())
            .unwrap()
            .1;
        assert_eq!(problem["status"], status.as_u16(), "{}", kind.name());
    }
    for endpoint in &ENDPOINTS {
        assert!(
            endpoint.problems.iter().all(|code| known(code)),
            "{}",
            endpoint.path
        );
    }
    assert!(COMMON.iter().all(|code| known(code)));
}

#[tokio::test]
async fn the_document_is_served_and_is_the_one_in_the_repository() {
    let router = router(small_lake().state());
    let answer = send(&router, Method::GET, "/api/v1/openapi.json", "").await;
    assert_eq!(
        (answer.status, answer.media_type.as_str()),
        (StatusCode::OK, "application/json")
    );
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("POSTLAKE_WRITE_FIXTURES").is_some() {
        std::fs::write(&file, &answer.body).unwrap();
    }
    let committed = std::fs::read(&file).unwrap_or_default();
    assert!(
        committed == answer.body,
        "docs/openapi.json is stale: POSTLAKE_WRITE_FIXTURES=1 cargo nextest run -p postlake-serve the_document"
    );
}
