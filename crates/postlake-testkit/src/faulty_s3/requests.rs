//! One request: read, decide, answer.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, StatusCode, header};
use tokio::time::sleep;

use super::answers::{self, Answer};
use super::faults::{CredentialFault, Dice};
use super::line::Hand;
use super::{BUCKET, State};

/// Largest body taken.
const MAX_BODY_BYTES: usize = 512 << 20;
/// Names in one answer to a listing.
const LIST_LIMIT: usize = 1000;

pub(super) async fn answer(
    state: Arc<State>,
    hand: Arc<Hand>,
    request: Request<Incoming>,
) -> io::Result<Answer> {
    let dice = state.dice();
    let (head, body) = request.into_parts();
    let is_put = head.method == Method::PUT;
    {
        let counted = &mut state.objects.lock().unwrap().counted;
        counted.requests += 1;
        counted.puts += u64::from(is_put);
    }
    if dice.reset {
        return cut(&state, &hand);
    }
    let body = read(body).await?;
    sleep(dice.wait + dice.transfer(body.len())).await;
    if let Some(refusal) = refusal(&dice) {
        state.objects.lock().unwrap().counted.failed += 1;
        return Ok(refusal);
    }
    let answer = respond(&state, &head, body, &dice);
    let stored = is_put && answer.status() == StatusCode::OK;
    sleep(dice.stored_wait).await;
    if stored && dice.lost_answer {
        return cut(&state, &hand);
    }
    Ok(closing(answer, &dice, &hand))
}

/// Ends the connection without an answer.
fn cut(state: &State, hand: &Hand) -> io::Result<Answer> {
    state.objects.lock().unwrap().counted.failed += 1;
    hand.reset();
    Err(io::ErrorKind::ConnectionReset.into())
}

fn closing(mut answer: Answer, dice: &Dice, hand: &Hand) -> Answer {
    if dice.slow_close {
        hand.close_late();
        let close = header::HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    answer
}

async fn read(mut body: Incoming) -> io::Result<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(&data);
        }
        if whole.len() > MAX_BODY_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
    Ok(whole.freeze())
}

fn refusal(dice: &Dice) -> Option<Answer> {
    match dice.credentials {
        Some(CredentialFault::Expired) => return Some(answers::error(400, "ExpiredToken")),
        Some(CredentialFault::ExpiredForbidden) => {
            return Some(answers::error(403, "ExpiredToken"));
        }
        Some(CredentialFault::ClockSkew) => {
            return Some(answers::error(403, "RequestTimeTooSkewed"));
        }
        None => {}
    }
    if dice.unavailable {
        return Some(answers::error(503, "SlowDown"));
    }
    dice.throttled
        .then(|| answers::error(429, "TooManyRequests"))
}

fn respond(state: &State, head: &Parts, body: Bytes, dice: &Dice) -> Answer {
    let mut objects = state.objects.lock().unwrap();
    let path = decoded(head.uri.path());
    let Some(key) = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(BUCKET))
    else {
        return answers::error(404, "NoSuchBucket");
    };
    let key = key.trim_start_matches('/');
    let query = Query::of(head.uri.query().unwrap_or_default());
    match head.method {
        Method::PUT => put(&mut objects, head, key, body, dice),
        Method::GET if key.is_empty() => {
            let after = query.get("continuation-token").or(query.get("start-after"));
            let listing = objects.list(
                query.get("prefix").unwrap_or_default(),
                query.get("delimiter"),
                after.unwrap_or_default(),
                LIST_LIMIT,
                dice.stale_listing,
            );
            answers::listing(&listing)
        }
        Method::GET => match objects.get(key) {
            Some(bytes) => {
                objects.counted.failed += u64::from(dice.truncated);
                answers::object(&bytes, range(&head.headers, bytes.len()), dice.truncated)
            }
            None => answers::error(404, "NoSuchKey"),
        },
        Method::HEAD => match objects.get(key) {
            Some(bytes) => answers::head(&bytes),
            None => answers::empty(StatusCode::NOT_FOUND),
        },
        Method::DELETE => {
            objects.delete(key);
            answers::empty(StatusCode::NO_CONTENT)
        }
        Method::POST if query.get("delete").is_some() => {
            let keys = keys_of(&body);
            keys.iter().for_each(|key| objects.delete(key));
            answers::deleted(&keys)
        }
        _ => answers::error(405, "MethodNotAllowed"),
    }
}

fn put(
    objects: &mut super::objects::Objects,
    head: &Parts,
    key: &str,
    body: Bytes,
    dice: &Dice,
) -> Answer {
    let create_only = head.headers.contains_key(header::IF_NONE_MATCH);
    if create_only && dice.conflict {
        objects.counted.failed += 1;
        return answers::error(409, "ConditionalRequestConflict");
    }
    if !objects.put(key, body, create_only) {
        return answers::error(412, "PreconditionFailed");
    }
    if !dice.lost_answer {
        objects.acknowledge(key);
    }
    answers::stored()
}

/// The part of an object that is asked for, if only a part is.
fn range(headers: &HeaderMap, length: usize) -> Option<(usize, usize)> {
    let range = headers.get(header::RANGE)?.to_str().ok()?;
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    let start: usize = start.parse().ok()?;
    let end = end.parse::<usize>().map_or(length, |last| last + 1);
    Some((start.min(length), end.min(length)))
}

/// The names in the body of a bulk delete.
fn keys_of(body: &Bytes) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let after = text.split("<Key>").skip(1);
    after
        .filter_map(|rest| rest.split_once("</Key>"))
        .map(|(key, _)| {
            key.replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&")
        })
        .collect()
}

/// The parameters of a request.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(text: &str) -> Query {
        let pairs = text.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(&value.replace('+', " ")))
        });
        Query(pairs.collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// `%41` is `A`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail
            .get(..2)
            .and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
