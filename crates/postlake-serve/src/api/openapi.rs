//! `GET /openapi.json`: the endpoints as an OpenAPI document, made of the list that their routes are made of.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use postlake_event::schema::Table;
use serde_json::{Map, Value, json};

use super::ENDPOINTS;
use super::endpoint::{Endpoint, Kind, Method, Parameter, Place};
use super::parameters::Parameters;
use super::problem::{CODES, COMMON, Problem, TYPE};
use super::representation::{etag, is_held, not_modified, tagged};
use crate::format::Format;
use crate::state::ServeState;

mod rows;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut text = format!("{:#}", described());
    text.push('\n');
    text
});

/// The document.
pub(super) async fn document(
    State(_): State<ServeState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let tag = etag(&["openapi", &DOCUMENT]);
    if is_held(&headers, &tag) {
        return Ok(not_modified(tag));
    }
    let json = HeaderValue::from_static(Format::Json.media_type());
    let response = ([(header::CONTENT_TYPE, json)], DOCUMENT.as_str()).into_response();
    Ok(tagged(response, tag))
}

fn described() -> Value {
    let mut paths = Map::new();
    for endpoint in &ENDPOINTS {
        for (suffix, formats) in endpoint.formats.suffixes() {
            let path = format!("{}{suffix}", endpoint.path);
            paths.insert(path, operation(endpoint, &suffix, &formats));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "postlake",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Reads the lake: Health Scores, batches, quarantine, the books, SQL. Paths and fields are added, \
                            never changed. Errors are application/problem+json with a stable type.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": schemas(), "headers": {
            "truncated": {
                "description": "Whether rows were cut off.", "schema": { "type": "string", "enum": ["true", "false"] },
            },
            "etag": { "description": "Of what the answer depends on.", "schema": { "type": "string" } },
            "link": { "description": "With rel=\"next\", the next page.", "schema": { "type": "string" } },
        }},
    })
}

fn operation(endpoint: &Endpoint, suffix: &str, formats: &[Format]) -> Value {
    let id = match suffix.strip_prefix('.') {
        None => endpoint.id.to_owned(),
        Some(format) => format!("{}As{}", endpoint.id, format.to_uppercase()),
    };
    let mut operation = json!({
        "operationId": id,
        "summary": endpoint.about,
        "parameters": endpoint.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": responses(endpoint, formats),
    });
    let method = match endpoint.method {
        Method::Get => "get",
        Method::Post => {
            rows::set(
                &mut operation,
                "requestBody",
                json!({
                    "required": true,
                    "content": { "application/json": { "schema": reference("Question") } },
                }),
            );
            "post"
        }
    };
    json!({ method: operation })
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Instant => json!({ "type": "string", "format": "date-time" }),
        Kind::Limit { default, most } => {
            json!({ "type": "integer", "minimum": 1, "maximum": most, "default": default })
        }
    };
    let place = match parameter.place {
        Place::Path => "path",
        Place::Query => "query",
    };
    json!({
        "name": parameter.name,
        "in": place,
        "required": parameter.place == Place::Path,
        "description": parameter.about,
        "schema": schema,
    })
}

fn responses(endpoint: &Endpoint, formats: &[Format]) -> Value {
    let mut content = Map::new();
    for format in formats {
        let schema = match format {
            Format::Json => reference(endpoint.answer),
            Format::Parquet => json!({ "type": "string", "format": "binary" }),
            Format::Csv | Format::Ndjson | Format::Table => json!({ "type": "string" }),
        };
        // Without its parameters.
        let media_type = format.media_type().split(';').next().unwrap_or_default();
        content.insert(media_type.to_owned(), json!({ "schema": schema }));
    }
    let mut headers = Map::new();
    let header = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    if formats.contains(&Format::Csv) {
        headers.insert("postlake-truncated".to_owned(), header("truncated"));
        headers.insert("Link".to_owned(), header("link"));
    }
    if endpoint.is_tagged {
        headers.insert("ETag".to_owned(), header("etag"));
    }
    let mut responses = Map::new();
    let ok = json!({ "description": "The answer.", "headers": headers, "content": content });
    responses.insert("200".to_owned(), ok);
    if endpoint.is_tagged {
        let held =
            json!({ "description": "Nothing has changed since the answer with this entity tag." });
        responses.insert("304".to_owned(), held);
    }
    let mut by_status = BTreeMap::<u16, Vec<String>>::new();
    for (code, status) in CODES {
        if COMMON.contains(&code) || endpoint.problems.contains(&code) {
            let types = by_status.entry(status.as_u16()).or_default();
            types.push(format!("{TYPE}{code}"));
        }
    }
    for (status, types) in by_status {
        responses.insert(status.to_string(), problem(&types));
    }
    Value::Object(responses)
}

fn problem(types: &[String]) -> Value {
    let schema = json!({
        "allOf": [reference("Problem"), { "properties": { "type": { "enum": types } } }],
    });
    json!({
        "description": format!("One of: {}.", types.join(", ")),
        "content": { "application/problem+json": { "schema": schema } },
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn schemas() -> Value {
    let of_table = |table: Table| rows::listing(rows::of_schema(&table.schema()), false);
    json!({
        "Summary": rows::summary(),
        "SummaryTable": rows::summary_table(),
        "LatestHealthScores": rows::listing(rows::latest_scores(), true),
        "HealthScoreHistory": rows::listing(rows::score_history(), true),
        "Batches": of_table(Table::Batches),
        "Quarantine": of_table(Table::Quarantine),
        "Ledger": rows::listing(rows::ledger_hour(), false),
        "Versions": rows::versions(),
        "Question": rows::question(),
        "QueryAnswer": rows::query_answer(),
        "Document": { "type": "object", "required": ["openapi", "info", "paths"] },
        "Problem": rows::problem(),
    })
}

#[cfg(test)]
mod tests;
