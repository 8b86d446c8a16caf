//! `GET /batches` and `GET /quarantine`: newest first, page by page.
//!
//! A cursor is the place of the last row of a page in the order of the list, so that pages neither skip
//! nor repeat rows while new ones arrive.

use arrow::array::RecordBatch;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use datafusion::common::ScalarValue;

use super::cursor::{Cursor, next_path};
use super::endpoint::{Kind, Parameter};
use super::parameters::Parameters;
use super::problem::Problem;
use super::representation::{Listing, requested};
use crate::scores::instant;
use crate::sql::rows;
use crate::state::ServeState;

const LIMIT: Parameter = Parameter::query(
    "limit",
    Kind::Limit {
        default: 100,
        most: 1_000,
    },
    "Rows of a page.",
);
const CURSOR: Parameter = Parameter::query(
    "cursor",
    Kind::Text,
    "Where the page begins; the answer before names it in `next` and in the `Link` header.",
);
const BATCH_ID: Parameter = Parameter::query(
    "batch_id",
    Kind::Text,
    "Only of the batch with this `X-MessageSystems-Batch-ID`.",
);

/// Of `GET /batches`.
pub(super) const OF_BATCHES: &[Parameter] = &[
    LIMIT,
    CURSOR,
    Parameter::query(
        "source",
        Kind::Text,
        "Only of this endpoint: `events` or `alerts`.",
    ),
    BATCH_ID,
];

/// Of `GET /quarantine`.
pub(super) const OF_QUARANTINE: &[Parameter] = &[
    LIMIT,
    CURSOR,
    Parameter::query(
        "source",
        Kind::Text,
        "Only of this source: `events`, `alerts` or `segment`.",
    ),
    Parameter::query("code", Kind::Text, "Only with this reject code."),
    BATCH_ID,
];

/// A list: its table, the filters it takes, its order from the most significant column on.
struct List {
    table: &'static str,
    filters: &'static [&'static str],
    parameters: &'static [Parameter],
    order: &'static [&'static str],
}

const BATCHES: List = List {
    table: "batches",
    filters: &["source", "batch_id"],
    parameters: OF_BATCHES,
    order: &["received_at", "\"stream\"", "segment", "batch_index"],
};

const QUARANTINE: List = List {
    table: "quarantine",
    filters: &["source", "code", "batch_id"],
    parameters: OF_QUARANTINE,
    order: &[
        "received_at",
        "\"stream\"",
        "segment",
        "batch_index",
        "coalesce(item_index, -1)",
    ],
};

/// Received batches with their accounts.
pub(super) async fn batches(
    State(state): State<ServeState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    page(&state, &BATCHES, &uri, &headers).await
}

/// Items and bodies that could not be decoded.
pub(super) async fn quarantine(
    State(state): State<ServeState>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    page(&state, &QUARANTINE, &uri, &headers).await
}

impl Cursor {
    fn values(&self) -> [ScalarValue; 5] {
        [
            instant(self.received_at),
            ScalarValue::from(self.stream.as_str()),
            ScalarValue::from(self.segment),
            ScalarValue::from(self.batch_index),
            ScalarValue::from(self.item_index.unwrap_or(-1)),
        ]
    }
}

async fn page(
    state: &ServeState,
    list: &List,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(uri, list.parameters)?;
    let limit = parameters.limit()?;
    let cursor = match parameters.text("cursor") {
        None => None,
        Some(text) => Some(Cursor::parse(text).ok_or_else(|| {
            Problem::invalid_parameter("cursor", "not a cursor that this list gave out")
        })?),
    };
    let (statement, values) = statement(list, &parameters, cursor.as_ref(), limit);
    let tables = state.engine().tables().await?;
    let reader = state.engine().reader(&tables).await?;
    let batch = reader.batch(&statement, values).await?;
    let next = next_page(&batch, limit, uri)?;
    let mut listing = Listing::cut(batch, limit, reader.versions());
    listing.next = next;
    listing.respond(requested(uri.path(), headers))
}

fn statement(
    list: &List,
    parameters: &Parameters,
    cursor: Option<&Cursor>,
    limit: usize,
) -> (String, Vec<ScalarValue>) {
    let mut values = Vec::new();
    let mut conditions = vec!["true".to_owned()];
    for filter in list.filters {
        if let Some(text) = parameters.text(filter) {
            values.push(ScalarValue::from(text));
            conditions.push(format!("\"{filter}\" = ${}", values.len()));
        }
    }
    if let Some(cursor) = cursor {
        let first = values.len() + 1;
        values.extend(cursor.values().into_iter().take(list.order.len()));
        conditions.push(format!("({})", after(list.order, first)));
    }
    let order: Vec<String> = list
        .order
        .iter()
        .map(|column| format!("{column} desc"))
        .collect();
    let statement = format!(
        "select * from {} where {} order by {} limit {}",
        list.table,
        conditions.join(" and "),
        order.join(", "),
        limit + 1
    );
    (statement, values)
}

/// `a < $1 or (a = $1 and (b < $2 or (...)))`: the rows after a place in descending order.
fn after(order: &[&str], parameter: usize) -> String {
    match order {
        [] => "false".to_owned(),
        [column, rest @ ..] => format!(
            "{column} < ${parameter} or ({column} = ${parameter} and ({}))",
            after(rest, parameter + 1)
        ),
    }
}

fn next_page(batch: &RecordBatch, limit: usize, uri: &Uri) -> Result<Option<String>, Problem> {
    if batch.num_rows() <= limit {
        return Ok(None);
    }
    let last: Vec<Cursor> = rows(&batch.slice(limit - 1, 1))?;
    let cursor = last.first().and_then(Cursor::text);
    Ok(cursor.map(|cursor| next_path(uri.path(), uri.query().unwrap_or_default(), &cursor)))
}
