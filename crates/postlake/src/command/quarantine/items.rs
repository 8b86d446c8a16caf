//! Rows of `quarantine`, by filter or by place.

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use postlake_loader::ItemPlace;
use postlake_serve::SqlEngine;
use postlake_serve::format::{self, Format};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::QuarantineFilter;
use crate::command::output::sql_failure;
use crate::command::verify::window;
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::wire;

/// A row of `quarantine`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Item {
    pub(super) received_at: DateTime<Utc>,
    pub(super) source: String,
    pub(super) batch_id: Option<String>,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) byte_offset: Option<i64>,
    pub(super) item_bytes: Option<i64>,
    pub(super) excerpt: Option<String>,
    stream: String,
    segment: i64,
    batch_index: i64,
    item_index: Option<i64>,
}

impl Item {
    /// Where it lies; none if the row names no stream of ours.
    pub(super) fn place(&self) -> Option<ItemPlace> {
        ItemPlace::of_columns(
            &self.stream,
            self.segment,
            self.batch_index,
            self.item_index,
        )
    }
}

/// The newest items that a filter leaves, so many at most.
pub(super) async fn filtered(
    engine: &SqlEngine,
    filter: &QuarantineFilter,
    limit: usize,
) -> Result<Vec<Item>, Failure> {
    read(
        engine,
        &format!("{} LIMIT {limit}", ordered(&condition(filter))),
    )
    .await
}

/// All items that a filter leaves.
///
/// # Errors
/// When there are more than `most`: none of them is passed over in silence.
pub(super) async fn all_filtered(
    engine: &SqlEngine,
    filter: &QuarantineFilter,
    most: usize,
) -> Result<Vec<Item>, Failure> {
    let found = filtered(engine, filter, most.saturating_add(1)).await?;
    match found.len() > most {
        false => Ok(found),
        true => Err(too_many("items", most)),
    }
}

fn too_many(what: &str, most: usize) -> Failure {
    let message = format!(
        "these are more than {most} {what}, the most that go at once; choose fewer with --since and --until"
    );
    Failure::new(Exit::Usage, message)
}

/// The item at a place, if it is in quarantine.
pub(super) async fn at(engine: &SqlEngine, place: &ItemPlace) -> Result<Option<Item>, Failure> {
    let condition = format!(
        "stream = '{}' AND segment = {} AND batch_index = {} AND coalesce(item_index, -1) = {}",
        place.segment.stream(),
        place.segment.number(),
        place.batch_index.unwrap_or(-1),
        place.item_index.unwrap_or(-1)
    );
    Ok(read(engine, &ordered(&condition)).await?.pop())
}

/// Most batches that came under one id.
const MOST_BATCHES: usize = 100_000;

/// Where the batches lie that came under an id, as `batches` says.
pub(in crate::command) async fn places_of_batch(
    settings: &Settings,
    id: &str,
) -> Result<Vec<ItemPlace>, Failure> {
    #[derive(Deserialize)]
    struct Row {
        stream: String,
        segment: i64,
        batch_index: i64,
    }
    let engine = wire::local_engine(&settings.data)?;
    let sql = format!(
        "SELECT stream, segment, batch_index FROM batches WHERE batch_id = '{}' LIMIT {}",
        id.replace('\'', "''"),
        MOST_BATCHES + 1
    );
    let rows: Vec<Row> = read(&engine, &sql).await?;
    if rows.len() > MOST_BATCHES {
        return Err(too_many("batches", MOST_BATCHES));
    }
    let places = rows
        .iter()
        .map(|row| ItemPlace::of_columns(&row.stream, row.segment, row.batch_index, None));
    Ok(places.flatten().collect())
}

fn ordered(condition: &str) -> String {
    format!(
        "SELECT * FROM quarantine WHERE {condition} \
         ORDER BY received_at DESC, stream DESC, segment DESC, batch_index DESC, item_index DESC"
    )
}

fn condition(filter: &QuarantineFilter) -> String {
    let texts = [
        ("code", &filter.code),
        ("source", &filter.source),
        ("batch_id", &filter.batch),
    ];
    let mut condition = "true".to_owned();
    for (column, text) in texts {
        if let Some(text) = text {
            condition += &format!(" AND {column} = '{}'", text.replace('\'', "''"));
        }
    }
    let window = window(&filter.window);
    for (comparison, at) in [(">=", window.since), ("<", window.until)] {
        if let Some(at) = at {
            condition += &format!(" AND received_at {comparison} '{}'", at.to_rfc3339());
        }
    }
    condition
}

async fn read<T: DeserializeOwned>(engine: &SqlEngine, sql: &str) -> Result<Vec<T>, Failure> {
    let rows = engine.stream(sql).await.map_err(sql_failure)?;
    let schema = rows.schema();
    let batches: Vec<_> = rows
        .try_collect()
        .await
        .map_err(|source| Failure::caused(Exit::Unavailable, "ask the lake", source))?;
    let mut json = Vec::new();
    format::write(&schema, &batches, Format::Json, &mut json)
        .map_err(|source| Failure::caused(Exit::Failure, "read the answer of the lake", source))?;
    serde_json::from_slice(&json)
        .map_err(|source| Failure::caused(Exit::Failure, "read the answer of the lake", source))
}
