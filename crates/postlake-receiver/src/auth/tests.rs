use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use futures::FutureExt as _;
use postlake_raw::clock::ManualClock;

use super::*;
use crate::Config;
use crate::gate::{Gate, Server, batches, evening, post, status};

/// A secret that differs with its name.
fn secret(name: &str) -> Secret {
    Secret::for_path(&format!("{name}-0123456789abcdefghijklmnop")).unwrap()
}

fn text(secret: &Secret) -> &str {
    std::str::from_utf8(secret.as_bytes()).unwrap()
}

fn client(id: &str, name: &str) -> OAuthClient {
    OAuthClient {
        client_id: id.to_owned(),
        client_secret: secret(name),
    }
}

/// Every kind of credential, each twice.
fn all_kinds() -> AuthSettings {
    AuthSettings {
        basic: vec![
            BasicLogin::new("sparkpost", secret("old")).unwrap(),
            BasicLogin::new("sparkpost", secret("new")).unwrap(),
            BasicLogin::without_password(text(&secret("nameless"))).unwrap(),
        ],
        oauth2: vec![client("postlake", "first"), client("postlake", "second")],
        headers: vec![
            HeaderSecret::new("X-Postlake-Key", secret("key-a")).unwrap(),
            HeaderSecret::new("x-postlake-key", secret("key-b")).unwrap(),
            HeaderSecret::new("X-Other", secret("other")).unwrap(),
        ],
        webhook_tokens: vec![secret("legacy-a"), secret("legacy-b")],
        alert_secrets: vec![secret("alert-a"), secret("alert-b")],
        ..AuthSettings::default()
    }
}

fn auth(settings: &AuthSettings) -> Auth {
    Auth::new(settings, evening())
}

fn basic(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

fn head(headers: &[(&str, &str)]) -> Parts {
    let request = headers
        .iter()
        .fold(Request::builder(), |request, (name, value)| {
            request.header(*name, *value)
        });
    request.body(()).unwrap().into_parts().0
}

/// `None` when the headers open the door.
fn fault(auth: &Auth, headers: &[(&str, &str)]) -> Option<LoginFault> {
    match auth.check(&head(headers)) {
        Ok(()) => None,
        Err(Denied::Credentials { fault, .. }) => Some(fault),
        Err(Denied::Address) => panic!("there is no allow list"),
    }
}

#[test]
fn without_credentials_everybody_may_post() {
    let auth = auth(&AuthSettings::default());
    assert_eq!(fault(&auth, &[]), None);
    assert_eq!(fault(&auth, &[("authorization", "Basic eDp5")]), None);
    assert!(!auth.opens_alerts("/webhooks/alerts/") && !auth.issues_tokens());
}

#[test]
fn any_configured_credential_lets_a_request_in() {
    let auth = auth(&all_kinds());
    let nameless = format!("{}:", text(&secret("nameless")));
    for login in [
        format!("sparkpost:{}", text(&secret("old"))),
        format!("sparkpost:{}", text(&secret("new"))),
        nameless.clone(),
    ] {
        let unpadded = format!("bAsIc   {}", STANDARD_NO_PAD.encode(&login));
        assert_eq!(fault(&auth, &[("authorization", &basic(&login))]), None);
        assert_eq!(fault(&auth, &[("authorization", &unpadded)]), None);
    }
    for (header, name) in [
        ("x-postlake-key", "key-a"),
        ("x-postlake-key", "key-b"),
        ("x-other", "other"),
        ("x-messagesystems-webhook-token", "legacy-a"),
        ("x-messagesystems-webhook-token", "legacy-b"),
    ] {
        let secret = secret(name);
        assert_eq!(fault(&auth, &[(header, text(&secret))]), None);
        let twice = [(header, "wrong"), (header, text(&secret))];
        assert_eq!(fault(&auth, &twice), None);
        let beside = [("authorization", "Basic eDp5"), (header, text(&secret))];
        assert_eq!(fault(&auth, &beside), None);
    }
    for name in ["first", "second"] {
        let issued = auth.issue("postlake", text(&secret(name))).unwrap();
        let bearer = format!("Bearer {}", issued.token);
        assert_eq!(fault(&auth, &[("authorization", &bearer)]), None);
        assert_eq!(issued.expires_in, 3600);
    }
    for name in ["alert-a", "alert-b"] {
        assert!(auth.opens_alerts(&format!("/webhooks/alerts/{}", text(&secret(name)))));
    }
}

#[test]
fn nothing_else_does() {
    let auth = auth(&all_kinds());
    assert_eq!(fault(&auth, &[]), Some(LoginFault::Absent));
    assert_eq!(
        fault(&auth, &[("x-unknown", text(&secret("key-a")))]),
        Some(LoginFault::Absent)
    );
    let old = text(&secret("old")).to_owned();
    for login in [
        format!("sparkpost:{}", &old[1..]),
        format!("sparkpost:{old}x"),
        format!("sparkpos:t{old}"),
        format!("Sparkpost:{old}"),
        "sparkpost:".to_owned(),
        "sparkpost".to_owned(),
        ":".to_owned(),
        String::new(),
        text(&secret("nameless")).to_owned(),
        format!("{}:x", text(&secret("nameless"))),
        "x".repeat(3000),
    ] {
        let value = basic(&login);
        assert_eq!(
            fault(&auth, &[("authorization", &value)]),
            Some(LoginFault::Wrong),
            "{login}"
        );
    }
    let key = text(&secret("key-a")).to_owned();
    let bearer = format!("Bearer {key}");
    for (header, value) in [
        ("authorization", "Basic"),
        ("authorization", "Basic ="),
        ("authorization", "Basic \u{e4}\u{f6}"),
        ("authorization", "Bearer"),
        ("authorization", "Digest username=x"),
        ("authorization", bearer.as_str()),
        ("x-other", key.as_str()),
        ("x-postlake-key", &key[1..]),
        ("x-postlake-key", ""),
        ("x-messagesystems-webhook-token", key.as_str()),
    ] {
        assert_eq!(
            fault(&auth, &[(header, value)]),
            Some(LoginFault::Wrong),
            "{header}: {value}"
        );
    }
    for path in [
        "/webhooks/alerts/",
        "/webhooks/alerts",
        "/webhooks/alerts/x",
        &format!("/webhooks/alerts/{}/", text(&secret("alert-a"))),
        &format!("/webhooks/alerts/{}", text(&secret("key-a"))),
        &format!("/webhooks/events/{}", text(&secret("alert-a"))),
    ] {
        assert!(!auth.opens_alerts(path), "{path}");
    }
    for (id, name) in [("postlake", "key-a"), ("other", "first"), ("", "first")] {
        assert!(auth.issue(id, text(&secret(name))).is_none());
    }
    assert!(auth.issue("postlake", "").is_none());
}

#[test]
fn a_credential_of_one_kind_does_not_open_another() {
    let only = |settings: AuthSettings| auth(&settings);
    let alerts = only(AuthSettings {
        alert_secrets: vec![secret("alert")],
        ..AuthSettings::default()
    });
    let value = text(&secret("alert")).to_owned();
    assert_eq!(fault(&alerts, &[]), Some(LoginFault::Absent));
    assert_eq!(
        fault(&alerts, &[("x-messagesystems-webhook-token", &value)]),
        Some(LoginFault::Absent)
    );
    let header = only(AuthSettings {
        headers: vec![HeaderSecret::new("Authorization", secret("static")).unwrap()],
        ..AuthSettings::default()
    });
    assert_eq!(
        fault(&header, &[("authorization", text(&secret("static")))]),
        None
    );
    assert!(!header.issues_tokens());
}

fn token(settings: &AuthSettings, clock: &Arc<ManualClock>) -> String {
    let auth = Auth::new(settings, Arc::clone(clock) as Arc<dyn Clock>);
    auth.issue("postlake", text(&secret("first")))
        .unwrap()
        .token
}

fn bearer(settings: &AuthSettings, clock: &Arc<ManualClock>, token: &str) -> Option<LoginFault> {
    let auth = Auth::new(settings, Arc::clone(clock) as Arc<dyn Clock>);
    fault(&auth, &[("authorization", &format!("Bearer {token}"))])
}

#[test]
fn tokens_outlive_the_process_and_end_with_their_time_or_their_secret() {
    let (settings, clock) = (all_kinds(), evening());
    let token = token(&settings, &clock);
    assert_eq!(token.len(), "postlake_token_".len() + 66);
    // Another process with the same configuration knows it: nothing was kept.
    assert_eq!(bearer(&settings, &clock, &token), None);
    clock.advance(TimeDelta::seconds(3599));
    assert_eq!(bearer(&settings, &clock, &token), None);
    clock.advance(TimeDelta::seconds(1));
    assert_eq!(bearer(&settings, &clock, &token), Some(LoginFault::Expired));
    clock.advance(TimeDelta::seconds(-3600));
    assert_eq!(bearer(&settings, &clock, &token), None);
    // A clock that was an hour ahead when it issued: the owner has to fetch another.
    clock.advance(TimeDelta::seconds(-61));
    assert_eq!(bearer(&settings, &clock, &token), Some(LoginFault::Expired));
    clock.advance(TimeDelta::seconds(61));
    let rotated = AuthSettings {
        oauth2: vec![client("postlake", "second")],
        ..all_kinds()
    };
    assert_eq!(bearer(&rotated, &clock, &token), Some(LoginFault::Wrong));
    let renamed = AuthSettings {
        oauth2: vec![client("other", "first")],
        ..all_kinds()
    };
    assert_eq!(bearer(&renamed, &clock, &token), Some(LoginFault::Wrong));
}

#[test]
fn a_token_for_another_audience_is_not_valid() {
    let clock = evening();
    let elsewhere = AuthSettings {
        token_audience: "elsewhere".to_owned(),
        ..all_kinds()
    };
    let token = token(&elsewhere, &clock);
    assert_eq!(bearer(&elsewhere, &clock, &token), None);
    assert_eq!(
        bearer(&all_kinds(), &clock, &token),
        Some(LoginFault::Wrong)
    );
}

#[test]
fn no_changed_byte_of_a_token_is_accepted() {
    let (settings, clock) = (all_kinds(), evening());
    let token = token(&settings, &clock);
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        for byte in [b'A', b'B', b'_', b'.', b'='] {
            changed[at] = byte;
            let changed = String::from_utf8(changed.clone()).unwrap();
            let accepted = bearer(&settings, &clock, &changed).is_none();
            assert_eq!(accepted, changed == token, "byte {at} is {byte}");
        }
    }
    for end in 0..token.len() {
        assert_eq!(
            bearer(&settings, &clock, &token[..end]),
            Some(LoginFault::Wrong)
        );
    }
    for longer in [
        format!("{token}A"),
        format!("{token}="),
        format!("{token}{token}"),
    ] {
        assert_eq!(bearer(&settings, &clock, &longer), Some(LoginFault::Wrong));
    }
}

/// Tokens of another form are not tokens: there is no algorithm to talk the verifier into.
#[test]
fn tokens_that_name_their_own_algorithm_are_not_tokens() {
    let (settings, clock) = (all_kinds(), evening());
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = encode(r#"{"aud":"postlake","exp":9999999999,"sub":"postlake"}"#);
    for algorithm in ["none", "None", "HS256", "RS256"] {
        let header = encode(&format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#));
        for token in [
            format!("{header}.{claims}."),
            format!("{header}.{claims}.{}", encode("signature")),
            format!("postlake_token_{header}.{claims}."),
        ] {
            assert_eq!(bearer(&settings, &clock, &token), Some(LoginFault::Wrong));
        }
    }
    // The right fields, signed by nobody, by an empty key, or by nothing at all.
    let genuine = token(&settings, &clock);
    let bytes = URL_SAFE_NO_PAD
        .decode(genuine.strip_prefix("postlake_token_").unwrap())
        .unwrap();
    for mac in [vec![], vec![0; 32], vec![0; 16], bytes[17..33].to_vec()] {
        let forged = [&bytes[..17], &mac].concat();
        let forged = format!("postlake_token_{}", URL_SAFE_NO_PAD.encode(forged));
        assert_eq!(bearer(&settings, &clock, &forged), Some(LoginFault::Wrong));
    }
    let mut unknown_key = bytes.clone();
    unknown_key[1] ^= 1;
    let forged = format!("postlake_token_{}", URL_SAFE_NO_PAD.encode(unknown_key));
    assert_eq!(bearer(&settings, &clock, &forged), Some(LoginFault::Wrong));
}

#[test]
fn short_and_odd_secrets_are_refused_and_none_is_shown() {
    let sound = "0123456789abcdefghijkl";
    assert_eq!(sound.len(), Secret::LEAST_BYTES);
    assert!(Secret::for_path(sound).is_ok() && Secret::new("0123456789/+=:%&'\"abcde").is_ok());
    assert_eq!(
        Secret::new("").unwrap_err(),
        SecretFault::TooShort { bytes: 0 }
    );
    assert_eq!(
        Secret::new(&sound[1..]).unwrap_err(),
        SecretFault::TooShort { bytes: 21 }
    );
    assert_eq!(
        Secret::new(&sound.repeat(99)).unwrap_err(),
        SecretFault::TooLong { bytes: 2178 }
    );
    assert_eq!(
        Secret::new(&"abcdefg".repeat(9)).unwrap_err(),
        SecretFault::TooUniform
    );
    for odd in [" ", "\n", "\0", "\u{7f}", "\u{e4}"] {
        assert_eq!(
            Secret::new(&format!("{sound}{odd}")).unwrap_err(),
            SecretFault::NotPlain
        );
    }
    for odd in ["/", "%", "?", "#", ":", "+"] {
        assert_eq!(
            Secret::for_path(&format!("{sound}{odd}")).unwrap_err(),
            SecretFault::NotForPath
        );
    }
    let settings = AuthSettings {
        basic: vec![BasicLogin::new("sparkpost", secret("canary")).unwrap()],
        oauth2: vec![client("postlake", "canary")],
        headers: vec![HeaderSecret::new("X-Key", secret("canary")).unwrap()],
        webhook_tokens: vec![secret("canary")],
        alert_secrets: vec![secret("canary")],
        ..AuthSettings::default()
    };
    let shown = format!(
        "{settings:?} {:?} {:?}",
        auth(&settings),
        Config {
            auth: settings.clone(),
            ..Config::default()
        }
    );
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn names_that_cannot_carry_a_secret_are_refused() {
    for name in ["", "sp:ark", "a\nb"] {
        assert!(BasicLogin::new(name, secret("x")).is_none(), "{name}");
    }
    assert!(BasicLogin::without_password("sparkpost").is_err());
    assert!(BasicLogin::without_password("0123456789abcdefghijkl:").is_err());
    for name in ["", "a b", "x:y"] {
        let fault = HeaderSecret::new(name, secret("x")).unwrap_err();
        assert_eq!(
            fault,
            HeaderFault::NotAName {
                name: name.to_owned()
            }
        );
    }
    // Of these the values are stored with the batch, or mean something to HTTP.
    for name in [
        "User-Agent",
        "content-type",
        "X-MessageSystems-Batch-ID",
        "Host",
        "Cookie",
    ] {
        let fault = HeaderSecret::new(name, secret("x")).unwrap_err();
        assert_eq!(
            fault,
            HeaderFault::Taken {
                name: name.to_owned()
            }
        );
    }
}

#[test]
fn challenges_name_what_is_configured() {
    let texts = |settings: AuthSettings, fault| -> Vec<String> {
        let challenges = auth(&settings).challenges(fault);
        challenges
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    };
    let both = texts(all_kinds(), LoginFault::Absent);
    assert_eq!(
        both,
        [
            "Bearer realm=\"postlake\"",
            "Basic realm=\"postlake\", charset=\"UTF-8\""
        ]
    );
    let expired = texts(all_kinds(), LoginFault::Expired);
    assert!(
        expired[0].contains("error=\"invalid_token\", error_description=\"the token has expired\"")
    );
    let header = AuthSettings {
        webhook_tokens: vec![secret("x")],
        ..AuthSettings::default()
    };
    assert_eq!(
        texts(header, LoginFault::Wrong),
        ["Secret realm=\"postlake\""]
    );
}

#[test]
fn an_allow_list_is_a_second_factor() {
    let settings = AuthSettings {
        allow: AllowSettings {
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            ..AllowSettings::default()
        },
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        ..all_kinds()
    };
    let auth = auth(&settings);
    let key = text(&secret("key-a")).to_owned();
    let from = |peer: &str, headers: &[(&str, &str)]| {
        let mut head = head(headers);
        let peer: SocketAddr = format!("{peer}:99").parse().unwrap();
        head.extensions.insert(ConnectInfo(peer));
        auth.check(&head)
    };
    let right = ("x-postlake-key", key.as_str());
    assert_eq!(from("192.0.2.1", &[right]), Ok(()));
    assert_eq!(from("203.0.113.1", &[right]), Err(Denied::Address));
    let forwarded = ("x-forwarded-for", "192.0.2.7");
    assert_eq!(
        from("203.0.113.1", &[right, forwarded]),
        Err(Denied::Address)
    );
    assert_eq!(from("10.1.2.3", &[right, forwarded]), Ok(()));
    assert_eq!(from("10.1.2.3", &[right]), Err(Denied::Address));
    let missing = from("192.0.2.1", &[]).unwrap_err();
    assert!(matches!(
        missing,
        Denied::Credentials {
            fault: LoginFault::Absent,
            ..
        }
    ));
    // Without a known peer nothing is on a list.
    assert_eq!(auth.check(&head(&[right])), Err(Denied::Address));
}

async fn server(settings: AuthSettings) -> (Arc<Gate>, Server) {
    let gate = Gate::open();
    let config = Config {
        auth: settings,
        ..Config::default()
    };
    let server = Server::start(&gate, config).await;
    (gate, server)
}

#[tokio::test]
async fn credentials_are_checked_before_the_body_is_read() {
    let (gate, server) = server(all_kinds()).await;
    for path in ["/webhooks/events", "/webhooks/alerts"] {
        // The body never comes: the answer does not wait for it.
        let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
        let answer = server.exchange(request).await;
        assert_eq!(status(&answer), 401, "{answer}");
        assert!(
            answer.contains("www-authenticate: Bearer realm=\"postlake\"\r\n"),
            "{answer}"
        );
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert!(answer.contains("\"code\":\"unauthorized\""), "{answer}");
        let key = format!("X-Postlake-Key: {}\r\n", text(&secret("key-a")));
        assert_eq!(status(&server.exchange(post(path, &key, "[]")).await), 200);
    }
    assert_eq!(batches(&gate.raw()).await.len(), 2);
    let refused = server.receiver.counters().refused;
    assert!(refused.contains(&("unauthorized", 2)), "{refused:?}");
}

/// Everything of an answer but its date.
fn undated(answer: &str) -> Vec<&str> {
    answer
        .lines()
        .filter(|line| !line.starts_with("date:"))
        .collect()
}

#[tokio::test]
async fn a_wrong_alert_path_answers_as_any_unknown_path() {
    let (gate, server) = server(all_kinds()).await;
    let right = format!("/webhooks/alerts/{}", text(&secret("alert-a")));
    let answer = server
        .exchange(post(&right, "", r#"[{"alert_id":1}]"#))
        .await;
    assert_eq!(status(&answer), 200, "{answer}");
    let unknown = server.exchange(post("/webhooks/nowhere", "", "[]")).await;
    assert_eq!(status(&unknown), 404);
    let wrong = format!("/webhooks/alerts/{}", text(&secret("alert-c")));
    let escaped = right.replace('-', "%2D");
    for path in [
        wrong.as_str(),
        &escaped,
        &format!("{right}/"),
        &right[..right.len() - 1],
    ] {
        let answer = server.exchange(post(path, "", "[]")).await;
        assert_eq!(undated(&answer), undated(&unknown), "{path}");
    }
    // The right path with another method is unknown too, where a known path says 405.
    let unknown_get = server
        .exchange("GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let request = format!("{method} {right} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(
            undated(&server.exchange(request).await),
            undated(&unknown_get)
        );
    }
    // Without its secret the path of alerts is closed, since alerts carry no credentials.
    assert_eq!(status(&server.post("/webhooks/alerts", "[]").await), 401);
    assert_eq!(batches(&gate.raw()).await.len(), 1);
}

#[tokio::test]
async fn wrong_logins_are_slowed_and_right_ones_from_the_same_address_never() {
    let settings = all_kinds();
    let auth = Arc::new(auth(&settings));
    let peer: SocketAddr = "192.0.2.1:7".parse().unwrap();
    let wrong = |headers: &[(&str, &str)]| {
        let mut head = head(headers);
        head.extensions.insert(ConnectInfo(peer));
        auth.check(&head).unwrap_err()
    };
    let guess = wrong(&[("x-postlake-key", "guess")]);
    for _ in 0..5 {
        assert_eq!(auth.slow_down(&guess).now_or_never(), Some(()));
    }
    assert_eq!(
        auth.slow_down(&guess).now_or_never(),
        None,
        "the sixth is held back"
    );
    // No credentials at all, and a token that has expired, are no guesses.
    assert_eq!(auth.slow_down(&wrong(&[])).now_or_never(), Some(()));
    let clock = evening();
    let token = token(&settings, &clock);
    clock.advance(TimeDelta::hours(2));
    assert_eq!(bearer(&settings, &clock, &token), Some(LoginFault::Expired));
    // A right credential is not even counted: checking takes no time of the clock.
    let key = text(&secret("key-a")).to_owned();
    let mut right = head(&[("x-postlake-key", &key)]);
    right.extensions.insert(ConnectInfo(peer));
    assert_eq!(auth.check(&right), Ok(()));
}

#[tokio::test]
async fn senders_get_through_while_somebody_guesses_from_their_address() {
    let (gate, server) = server(all_kinds()).await;
    let server = Arc::new(server);
    let guesses: Vec<_> = (0..9)
        .map(|number| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let key = format!("X-Postlake-Key: guess-{number}\r\n");
                status(&server.exchange(post("/webhooks/events", &key, "[]")).await)
            })
        })
        .collect();
    let key = format!("X-Postlake-Key: {}\r\n", text(&secret("key-b")));
    for _ in 0..20 {
        let answer = server.exchange(post("/webhooks/events", &key, "[]")).await;
        assert_eq!(status(&answer), 200);
    }
    for guess in guesses {
        assert_eq!(crate::gate::within(guess).await.unwrap(), 401);
    }
    assert_eq!(batches(&gate.raw()).await.len(), 20);
}

#[tokio::test]
async fn a_rotation_loses_no_batch() {
    let before = AuthSettings {
        headers: vec![HeaderSecret::new("X-Key", secret("old")).unwrap()],
        ..AuthSettings::default()
    };
    let during = AuthSettings {
        headers: vec![
            HeaderSecret::new("X-Key", secret("old")).unwrap(),
            HeaderSecret::new("X-Key", secret("new")).unwrap(),
        ],
        ..AuthSettings::default()
    };
    let after = AuthSettings {
        headers: vec![HeaderSecret::new("X-Key", secret("new")).unwrap()],
        ..AuthSettings::default()
    };
    // The receiver is restarted for each step; what the sender's form says changes in the middle.
    for (settings, accepted) in [
        (before, [("old", 200), ("new", 401)]),
        (during, [("old", 200), ("new", 200)]),
        (after, [("old", 401), ("new", 200)]),
    ] {
        let (_gate, server) = server(settings).await;
        for (name, expected) in accepted {
            let key = format!("X-Key: {}\r\n", text(&secret(name)));
            let answer = server.exchange(post("/webhooks/events", &key, "[]")).await;
            assert_eq!(status(&answer), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn an_address_that_is_not_listed_gets_403_whatever_it_brings() {
    let settings = AuthSettings {
        allow: AllowSettings {
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            ..AllowSettings::default()
        },
        ..all_kinds()
    };
    let (gate, server) = server(settings).await;
    let key = format!("X-Postlake-Key: {}\r\n", text(&secret("key-a")));
    let answer = server.exchange(post("/webhooks/events", &key, "[]")).await;
    assert_eq!(status(&answer), 403, "{answer}");
    assert!(
        answer.contains("\"code\":\"address_not_allowed\""),
        "{answer}"
    );
    // Nobody says where alerts come from: their secret path is not behind the list.
    let path = format!("/webhooks/alerts/{}", text(&secret("alert-a")));
    assert_eq!(status(&server.post(&path, "[]").await), 200);
    assert_eq!(batches(&gate.raw()).await.len(), 1);
}

/// The server notes the other end of each connection on its requests.
#[tokio::test]
async fn the_address_of_the_connection_reaches_the_allow_list() {
    let settings = AuthSettings {
        allow: AllowSettings {
            networks: vec!["127.0.0.0/8".parse().unwrap()],
            ..AllowSettings::default()
        },
        ..all_kinds()
    };
    let (_gate, server) = server(settings).await;
    let key = format!("X-Postlake-Key: {}\r\n", text(&secret("key-a")));
    let answer = server.exchange(post("/webhooks/events", &key, "[]")).await;
    assert_eq!(status(&answer), 200, "{answer}");
}

#[tokio::test]
async fn a_request_without_a_known_peer_is_checked_all_the_same() {
    use tower::ServiceExt as _;
    let gate = Gate::open();
    let config = Config {
        auth: all_kinds(),
        ..Config::default()
    };
    let router = crate::router(crate::gate::receiver(&gate, config));
    let request = Request::post("/webhooks/events")
        .body(Body::from("[]"))
        .unwrap();
    assert_eq!(router.oneshot(request).await.unwrap().status(), 401);
}
