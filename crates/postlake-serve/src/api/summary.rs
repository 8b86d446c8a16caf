//! `GET /summary` and its tables one by one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use super::endpoint::Parameter;
use super::parameters::Parameters;
use super::problem::Problem;
use super::representation::{
    Listing, etag, is_held, not_modified, requested, split_suffix, tagged,
};
use crate::nearest::nearest;
use crate::state::ServeState;
use crate::summary::{SummaryTable, table_batch};

/// Of `GET /summary/{table}`.
pub(super) const OF_TABLE: &[Parameter] = &[Parameter::path(
    "table",
    "`event-types`, `bounce-classes`, `bounce-reasons`, `subaccounts` or `quarantine`. A suffix `.json`, `.csv`, \
     `.ndjson` or `.parquet` says the format.",
)];

/// All totals as one JSON object.
pub(super) async fn whole(
    State(state): State<ServeState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Parameters::read(&uri, &[])?;
    let look = state.look().await?;
    let versions = format!("{:?}", look.summary.versions);
    let tag = etag(&[state.run(), "summary", &versions]);
    if is_held(&headers, &tag) {
        return Ok(not_modified(tag));
    }
    Ok(tagged(Json(&look.summary).into_response(), tag))
}

/// One table of the summary, in any format.
pub(super) async fn table(
    State(state): State<ServeState>,
    Path(segment): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Parameters::read(&uri, OF_TABLE)?;
    let table = named(split_suffix(&segment).0)?;
    let format = requested(&segment, &headers);
    let tables = state.engine().tables().await?;
    let versions = format!("{:?}", tables.versions());
    let tag = etag(&[
        state.run(),
        "summary",
        table.name(),
        format.name(),
        &versions,
    ]);
    if is_held(&headers, &tag) {
        return Ok(not_modified(tag));
    }
    let reader = state.engine().reader(&tables).await?;
    let batch = table_batch(&reader, table).await?;
    let rows = batch.num_rows();
    let listing = Listing::cut(batch, rows, reader.versions());
    Ok(tagged(listing.respond(format)?, tag))
}

fn named(name: &str) -> Result<SummaryTable, Problem> {
    let names = || SummaryTable::ALL.into_iter().map(SummaryTable::name);
    SummaryTable::ALL
        .into_iter()
        .find(|table| table.name() == name)
        .ok_or_else(|| {
            let detail = match nearest(name, names()) {
                Some(guess) => format!("Did you mean '{guess}'?"),
                None => format!("There are {}.", names().collect::<Vec<_>>().join(", ")),
            };
            Problem::new(
                StatusCode::NOT_FOUND,
                "no-such-table",
                "the summary has no such table",
            )
            .with_detail(detail)
        })
}
