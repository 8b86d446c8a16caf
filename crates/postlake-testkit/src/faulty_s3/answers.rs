//! Answers in the words of S3.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode, header};

use super::objects::Listing;

pub(super) type Answer = Response<BoxBody<Bytes, io::Error>>;

/// Every object is as old as this; nothing looks at it.
const DATE: &str = "Fri, 02 Jan 2026 03:04:05 GMT";
const TIME: &str = "2026-01-02T03:04:05.000Z";

const BEFORE_THE_BREAK: Duration = Duration::from_millis(5);

pub(super) fn empty(status: StatusCode) -> Answer {
    with_body(status, Bytes::new())
}

pub(super) fn stored() -> Answer {
    let mut answer = empty(StatusCode::OK);
    let tag = header::HeaderValue::from_static("\"tag\"");
    answer.headers_mut().insert(header::ETAG, tag);
    answer
}

/// `<Error>` with a code of S3.
pub(super) fn error(status: u16, code: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>on command</Message></Error>"
    );
    let status = StatusCode::from_u16(status).unwrap();
    with_body(status, Bytes::from(text))
}

/// An object, or the part of it from `start` to before `end`; broken off in the middle when `truncated`.
pub(super) fn object(bytes: &Bytes, part: Option<(usize, usize)>, truncated: bool) -> Answer {
    let (start, end) = part.unwrap_or((0, bytes.len()));
    let body = bytes.slice(start..end);
    let mut answer = Response::builder()
        .header(header::LAST_MODIFIED, DATE)
        .header(header::ETAG, "\"tag\"")
        .header(header::CONTENT_LENGTH, body.len());
    if part.is_some() {
        let range = format!("bytes {start}-{}/{}", end.saturating_sub(1), bytes.len());
        answer = answer
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, range);
    }
    if truncated {
        let half = Ok(Frame::data(body.slice(..body.len() / 2)));
        let broken = async {
            // Or hyper would never have sent the half.
            tokio::time::sleep(BEFORE_THE_BREAK).await;
            Err(io::ErrorKind::ConnectionReset.into())
        };
        let frames = stream::once(async { half }).chain(stream::once(broken));
        return answer
            .body(BodyExt::boxed(StreamBody::new(frames)))
            .unwrap();
    }
    answer.body(full(body)).unwrap()
}

/// What HEAD says of an object.
pub(super) fn head(bytes: &Bytes) -> Answer {
    Response::builder()
        .header(header::LAST_MODIFIED, DATE)
        .header(header::ETAG, "\"tag\"")
        .header(header::CONTENT_LENGTH, bytes.len())
        .body(full(Bytes::new()))
        .unwrap()
}

pub(super) fn listing(listing: &Listing) -> Answer {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
    );
    for (key, bytes) in &listing.objects {
        let key = escaped(key);
        text.push_str(&format!(
            "<Contents><Key>{key}</Key><LastModified>{TIME}</LastModified><ETag>\"tag\"</ETag><Size>{bytes}</Size></Contents>"
        ));
    }
    for folder in &listing.folders {
        let folder = escaped(folder);
        text.push_str(&format!(
            "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
        ));
    }
    if let Some(after) = &listing.more_after {
        let after = escaped(after);
        text.push_str(&format!(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{after}</NextContinuationToken>"
        ));
    }
    text.push_str("</ListBucketResult>");
    with_body(StatusCode::OK, Bytes::from(text))
}

/// The bulk delete, done in silence.
pub(super) fn deleted(keys: &[String]) -> Answer {
    let done = keys
        .iter()
        .map(|key| format!("<Deleted><Key>{}</Key></Deleted>", escaped(key)));
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><DeleteResult>{}</DeleteResult>",
        done.collect::<String>()
    );
    with_body(StatusCode::OK, Bytes::from(text))
}

fn with_body(status: StatusCode, body: Bytes) -> Answer {
    Response::builder().status(status).body(full(body)).unwrap()
}

fn full(body: Bytes) -> BoxBody<Bytes, io::Error> {
    Full::new(body)
        .map_err(|never: Infallible| match never {})
        .boxed()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
