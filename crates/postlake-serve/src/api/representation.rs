//! How rows travel: format by suffix or `Accept`, entity tags, the envelope of JSON lists.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::problem::Problem;
use crate::format::{self, Format};
use crate::source::Versions;
use crate::sql::SqlError;

/// Says on every list whether rows were cut off, in formats that have no room for it themselves.
const TRUNCATED: HeaderName = HeaderName::from_static("postlake-truncated");

/// The format that a request asks for: its path's suffix first, then the first of `Accept` that we
/// have, else JSON.
pub(super) fn requested(path: &str, headers: &HeaderMap) -> Format {
    split_suffix(path).1.unwrap_or_else(|| accepted(headers))
}

/// A path's last part without the suffix of a format, and the format.
pub(super) fn split_suffix(path: &str) -> (&str, Option<Format>) {
    match path.rsplit_once('.') {
        Some((stem, suffix)) => match suffix.parse() {
            Ok(Format::Table) | Err(_) => (path, None),
            Ok(format) => (stem, Some(format)),
        },
        None => (path, None),
    }
}

fn accepted(headers: &HeaderMap) -> Format {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accept
        .split(',')
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .find_map(|media_type| match media_type {
            "text/csv" => Some(Format::Csv),
            "application/json" => Some(Format::Json),
            "application/x-ndjson" | "application/ndjson" => Some(Format::Ndjson),
            "application/vnd.apache.parquet" => Some(Format::Parquet),
            _ => None,
        })
        .unwrap_or(Format::Json)
}

/// A strong entity tag over everything that an answer depends on.
pub(crate) fn etag(parts: &[&str]) -> HeaderValue {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hex::encode(hash.finalize());
    let short: String = digest.chars().take(32).collect();
    HeaderValue::from_str(&format!("\"{short}\"")).expect("hexadecimal digits make a header value")
}

/// Whether the caller holds the entity already.
pub(super) fn is_held(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag.as_bytes() == etag.as_bytes())
}

/// The answer to a caller who holds the entity already.
pub(super) fn not_modified(etag: HeaderValue) -> Response {
    tagged(StatusCode::NOT_MODIFIED.into_response(), etag)
}

/// The answer with its tag; caches may keep it but must ask before they use it.
pub(super) fn tagged(mut response: Response, etag: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Rows on their way out, with what a JSON answer says about them.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) schema: SchemaRef,
    pub(super) batches: Vec<RecordBatch>,
    /// Scale of the scores, where the rows have one.
    pub(super) scale: Option<&'static str>,
    pub(super) truncated: bool,
    /// Path of the next page.
    pub(super) next: Option<String>,
    pub(super) versions: Versions,
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<&'static str>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    versions: Versions,
    data: Box<RawValue>,
}

impl Listing {
    /// The listing of one batch, cut to `limit` rows.
    pub(super) fn cut(batch: RecordBatch, limit: usize, versions: Versions) -> Listing {
        let truncated = batch.num_rows() > limit;
        let kept = batch.slice(0, batch.num_rows().min(limit));
        Listing {
            schema: kept.schema(),
            batches: vec![kept],
            scale: None,
            truncated,
            next: None,
            versions,
        }
    }

    /// The answer in `format`.
    pub(super) fn respond(self, format: Format) -> Result<Response, Problem> {
        let mut body = Vec::new();
        format::write(&self.schema, &self.batches, format, &mut body).map_err(own_fault)?;
        if format == Format::Json {
            body = self.enveloped(body)?;
        }
        let mut response = with_media_type(body, format);
        let headers = response.headers_mut();
        headers.insert(
            TRUNCATED,
            HeaderValue::from_static(if self.truncated { "true" } else { "false" }),
        );
        if let Some(next) = &self.next {
            let link = format!("<{next}>; rel=\"next\"");
            if let Ok(link) = HeaderValue::from_str(&link) {
                headers.insert(header::LINK, link);
            }
        }
        Ok(response)
    }

    fn enveloped(&self, rows: Vec<u8>) -> Result<Vec<u8>, Problem> {
        let envelope = Envelope {
            scale: self.scale,
            truncated: self.truncated,
            next: self.next.as_deref(),
            versions: self.versions,
            data: raw_json(rows)?,
        };
        serde_json::to_vec(&envelope).map_err(own_fault)
    }
}

/// JSON that is passed on as it is, its key order kept.
pub(super) fn raw_json(json: Vec<u8>) -> Result<Box<RawValue>, Problem> {
    let mut text = String::from_utf8(json).map_err(own_fault)?;
    text.truncate(text.trim_end().len());
    RawValue::from_string(text).map_err(own_fault)
}

fn with_media_type(body: Vec<u8>, format: Format) -> Response {
    let media_type = HeaderValue::from_static(format.media_type());
    ([(header::CONTENT_TYPE, media_type)], Bytes::from(body)).into_response()
}

fn own_fault(error: impl std::error::Error + Send + Sync + 'static) -> Problem {
    SqlError::internal("cannot write the answer", error).into()
}
