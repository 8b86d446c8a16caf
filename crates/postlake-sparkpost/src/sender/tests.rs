use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chrono::DateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::alerts::{AlertFeed, Shape};
use crate::traffic::Traffic;

/// A receiver that gives the answers in turn and hands back the requests it has read.
async fn receiver(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            requests.push(read_request(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        requests
    });
    (url, task)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap()
                .parse()
                .unwrap();
            if body.len() >= length {
                return text;
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "cut off");
    }
}

fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Some\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn batch() -> Batch {
    let start = DateTime::from_timestamp(1_750_000_000, 0).unwrap();
    Traffic::new(1, start).next_batch(3)
}

const QUICK: RetryPolicy = RetryPolicy {
    attempts: 3,
    first_gap: Duration::from_millis(1),
    longest_gap: Duration::from_millis(2),
};

#[tokio::test]
async fn events_go_out_as_sparkpost_sends_them() {
    let (url, task) = receiver(vec![answer(200, "stored")]).await;
    let batch = batch();
    let answer = Sender::new(&url)
        .unwrap()
        .post_events(&batch)
        .await
        .unwrap();
    assert!(answer.is_accepted());
    assert_eq!(answer.excerpt, "stored");
    let request = task.await.unwrap().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /webhooks/events http/1.1"), "{head}");
    assert!(
        head.contains("content-type: application/json\r\n"),
        "{head}"
    );
    assert!(head.contains(&format!("x-messagesystems-batch-id: {}", batch.id)));
    assert!(head.contains("user-agent: sparkpost") && head.contains("connection: close"));
    assert!(!head.contains("accept-encoding"), "{head}");
    assert_eq!(body.as_bytes(), &batch.body[..]);
}

#[tokio::test]
async fn alerts_go_out_as_captured() {
    let (url, task) = receiver(vec![answer(200, "")]).await;
    let post = AlertFeed::new(1).next_scores(
        DateTime::from_timestamp(1_750_000_000, 0).unwrap(),
        Shape::Capture,
    );
    let sender = Sender::new(&url).unwrap();
    let sender = sender.with_header("X-Postlake-Key", "open").unwrap();
    sender.post_alerts(&post).await.unwrap();
    let request = task.await.unwrap().remove(0).to_ascii_lowercase();
    assert!(request.starts_with("post /webhooks/alerts http/1.1"));
    assert!(request.contains("user-agent: axios/0.21.1"));
    assert!(request.contains("accept: application/json, text/plain, */*"));
    assert!(request.contains("x-postlake-key: open"));
    assert!(!request.contains("x-messagesystems-batch-id"));
}

#[tokio::test]
async fn a_target_with_a_path_takes_everything() {
    let (url, task) = receiver(vec![answer(302, "moved")]).await;
    let sender = Sender::new(&format!("{url}/hooks/s3cret?x=1")).unwrap();
    let answer = sender.post_events(&batch()).await.unwrap();
    assert_eq!(answer.status, 302, "redirects are not followed");
    assert!(task.await.unwrap()[0].starts_with("POST /hooks/s3cret?x=1 "));
}

#[tokio::test]
async fn a_long_answer_is_cut() {
    let (url, _task) = receiver(vec![answer(500, &"x".repeat(5_000))]).await;
    let answer = Sender::new(&url)
        .unwrap()
        .post_events(&batch())
        .await
        .unwrap();
    assert_eq!((answer.status, answer.excerpt.len()), (500, 512));
}

#[tokio::test]
async fn a_batch_is_sent_again_until_it_gets_a_200() {
    let (url, task) = receiver(vec![answer(503, ""), answer(202, ""), answer(200, "")]).await;
    let request = Request::events(&batch());
    let sender = Sender::new(&url).unwrap();
    let delivered = sender.post_until_accepted(&request, QUICK).await.unwrap();
    assert_eq!(delivered.attempts, 3);
    let requests = task.await.unwrap();
    assert!(requests[0] == requests[1] && requests[1] == requests[2]);
}

#[tokio::test]
async fn the_sender_gives_up_after_the_last_attempt() {
    let (url, _task) = receiver(vec![answer(500, ""), answer(500, ""), answer(429, "")]).await;
    let request = Request::events(&batch());
    let sender = Sender::new(&url).unwrap();
    let error = sender
        .post_until_accepted(&request, QUICK)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "gave up after 3 attempts, last status 429"
    );
}

#[tokio::test]
async fn errors_say_what_and_hide_the_target() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sender = Sender::new(&format!("http://{address}/s3cret")).unwrap();
    let error = sender.post_events(&batch()).await.unwrap_err();
    assert!(matches!(error, SendError::Unreachable(_)), "{error:?}");
    assert!(error.is_retryable());
    assert!(!format!("{error} {error:?}").contains("s3cret"));

    assert!(matches!(Sender::new("nowhere"), Err(SendError::BadUrl(_))));
    assert!(matches!(
        Sender::new("ftp://example.com"),
        Err(SendError::NotHttp)
    ));
    let sender = Sender::new("http://127.0.0.1:1").unwrap();
    let error = sender.with_header("X-Key", "a\nb").unwrap_err();
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_connection_that_breaks_is_retryable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            read_request(&mut stream).await;
        }
    });
    let sender = Sender::new(&url).unwrap();
    let request = Request::events(&batch());
    let error = sender
        .post_until_accepted(&request, QUICK)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        SendError::GaveUp { attempts: 3, last_status: None, source: Some(ref source) }
            if matches!(**source, SendError::Broken(_))
    ));
    assert_eq!(accepted.load(Ordering::SeqCst), 3);
}

#[test]
fn gaps_double_up_to_a_limit() {
    let policy = RetryPolicy::SPARKPOST;
    assert_eq!(policy.gap_after(1), Duration::from_secs(30));
    assert_eq!(policy.gap_after(3), Duration::from_secs(120));
    assert_eq!(policy.gap_after(100), Duration::from_secs(7_200));
    let total: Duration = (1..policy.attempts).map(|n| policy.gap_after(n)).sum();
    assert!(
        total < Duration::from_secs(8 * 3600 + 2 * 3600),
        "{total:?}"
    );
}

/// The credential of requests, without the sender's other headers.
fn head_lines(request: &str, name: &str) -> Vec<String> {
    let prefix = format!("{name}: ");
    let lines = request.lines().take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn a_token_is_fetched_once_and_again_when_it_has_expired() {
    let token = |token: &str| {
        answer(
            200,
            &format!(r#"{{"access_token":"{token}","expires_in":1}}"#),
        )
    };
    let (url, task) = receiver(vec![
        token("one"),
        answer(200, "{}"),
        answer(401, "{}"),
        token("two"),
        answer(200, "{}"),
        answer(200, "{}"),
    ])
    .await;
    let sender = Sender::new(&url)
        .unwrap()
        .with_credential(&Credential::OAuth2 {
            token_url: format!("{url}/oauth/token"),
            client_id: "postlake".to_owned(),
            client_secret: "s\"ecret".to_owned(),
        })
        .unwrap();
    for _ in 0..3 {
        assert!(sender.post_events(&batch()).await.unwrap().is_accepted());
    }
    let requests = task.await.unwrap();
    let bearers: Vec<_> = requests
        .iter()
        .map(|request| head_lines(request, "authorization").concat())
        .collect();
    assert_eq!(
        bearers,
        [
            "",
            "Bearer one",
            "Bearer one",
            "",
            "Bearer two",
            "Bearer two"
        ]
    );
    let (_, asked) = requests[0].split_once("\r\n\r\n").unwrap();
    let asked: serde_json::Value = serde_json::from_str(asked).unwrap();
    assert_eq!(asked["grant_type"], "client_credentials");
    assert_eq!(
        (&asked["client_id"], &asked["client_secret"]),
        (&"postlake".into(), &"s\"ecret".into())
    );
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    for (status, body) in [(401, "{}"), (200, "[]"), (200, "no json"), (302, "")] {
        let (url, task) = receiver(vec![answer(status, body)]).await;
        let sender = Sender::new(&url)
            .unwrap()
            .with_credential(&Credential::OAuth2 {
                token_url: format!("{url}/oauth/token"),
                client_id: "postlake".to_owned(),
                client_secret: "secret".to_owned(),
            })
            .unwrap();
        let error = sender.post_events(&batch()).await.unwrap_err();
        assert!(
            matches!(error, SendError::NoToken { status: said } if said == status),
            "{error}"
        );
        assert_eq!(task.await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn credentials_go_where_the_form_puts_them() {
    let (url, task) = receiver(vec![answer(200, "{}"); 4]).await;
    let credentials = [
        Credential::Basic {
            username: "Aladdin".to_owned(),
            password: "open sesame".to_owned(),
        },
        Credential::Header {
            name: "X-Postlake-Key".to_owned(),
            value: "canary".to_owned(),
        },
        Credential::AlertPath {
            secret: "canary".to_owned(),
        },
    ];
    let start = DateTime::from_timestamp(1_750_000_000, 0).unwrap();
    let post = AlertFeed::new(1).next_scores(start, Shape::Capture);
    for credential in &credentials {
        assert!(!format!("{credential:?}").contains("canary"));
        let sender = Sender::new(&url)
            .unwrap()
            .with_credential(credential)
            .unwrap();
        assert!(!format!("{sender:?}").contains("canary"));
        assert!(sender.post_alerts(&post).await.unwrap().is_accepted());
    }
    let alone = Sender::new(&url)
        .unwrap()
        .with_credential(&credentials[2])
        .unwrap();
    assert!(alone.post_events(&batch()).await.unwrap().is_accepted());
    let requests = task.await.unwrap();
    // The example of RFC 7617, 2.
    assert_eq!(
        head_lines(&requests[0], "authorization"),
        ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]
    );
    assert_eq!(head_lines(&requests[1], "x-postlake-key"), ["canary"]);
    assert!(requests[2].starts_with("POST /webhooks/alerts/canary HTTP/1.1"));
    assert!(requests[3].starts_with("POST /webhooks/events HTTP/1.1"));
}
