//! The page at `/`: is data arriving, is anything stuck, how healthy is the mail, what bounced and why.

mod chart;
mod view;
mod words;

use std::collections::HashMap;

use askama::Template as _;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use chrono::NaiveDate;

use crate::api::{Problem, etag};
use crate::scores::{self, ScoreRow, TrendPoint};
use crate::server::ServeState;
use crate::sql::{SqlEngine, SqlError, rows};
use crate::summary::{self, Summary};
use view::{Overview, Trouble};

const STYLE: &str = include_str!("../assets/postlake.css");
const ICON: &str = include_str!("../assets/icon.svg");

/// Everything that the page shows of one moment of the lake.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) summary: Summary,
    scores: Vec<ScoreRow>,
    trends: HashMap<Subject, Vec<(NaiveDate, f64)>>,
}

/// Subaccount, facet name, facet value.
type Subject = (Option<i64>, Option<String>, Option<String>);

impl Look {
    /// Takes one moment of the lake and asks it everything.
    pub(crate) async fn take(engine: &SqlEngine) -> Result<Look, SqlError> {
        let (reader, summary) = summary::take(engine).await?;
        let scores = rows(&scores::latest_batch(&reader).await?)?;
        let mut trends: HashMap<Subject, Vec<(NaiveDate, f64)>> = HashMap::new();
        for point in scores::trends(&reader).await? {
            let TrendPoint {
                subaccount_id,
                facet_name,
                facet_value,
                day,
                score,
            } = point;
            trends
                .entry((subaccount_id, facet_name, facet_value))
                .or_default()
                .push((day, score));
        }
        Ok(Look {
            summary,
            scores,
            trends,
        })
    }
}

/// The page. `?refresh=off` leaves out that it reloads itself.
pub(crate) async fn overview(State(state): State<ServeState>, uri: Uri) -> Response {
    let refreshing = uri.query() != Some("refresh=off");
    let html = match state.look().await {
        Ok(look) => Overview::of(&look, &state.config().ingest_url, state.now(), refreshing)
            .render()
            .map(|html| (StatusCode::OK, html)),
        Err(error) => {
            let problem = Problem::from(error);
            Trouble::new(problem.title())
                .render()
                .map(|html| (StatusCode::SERVICE_UNAVAILABLE, html))
        }
    };
    match html {
        Ok((status, html)) => (status, Html(html)).into_response(),
        Err(error) => {
            Problem::from(SqlError::internal("cannot write the page", error)).into_response()
        }
    }
}

/// Style and icon; both are in the program.
pub(crate) fn assets() -> Router<ServeState> {
    Router::new()
        .route(
            "/assets/postlake.css",
            get(|headers: HeaderMap| async move { asset(&headers, "text/css; charset=utf-8", STYLE) }),
        )
        .route(
            "/assets/icon.svg",
            get(|headers: HeaderMap| async move { asset(&headers, "image/svg+xml", ICON) }),
        )
}

fn asset(headers: &HeaderMap, media_type: &'static str, content: &'static str) -> Response {
    let tag = etag(&[content]);
    let held = headers.get(header::IF_NONE_MATCH) == Some(&tag);
    let mut response = if held {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, media_type)], content).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests;
