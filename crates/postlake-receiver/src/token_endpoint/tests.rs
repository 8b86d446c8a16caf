use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::gate::{Gate, Server, batches, post, status};
use crate::{AuthSettings, Config, OAuthClient, Secret};

const SECRET: &str = "s3cret/with+odd=characters%41&more";

async fn server() -> (Arc<Gate>, Server) {
    let gate = Gate::open();
    let client = |text| OAuthClient {
        client_id: "postlake".to_owned(),
        client_secret: Secret::new(text).unwrap(),
    };
    let config = Config {
        auth: AuthSettings {
            oauth2: vec![client(SECRET), client("another-secret-0123456789")],
            ..AuthSettings::default()
        },
        ..Config::default()
    };
    let server = Server::start(&gate, config).await;
    (gate, server)
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn json_body() -> String {
    format!(
        r#"{{"grant_type":"client_credentials","client_id":"postlake","client_secret":"{SECRET}"}}"#
    )
}

fn form_body() -> String {
    let secret = escaped(SECRET);
    format!("grant_type=client_credentials&client_id=postlake&client_secret={secret}&scope=x")
}

fn basic(id: &str, secret: &str) -> String {
    format!(
        "Authorization: Basic {}\r\n",
        STANDARD.encode(format!("{id}:{secret}"))
    )
}

/// The answer's body as JSON.
fn document(answer: &str) -> serde_json::Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn tokens_are_issued_for_json_form_and_basic_and_open_the_webhooks() {
    let (gate, server) = server().await;
    let grant = "grant_type=client_credentials";
    let json = "Content-Type: application/json\r\n";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (headers, body) in [
        (json.to_owned(), json_body()),
        (form.to_owned(), form_body()),
        // The label is wrong or missing: the body says what it is.
        (form.to_owned(), json_body()),
        (String::new(), form_body()),
        (
            form.to_owned() + &basic("postlake", SECRET),
            grant.to_owned(),
        ),
        (
            form.to_owned() + &basic("postlake", &escaped(SECRET)),
            grant.to_owned(),
        ),
        (
            json.to_owned() + &basic("postlake", "another-secret-0123456789"),
            r#"{"grant_type":"client_credentials","client_id":"postlake","extra":[1]}"#.to_owned(),
        ),
    ] {
        let answer = server.exchange(post("/oauth/token", &headers, &body)).await;
        assert_eq!(status(&answer), 200, "{headers}{body}: {answer}");
        for header in [
            "content-type: application/json\r\n",
            "cache-control: no-store\r\n",
            "pragma: no-cache\r\n",
        ] {
            assert!(answer.contains(header), "{answer}");
        }
        let document = document(&answer);
        assert_eq!(document["token_type"], "Bearer");
        assert_eq!(document["expires_in"], 3600);
        let token = document["access_token"].as_str().unwrap();
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let posted = server
            .exchange(post("/webhooks/events", &bearer, "[]"))
            .await;
        assert_eq!(status(&posted), 200, "{posted}");
    }
    assert_eq!(batches(&gate.raw()).await.len(), 7);
}

#[tokio::test]
async fn refusals_are_those_of_the_standard() {
    let (_gate, server) = server().await;
    let body = |id: &str, secret: &str| {
        format!("grant_type=client_credentials&client_id={id}&client_secret={secret}")
    };
    let cases = [
        ("", "", 400, "invalid_request"),
        ("", "{\"grant_type\":1}", 400, "invalid_request"),
        ("", "{", 400, "invalid_request"),
        ("", "[]", 400, "invalid_request"),
        ("", "\u{ff}\u{fe}", 400, "invalid_request"),
        ("", "grant_type=a&grant_type=b", 400, "invalid_request"),
        (
            "",
            r#"{"client_id":"a","client_id":"b"}"#,
            400,
            "invalid_request",
        ),
        ("", "grant_type=password", 400, "unsupported_grant_type"),
        ("", "grant_type=client_credentials", 401, "invalid_client"),
        (
            "Authorization: Bearer x\r\n",
            &form_body(),
            401,
            "invalid_client",
        ),
        ("", &body("postlake", "wrong"), 401, "invalid_client"),
        ("", &body("nobody", &escaped(SECRET)), 401, "invalid_client"),
        (
            &basic("postlake", "wrong"),
            "grant_type=client_credentials",
            401,
            "invalid_client",
        ),
        (
            &basic("postlake", SECRET),
            &form_body(),
            400,
            "invalid_request",
        ),
        (
            "Sec-Fetch-Site: cross-site\r\n",
            &form_body(),
            403,
            "invalid_request",
        ),
        (
            "Origin: https://elsewhere.example\r\n",
            &form_body(),
            403,
            "invalid_request",
        ),
    ];
    for (headers, body, code, error) in cases {
        let answer = server.exchange(post("/oauth/token", headers, body)).await;
        assert_eq!(status(&answer), code, "{headers}{body}: {answer}");
        assert_eq!(document(&answer)["error"], error, "{headers}{body}");
        assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
        assert_eq!(
            answer.contains("www-authenticate: Basic"),
            code == 401,
            "{answer}"
        );
        assert!(!answer.contains("access_token"));
    }
    let long = format!("{}&x={}", form_body(), "x".repeat(20_000));
    let answer = server.exchange(post("/oauth/token", "", long)).await;
    assert_eq!(status(&answer), 400, "{answer}");
    let get = "GET /oauth/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&server.exchange(get).await), 405);
}

#[tokio::test]
async fn without_clients_there_is_no_token_endpoint() {
    let server = Server::start(&Gate::open(), Config::default()).await;
    assert_eq!(status(&server.post("/oauth/token", form_body()).await), 404);
}
