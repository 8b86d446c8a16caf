//! Errors as the caller sees them (RFC 9457), and as the log does.

use std::error::Error as _;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::sql::{SqlError, SqlErrorKind};

/// An answer that is not what was asked for. `type` is stable; the words may change.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    invalid_parameters: Vec<InvalidParameter>,
}

/// A parameter that is wrong, and why.
#[derive(Clone, Debug, Serialize)]
struct InvalidParameter {
    name: String,
    reason: String,
}

/// Every problem of the API: the end of its `type`, and its status.
pub(super) const CODES: [(&str, StatusCode); 19] = [
    ("invalid-parameter", StatusCode::BAD_REQUEST),
    ("host-missing", StatusCode::BAD_REQUEST),
    ("host-not-allowed", StatusCode::MISDIRECTED_REQUEST),
    ("cross-site", StatusCode::FORBIDDEN),
    ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED),
    ("no-such-path", StatusCode::NOT_FOUND),
    ("no-such-table", StatusCode::NOT_FOUND),
    ("not-json", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE),
    ("invalid-body", StatusCode::BAD_REQUEST),
    ("sql-syntax", StatusCode::BAD_REQUEST),
    ("sql-unknown-name", StatusCode::BAD_REQUEST),
    ("sql-invalid", StatusCode::BAD_REQUEST),
    ("sql-forbidden", StatusCode::FORBIDDEN),
    ("sql-too-large", StatusCode::PAYLOAD_TOO_LARGE),
    ("sql-timeout", StatusCode::REQUEST_TIMEOUT),
    ("sql-busy", StatusCode::TOO_MANY_REQUESTS),
    ("lake-unavailable", StatusCode::SERVICE_UNAVAILABLE),
    ("internal", StatusCode::INTERNAL_SERVER_ERROR),
];

/// Problems that any endpoint may answer with.
pub(super) const COMMON: [&str; 5] = [
    "invalid-parameter",
    "host-missing",
    "host-not-allowed",
    "lake-unavailable",
    "internal",
];

/// The beginning of every `type`.
pub(super) const TYPE: &str = "urn:postlake:problem:";

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &str, title: &'static str) -> Problem {
        Problem {
            kind: format!("{TYPE}{code}"),
            title,
            status: status.as_u16(),
            detail: None,
            invalid_parameters: Vec::new(),
        }
    }

    pub(crate) fn title(&self) -> &'static str {
        self.title
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Problem {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn invalid_parameter(name: &str, reason: impl Into<String>) -> Problem {
        let mut problem = Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid-parameter",
            "a parameter is not valid",
        );
        problem.invalid_parameters.push(InvalidParameter {
            name: name.to_owned(),
            reason: reason.into(),
        });
        problem
    }

    pub(crate) fn method_not_allowed() -> Problem {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "this path does not have that method",
        )
    }
}

impl From<SqlError> for Problem {
    fn from(error: SqlError) -> Problem {
        let kind = error.kind();
        let (status, title) = match kind {
            SqlErrorKind::Syntax => (StatusCode::BAD_REQUEST, "the text is not valid SQL"),
            SqlErrorKind::Unknown => (
                StatusCode::BAD_REQUEST,
                "the statement names something that does not exist",
            ),
            SqlErrorKind::Invalid => (StatusCode::BAD_REQUEST, "the statement cannot be run"),
            SqlErrorKind::Forbidden => (StatusCode::FORBIDDEN, "the statement is not allowed"),
            SqlErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the query is too large"),
            SqlErrorKind::Timeout => (StatusCode::REQUEST_TIMEOUT, "the query took too long"),
            SqlErrorKind::Busy => (StatusCode::TOO_MANY_REQUESTS, "too many queries at once"),
            SqlErrorKind::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the lake cannot be read now",
            ),
            SqlErrorKind::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the server made a mistake",
            ),
        };
        let problem = Problem::new(status, kind.name(), title);
        if kind.is_users_fault() || kind == SqlErrorKind::Busy {
            problem.with_detail(error.message())
        } else {
            log(&error);
            problem
        }
    }
}

/// The chain of causes goes to the log, once, here.
fn log(error: &SqlError) {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    tracing::error!(error.kind = error.kind().name(), error.causes = ?causes, "{error}");
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
