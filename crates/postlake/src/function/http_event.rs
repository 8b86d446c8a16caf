//! HTTP requests as AWS hands them to functions: of a load balancer, of an API gateway in its first
//! and its second form, and of a function URL, which has the second.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Our answers are short.
const MOST_ANSWER_BYTES: usize = 1024 * 1024;

/// Who hands the request over; the answer's form follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// A load balancer; with lists of values if its target group says so.
    LoadBalancer { lists: bool },
    /// An API gateway, first form.
    RestApi,
    /// An API gateway, second form, or a function URL.
    HttpApi,
}

/// Why an event is no request.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRequest {
    #[error("the event is not the json of a request")]
    Json(#[source] serde_json::Error),
    #[error("the event is not a request of a load balancer, an api gateway or a function url")]
    Door,
    #[error("the event's method or path is none")]
    Line(#[source] axum::http::Error),
    #[error("the event's body is not base64 as it says")]
    Base64(#[source] base64::DecodeError),
}

/// A list that may be missing or null, as may its values.
type Values<T> = Option<BTreeMap<String, Option<T>>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    http_method: Option<String>,
    path: Option<String>,
    raw_path: Option<String>,
    headers: Values<String>,
    multi_value_headers: Values<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
    request_context: Option<Context>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Context {
    elb: Option<Value>,
    http: Option<Http>,
    identity: Option<Identity>,
    stage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: String,
    source_ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    source_ip: Option<String>,
}

/// The request in an event. Its sender's address stands in its extensions, as the door knows it.
pub(super) fn request(event: &[u8]) -> Result<(Door, Request), NoRequest> {
    let event: Event = serde_json::from_slice(event).map_err(NoRequest::Json)?;
    let context = event.request_context.unwrap_or_default();
    let headers = headers(event.headers, event.multi_value_headers.as_ref());
    let (door, method, path, peer) = match (context.elb, context.http, event.http_method) {
        (Some(_), _, Some(method)) => {
            let lists = event.multi_value_headers.is_some();
            let peer = last_forwarded(&headers);
            (Door::LoadBalancer { lists }, method, event.path, peer)
        }
        (_, Some(http), _) => {
            let path = event
                .raw_path
                .map(|path| without_stage(path, context.stage));
            let peer = http.source_ip.and_then(|text| address(&text));
            (Door::HttpApi, http.method, path, peer)
        }
        (None, None, Some(method)) => {
            let source = context.identity.and_then(|identity| identity.source_ip);
            let peer = source.and_then(|text| address(&text));
            (Door::RestApi, method, event.path, peer)
        }
        _ => return Err(NoRequest::Door),
    };
    let body = event.body.unwrap_or_default();
    let body = match event.is_base64_encoded {
        Some(true) => STANDARD.decode(body).map_err(NoRequest::Base64)?,
        _ => body.into_bytes(),
    };
    let line = Request::builder()
        .method(
            Method::from_bytes(method.as_bytes()).map_err(|error| NoRequest::Line(error.into()))?,
        )
        .uri(
            Uri::try_from(path.unwrap_or_default())
                .map_err(|error| NoRequest::Line(error.into()))?,
        );
    let mut request = line.body(Body::from(body)).map_err(NoRequest::Line)?;
    *request.headers_mut() = headers;
    if let Some(peer) = peer {
        let peer = ConnectInfo(SocketAddr::new(peer, 0));
        request.extensions_mut().insert(peer);
    }
    Ok((door, request))
}

/// Lists of values where there are some; a header that none can be is left out.
fn headers(
    single: Values<String>,
    lists: Option<&BTreeMap<String, Option<Vec<String>>>>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    };
    match lists {
        Some(lists) => {
            for (name, values) in lists {
                for value in values.iter().flatten() {
                    add(name, value);
                }
            }
        }
        None => {
            for (name, value) in single.into_iter().flatten() {
                add(&name, &value.unwrap_or_default());
            }
        }
    }
    headers
}

/// What the load balancer itself has put at the end.
fn last_forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    address(last.to_str().ok()?.rsplit(',').next()?.trim())
}

/// With a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let alone = text.parse().ok();
    alone.or_else(|| text.parse::<SocketAddr>().ok().map(|both| both.ip()))
}

/// A stage that is not the default one stands before the path.
fn without_stage(path: String, stage: Option<String>) -> String {
    let stage = stage.filter(|stage| stage != "$default");
    let rest = stage.and_then(|stage| path.strip_prefix(&format!("/{stage}")).map(str::to_owned));
    match rest {
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// The answer in the form of the door.
pub(super) async fn answer(door: Door, response: Response) -> Result<Vec<u8>, axum::Error> {
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MOST_ANSWER_BYTES).await?;
    let body = String::from_utf8_lossy(&body);
    let lists = !matches!(door, Door::HttpApi | Door::LoadBalancer { lists: false });
    let name = if lists {
        "multiValueHeaders"
    } else {
        "headers"
    };
    let mut answer = json!({
        "statusCode": head.status.as_u16(),
        "isBase64Encoded": false,
        "body": body,
        name: headers_of(&head.headers, lists),
    });
    if matches!(door, Door::LoadBalancer { .. })
        && let Some(answer) = answer.as_object_mut()
    {
        let description = description(head.status);
        answer.insert("statusDescription".to_owned(), json!(description));
    }
    Ok(answer.to_string().into_bytes())
}

fn description(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or("Unknown");
    format!("{} {reason}", status.as_u16())
}

fn headers_of(headers: &HeaderMap, lists: bool) -> Map<String, Value> {
    let ours = headers.keys().filter(|name| {
        // The door writes these itself.
        ![header::CONTENT_LENGTH, header::CONNECTION].contains(name)
    });
    ours.map(|name| {
        let values = headers.get_all(name).iter();
        let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
        let value = match lists {
            true => json!(values),
            false => json!(values.join(", ")),
        };
        (name.to_string(), value)
    })
    .collect()
}

#[cfg(test)]
mod tests;
