//! The page at `/`: is data arriving, is anything stuck, how healthy is the mail, what bounced and why.

mod chart;
mod hours;
mod view;
mod words;

use askama::Template as _;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;

use crate::api::{Problem, etag};
use crate::sql::SqlError;
use crate::state::ServeState;
use view::{Overview, Trouble};

const STYLE: &str = include_str!("../assets/postlake.css");
const ICON: &str = include_str!("../assets/icon.svg");

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
