//! `POST /query`: one reading SQL statement.

use arrow::datatypes::Schema;
use arrow::json::StructMode;
use arrow::json::writer::JsonArray;
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use datafusion::common::ScalarValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::parameters::Parameters;
use super::problem::Problem;
use super::representation::{Listing, raw_json, requested};
use crate::format::{Format, json_builder};
use crate::source::Versions;
use crate::sql::{QueryAnswer, SqlError};
use crate::state::ServeState;

/// The statement may have 64 KiB; the rest is for its parameters.
const MAX_BODY_BYTES: usize = 256 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    sql: String,
    #[serde(default)]
    params: Vec<Value>,
}

#[derive(Serialize)]
struct Answer {
    columns: Vec<Column>,
    rows: Box<RawValue>,
    row_count: usize,
    truncated: bool,
    elapsed_ms: u64,
    versions: Versions,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notices: Vec<String>,
}

#[derive(Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
}

/// Answers `{"sql": ..., "params": [...]}` with columns and rows, or with the rows alone in CSV, NDJSON
/// or Parquet by `Accept`.
pub(super) async fn ask(
    State(state): State<ServeState>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let asked = read(&headers, body).await?;
    let parameters = asked
        .params
        .iter()
        .enumerate()
        .map(|(place, value)| scalar(place, value))
        .collect::<Result<Vec<_>, _>>()?;
    let answer = state.engine().query_with(&asked.sql, parameters).await?;
    match requested("", &headers) {
        Format::Json => as_json(answer),
        format => Listing {
            schema: answer.schema,
            batches: answer.batches,
            scale: None,
            truncated: answer.truncated,
            next: None,
            versions: answer.versions,
        }
        .respond(format),
    }
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Asked, Problem> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if content_type.split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            "the body must be application/json",
        ));
    }
    let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "the body is larger than 256 KiB or was cut off",
        )
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid-body",
            "the body is not of the form {\"sql\": text, \"params\": array}",
        )
        .with_detail(error.to_string())
    })
}

fn scalar(place: usize, value: &Value) -> Result<ScalarValue, Problem> {
    match value {
        Value::Null => Ok(ScalarValue::Null),
        Value::Bool(yes) => Ok(ScalarValue::from(*yes)),
        Value::String(text) => Ok(ScalarValue::from(text.as_str())),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(ScalarValue::from(whole)),
            (None, Some(fraction)) => Ok(ScalarValue::from(fraction)),
            (None, None) => Err(wrong_parameter(place)),
        },
        Value::Array(_) | Value::Object(_) => Err(wrong_parameter(place)),
    }
}

fn wrong_parameter(place: usize) -> Problem {
    Problem::invalid_parameter(
        &format!("params[{place}]"),
        "not a text, a number, a boolean or null",
    )
}

fn as_json(answer: QueryAnswer) -> Result<Response, Problem> {
    let rows = answer.rows();
    let body = Answer {
        columns: columns(&answer.schema),
        rows: raw_json(row_lists(&answer)?)?,
        row_count: rows,
        truncated: answer.truncated,
        elapsed_ms: u64::try_from(answer.elapsed.as_millis()).unwrap_or(u64::MAX),
        versions: answer.versions,
        notices: answer.notices,
    };
    Ok(Json(body).into_response())
}

fn columns(schema: &Schema) -> Vec<Column> {
    schema
        .fields()
        .iter()
        .map(|field| Column {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
        })
        .collect()
}

/// Each row as an array, so that two columns of one name are both there.
fn row_lists(answer: &QueryAnswer) -> Result<Vec<u8>, Problem> {
    let mut json = json_builder()
        .with_struct_mode(StructMode::ListOnly)
        .build::<_, JsonArray>(Vec::new());
    let written = answer
        .batches
        .iter()
        .try_for_each(|batch| json.write(batch))
        .and_then(|()| json.finish());
    written.map_err(|error| SqlError::internal("cannot write the answer", error))?;
    Ok(json.into_inner())
}
