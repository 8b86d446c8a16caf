//! The JSON API under `/api/v1`.
//!
//! Every list can be had as JSON, CSV, NDJSON and Parquet, by suffix or by `Accept`. Errors are
//! `application/problem+json`. An unknown query parameter is an error, never ignored.

mod cursor;
mod endpoint;
mod health_scores;
mod ledger;
mod lists;
mod openapi;
mod parameters;
mod problem;
mod query;
mod representation;
mod summary;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};

use endpoint::{Endpoint, Formats, Method};
pub(crate) use problem::Problem;
pub(crate) use representation::etag;

use crate::state::ServeState;

/// All endpoints. What is here has routes and is in the document, and nothing else is.
const ENDPOINTS: [Endpoint; 9] = [
    Endpoint {
        path: "/api/v1/summary",
        method: Method::Get,
        id: "summary",
        about: "Totals, books, bounces, arrivals: all that the page shows but scores",
        formats: Formats::Json,
        parameters: &[],
        answer: "Summary",
        problems: READING,
        is_tagged: true,
        route: || get(summary::whole),
    },
    Endpoint {
        path: "/api/v1/summary/{table}",
        method: Method::Get,
        id: "summaryTable",
        about: "One table of the summary",
        formats: Formats::AllInPart,
        parameters: summary::OF_TABLE,
        answer: "SummaryTable",
        problems: &["no-such-table", "sql-too-large", "sql-timeout", "sql-busy"],
        is_tagged: true,
        route: || get(summary::table),
    },
    Endpoint {
        path: "/api/v1/health-scores",
        method: Method::Get,
        id: "latestHealthScores",
        about: "The latest Health Score of every subject, worst first",
        formats: Formats::All,
        parameters: health_scores::OF_LATEST,
        answer: "LatestHealthScores",
        problems: READING,
        is_tagged: true,
        route: || get(health_scores::latest),
    },
    Endpoint {
        path: "/api/v1/health-scores/{subaccount_id}",
        method: Method::Get,
        id: "healthScoreHistory",
        about: "The Health Scores of one subject, newest first",
        formats: Formats::AllInPart,
        parameters: health_scores::OF_HISTORY,
        answer: "HealthScoreHistory",
        problems: READING,
        is_tagged: true,
        route: || get(health_scores::history),
    },
    Endpoint {
        path: "/api/v1/batches",
        method: Method::Get,
        id: "batches",
        about: "Received batches with their accounts, newest first, page by page",
        formats: Formats::All,
        parameters: lists::OF_BATCHES,
        answer: "Batches",
        problems: READING,
        is_tagged: false,
        route: || get(lists::batches),
    },
    Endpoint {
        path: "/api/v1/quarantine",
        method: Method::Get,
        id: "quarantine",
        about: "Items and bodies that could not be decoded, newest first, page by page",
        formats: Formats::All,
        parameters: lists::OF_QUARANTINE,
        answer: "Quarantine",
        problems: READING,
        is_tagged: false,
        route: || get(lists::quarantine),
    },
    Endpoint {
        path: "/api/v1/ledger",
        method: Method::Get,
        id: "ledger",
        about: "The books by the hour, newest first",
        formats: Formats::All,
        parameters: ledger::OF_LEDGER,
        answer: "Ledger",
        problems: READING,
        is_tagged: true,
        route: || get(ledger::hours),
    },
    Endpoint {
        path: "/api/v1/query",
        method: Method::Post,
        id: "query",
        about: "One reading statement of SQL over the tables and views",
        formats: Formats::AllByAccept,
        parameters: &[],
        answer: "QueryAnswer",
        problems: &[
            "cross-site",
            "not-json",
            "body-too-large",
            "invalid-body",
            "sql-syntax",
            "sql-unknown-name",
            "sql-invalid",
            "sql-forbidden",
            "sql-too-large",
            "sql-timeout",
            "sql-busy",
        ],
        is_tagged: false,
        route: || post(query::ask),
    },
    Endpoint {
        path: "/api/v1/openapi.json",
        method: Method::Get,
        id: "openapi",
        about: "This document",
        formats: Formats::JsonAlone,
        parameters: &[],
        answer: "Document",
        problems: &[],
        is_tagged: true,
        route: || get(openapi::document),
    },
];

/// Problems of what asks the lake.
const READING: &[&str] = &["sql-too-large", "sql-timeout", "sql-busy"];

/// The routes with their full paths, so that handlers and links see the path of the request.
pub(crate) fn routes() -> Router<ServeState> {
    let mut routes = Router::new();
    for endpoint in ENDPOINTS {
        for (suffix, _) in endpoint.formats.suffixes() {
            let path = format!("{}{suffix}", endpoint.path);
            routes = routes.route(&path, (endpoint.route)());
        }
    }
    routes
}

/// The answer for paths that are not ours.
pub(crate) async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no-such-path",
        "there is nothing at this path",
    )
    .with_detail(format!("No resource {}.", uri.path()))
}

/// The answer for a known path and a method it does not have.
pub(crate) async fn wrong_method() -> Problem {
    Problem::method_not_allowed()
}

#[cfg(test)]
mod tests;
