//! The totals that the page, the API and the command line show, all from one moment of the lake.

mod statements;

use std::time::Duration;

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use postlake_event::schema::Table;
use serde::{Deserialize, Serialize};

use crate::source::{TableSet, Versions};
use crate::sql::{Reader, SqlEngine, SqlError, rows};

/// A loader commits the tables one after the other. A summary taken between two of its commits does
/// not balance; it is taken again after this pause ...
pub(crate) const RETAKE_PAUSE: Duration = Duration::from_millis(250);

/// ... at most this often, and then reported as it is.
pub(crate) const RETAKES: usize = 6;

/// Everything that one look at the lake answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Versions of the tables that all figures come from.
    pub versions: Versions,
    /// Sums over `batches`: what the loader says it did.
    pub totals: Totals,
    /// Rows of the tables: what is there.
    pub rows: Rows,
    /// Whether both agree.
    pub books: Books,
    /// The newest moments.
    pub newest: Newest,
    /// Events by class and type, most frequent first.
    pub events_by_type: Vec<TypeCount>,
    /// Bounces by class, most frequent first.
    pub bounces_by_class: Vec<BounceClassCount>,
    /// The most frequent bounce reasons, at most 20.
    pub bounce_reasons: Vec<BounceReason>,
    /// Subaccounts, most bounced first; at most 1,000.
    pub subaccounts: Vec<SubaccountCount>,
    /// Quarantined items by reason code, most frequent first.
    pub quarantine: Vec<QuarantineCount>,
    /// Events received in each of the minutes that had any, at most the newest 60 minutes.
    pub arrivals: Vec<Arrivals>,
}

/// Sums over the rows of `batches`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Batches received and loaded, duplicates included.
    pub batches: i64,
    /// Bytes of their bodies.
    pub bytes: i64,
    /// Items in them; a ping holds none.
    pub items: i64,
    /// Items that became rows of `events`.
    pub events: i64,
    /// Items that became rows of `alerts`.
    pub alerts: i64,
    /// Items that were there already.
    pub duplicates: i64,
    /// Items that went to `quarantine`.
    pub rejects: i64,
}

/// `count(*)` of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Rows of `events`.
    pub events: i64,
    /// Rows of `alerts`.
    pub alerts: i64,
    /// Rows of `quarantine`.
    pub quarantine: i64,
    /// Those of them that stand for a whole raw segment that cannot be read: its batches are unknown,
    /// so no account holds them.
    pub damaged_segments: i64,
}

/// Whether items in = events + alerts + duplicates + quarantined, by the loader's account and by the
/// rows that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// All differences below are zero.
    pub balanced: bool,
    /// Items minus (events + alerts + duplicates + rejects) of `batches`.
    pub unaccounted_items: i64,
    /// Rows of `events` minus the events of `batches`.
    pub events_difference: i64,
    /// Rows of `alerts` minus the alerts of `batches`.
    pub alerts_difference: i64,
    /// Rows of `quarantine`, damaged segments left out, minus the rejects of `batches`.
    pub quarantine_difference: i64,
}

impl Books {
    /// What retention has taken from the tables counts on both sides.
    fn compare(totals: Totals, rows: Rows, tables: &TableSet) -> Books {
        let of = |table| tables.gone(table).rows;
        let accounted = tables.gone(Table::Batches);
        let unaccounted_items =
            totals.items - totals.events - totals.alerts - totals.duplicates - totals.rejects;
        let events_difference = rows.events + of(Table::Events) - totals.events - accounted.events;
        let alerts_difference = rows.alerts + of(Table::Alerts) - totals.alerts - accounted.alerts;
        let quarantine = rows.quarantine - rows.damaged_segments + of(Table::Quarantine);
        let quarantine_difference = quarantine - totals.rejects - accounted.rejects;
        Books {
            balanced: [
                unaccounted_items,
                events_difference,
                alerts_difference,
                quarantine_difference,
            ] == [0; 4],
            unaccounted_items,
            events_difference,
            alerts_difference,
            quarantine_difference,
        }
    }
}

/// The newest moments in the lake; `None` while there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    /// When the newest batch was received.
    pub received_at: Option<DateTime<Utc>>,
    /// When the newest batch was loaded.
    pub loaded_at: Option<DateTime<Utc>>,
    /// Longest time from received to loaded among the batches of the newest pass, milliseconds.
    pub load_lag_ms: Option<i64>,
}

/// Events of one class and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeCount {
    /// The sender's class, such as `message_event`.
    pub event_class: String,
    /// The sender's type, such as `delivery`; `None` when the event had none.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// How many.
    pub events: i64,
}

/// Bounces of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BounceClassCount {
    /// The sender's class code; `None` when the event had none.
    pub bounce_class: Option<i64>,
    /// Its documented name; "unknown class" for a code that is not documented.
    pub class_name: String,
    /// hard, soft, block, admin or undetermined.
    pub category: String,
    /// How many, in-band and out-of-band.
    pub bounces: i64,
}

/// One bounce reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BounceReason {
    /// The sender's canonical text, or the server's own where there is none.
    pub reason: Option<String>,
    /// Class code.
    pub bounce_class: Option<i64>,
    /// Class name.
    pub class_name: String,
    /// hard, soft, block, admin or undetermined.
    pub category: String,
    /// How many bounces gave it.
    pub bounces: i64,
    /// On how many subaccounts.
    pub subaccounts: i64,
}

/// The mail of one subaccount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubaccountCount {
    /// 0 for the primary account; `None` where the events name something that is no number.
    pub subaccount_id: Option<i64>,
    /// "primary account", "subaccount N" or "unreadable subaccount".
    pub subject: String,
    /// Events of every type.
    pub events: i64,
    /// Messages accepted for sending.
    pub injections: i64,
    /// Messages that a remote server accepted.
    pub deliveries: i64,
    /// Bounces, in-band and out-of-band.
    pub bounces: i64,
    /// Spam complaints.
    pub complaints: i64,
    /// Deliveries per concluded attempt (delivery or in-band bounce), 0 to 1; `None` without any.
    pub delivered_rate: Option<f64>,
    /// Bounces, out-of-band ones included, per concluded attempt, 0 to 1; `None` without any.
    pub bounced_rate: Option<f64>,
}

/// Quarantined items of one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineCount {
    /// The reason's code.
    pub code: String,
    /// `events` or `alerts`: the webhook it came through.
    pub source: String,
    /// How many.
    pub items: i64,
    /// When the first was received.
    pub first_received_at: DateTime<Utc>,
    /// When the last was received.
    pub last_received_at: DateTime<Utc>,
    /// The message of the last.
    pub last_message: String,
}

/// What arrived in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrivals {
    /// Start of the minute.
    pub minute: DateTime<Utc>,
    /// Batches received in it.
    pub batches: i64,
    /// Items in them.
    pub items: i64,
}

/// The tables of a summary that can be had on their own, in every format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryTable {
    /// [`Summary::events_by_type`].
    EventTypes,
    /// [`Summary::bounces_by_class`].
    BounceClasses,
    /// [`Summary::bounce_reasons`].
    BounceReasons,
    /// [`Summary::subaccounts`].
    Subaccounts,
    /// [`Summary::quarantine`].
    Quarantine,
}

impl SummaryTable {
    /// All of them.
    pub const ALL: [SummaryTable; 5] = [
        SummaryTable::EventTypes,
        SummaryTable::BounceClasses,
        SummaryTable::BounceReasons,
        SummaryTable::Subaccounts,
        SummaryTable::Quarantine,
    ];

    /// The name in paths.
    pub fn name(self) -> &'static str {
        match self {
            SummaryTable::EventTypes => "event-types",
            SummaryTable::BounceClasses => "bounce-classes",
            SummaryTable::BounceReasons => "bounce-reasons",
            SummaryTable::Subaccounts => "subaccounts",
            SummaryTable::Quarantine => "quarantine",
        }
    }

    fn statement(self) -> String {
        match self {
            SummaryTable::EventTypes => statements::EVENT_TYPES.to_owned(),
            SummaryTable::BounceClasses => statements::bounce_classes(),
            SummaryTable::BounceReasons => statements::bounce_reasons(),
            SummaryTable::Subaccounts => statements::subaccounts(),
            SummaryTable::Quarantine => statements::QUARANTINE.to_owned(),
        }
    }
}

/// The summary as of now. A lake in the middle of a load pass is looked at again for up to 1.5 s
/// before books that do not balance are reported.
///
/// # Errors
///
/// [`SqlErrorKind::Unavailable`](crate::SqlErrorKind::Unavailable) when the lake cannot be read.
pub async fn summary(engine: &SqlEngine) -> Result<Summary, SqlError> {
    take(engine).await.map(|(_, summary)| summary)
}

/// As [`summary`], with a reader over the same tables.
pub(crate) async fn take(engine: &SqlEngine) -> Result<(Reader, Summary), SqlError> {
    let mut taken = at(engine, &engine.tables().await?).await?;
    for _ in 0..RETAKES {
        if taken.1.books.balanced {
            break;
        }
        tokio::time::sleep(RETAKE_PAUSE).await;
        let tables = engine.tables().await?;
        if tables.versions() != taken.1.versions {
            taken = at(engine, &tables).await?;
        }
    }
    Ok(taken)
}

async fn at(engine: &SqlEngine, tables: &TableSet) -> Result<(Reader, Summary), SqlError> {
    let reader = engine.reader(tables).await?;
    let totals: Totals = one(&reader, statements::TOTALS).await?;
    let counted: Rows = one(&reader, statements::ROWS).await?;
    let summary = Summary {
        versions: reader.versions(),
        totals,
        rows: counted,
        books: Books::compare(totals, counted, tables),
        newest: one(&reader, statements::NEWEST).await?,
        events_by_type: rows(&table_batch(&reader, SummaryTable::EventTypes).await?)?,
        bounces_by_class: rows(&table_batch(&reader, SummaryTable::BounceClasses).await?)?,
        bounce_reasons: rows(&table_batch(&reader, SummaryTable::BounceReasons).await?)?,
        subaccounts: rows(&table_batch(&reader, SummaryTable::Subaccounts).await?)?,
        quarantine: rows(&table_batch(&reader, SummaryTable::Quarantine).await?)?,
        arrivals: rows(&reader.batch(statements::ARRIVALS, Vec::new()).await?)?,
    };
    Ok((reader, summary))
}

/// One table of the summary as a record batch.
pub(crate) async fn table_batch(
    reader: &Reader,
    table: SummaryTable,
) -> Result<RecordBatch, SqlError> {
    reader.batch(&table.statement(), Vec::new()).await
}

async fn one<T: serde::de::DeserializeOwned>(
    reader: &Reader,
    statement: &str,
) -> Result<T, SqlError> {
    let mut found: Vec<T> = rows(&reader.batch(statement, Vec::new()).await?)?;
    found.pop().ok_or_else(|| {
        SqlError::internal(
            "a built-in statement gave no row",
            "an aggregate without GROUP BY gives one",
        )
    })
}

#[cfg(test)]
mod tests;
