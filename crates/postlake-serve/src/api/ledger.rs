//! `GET /ledger`: the books by the hour.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::endpoint::{Kind, Parameter};
use super::parameters::Parameters;
use super::problem::Problem;
use super::representation::{Listing, etag, is_held, not_modified, requested, tagged};
use crate::ledger::{Asked, LedgerHour, ledger};
use crate::sql::rows;
use crate::state::ServeState;

/// Of `GET /ledger`.
pub(super) const OF_LEDGER: &[Parameter] = &[
    Parameter::query(
        "since",
        Kind::Instant,
        "Hours of batches received from this moment on; without it a week.",
    ),
    Parameter::query(
        "until",
        Kind::Instant,
        "Hours of batches received before this moment.",
    ),
    Parameter::query(
        "limit",
        // A week, and a year and more.
        Kind::Limit {
            default: 168,
            most: 10_000,
        },
        "Hours at most, the newest first.",
    ),
];

/// The hours, newest first.
pub(super) async fn hours(
    State(state): State<ServeState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(&uri, OF_LEDGER)?;
    let limit = parameters.limit()?;
    let asked = Asked {
        since: parameters.instant("since")?,
        until: parameters.instant("until")?,
        // One more tells whether there are more.
        limit: limit + 1,
    };
    let format = requested(uri.path(), &headers);
    let query = uri.query().unwrap_or_default();
    let tag = |versions| {
        let versions = format!("{versions:?}");
        etag(&[state.run(), "ledger", format.name(), query, &versions])
    };
    let now = state.engine().tables().await?.versions();
    if is_held(&headers, &tag(now)) {
        return Ok(not_modified(tag(now)));
    }
    let (reader, batch) = ledger(state.engine(), asked).await?;
    let next = match batch.num_rows() > limit {
        true => older(&rows(&batch.slice(limit - 1, 1))?, &uri),
        false => None,
    };
    let mut listing = Listing::cut(batch, limit, reader.versions());
    listing.next = next;
    Ok(tagged(listing.respond(format)?, tag(reader.versions())))
}

/// The same question for the hours before the last one.
fn older(last: &[LedgerHour], uri: &Uri) -> Option<String> {
    let until = last.first()?.hour.format("%Y-%m-%dT%H:%M:%SZ");
    let kept = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("until="))
        .map(|pair| format!("{pair}&"))
        .collect::<String>();
    Some(format!("{}?{kept}until={until}", uri.path()))
}
