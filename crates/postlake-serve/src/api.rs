//! The JSON API under `/api/v1`.
//!
//! Every list can be had as JSON, CSV, NDJSON and Parquet, by suffix or by `Accept`. Errors are
//! `application/problem+json`. An unknown query parameter is an error, never ignored.

mod health_scores;
mod ledger;
mod lists;
mod parameters;
mod problem;
mod query;
mod representation;
mod summary;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};

pub(crate) use problem::Problem;
pub(crate) use representation::etag;

use crate::state::ServeState;

/// The routes with their full paths, so that handlers and links see the path of the request.
pub(crate) fn routes() -> Router<ServeState> {
    let mut routes = Router::new()
        .route(
            "/api/v1/health-scores/{subaccount_id}",
            get(health_scores::history),
        )
        .route("/api/v1/summary", get(summary::whole))
        .route("/api/v1/summary.json", get(summary::whole))
        .route("/api/v1/summary/{table}", get(summary::table))
        .route("/api/v1/query", post(query::ask));
    for suffix in ["", ".json", ".csv", ".ndjson", ".parquet"] {
        routes = routes
            .route(
                &format!("/api/v1/health-scores{suffix}"),
                get(health_scores::latest),
            )
            .route(&format!("/api/v1/batches{suffix}"), get(lists::batches))
            .route(&format!("/api/v1/ledger{suffix}"), get(ledger::hours))
            .route(
                &format!("/api/v1/quarantine{suffix}"),
                get(lists::quarantine),
            );
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
