//! The books: whether everything that was received is accounted for, and stands where it should.
//!
//! [`verify`] reads every raw segment, compares checksums, counts items, and holds each batch against its
//! row of `batches` and the rows that have its lineage; then it looks at the data files that the log
//! names and for keys that stand twice. It changes nothing and may run beside a server: the versions of
//! the tables are fixed first, and what is received or loaded later counts as waiting.
//!
//! Batches are held against the lake some ten thousand at a time, in the order of day, stream and
//! number, so that memory does not depend on how much there is.

mod doubles;
mod files;
mod finding;
mod floors;
mod hours;
mod rows;
mod segment;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use postlake_event::schema::Table;
use postlake_lake::{Lake, LakeTable};
use postlake_raw::RawStore;

use crate::error::LoadError;
use crate::ledger::chain;
use crate::positions::Tables;

pub use finding::{Finding, FindingKind, Findings};
pub use hours::{Hour, Hours};

/// Which batches are looked at: those received from `since` on and before `until`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The begin; none is the beginning of everything.
    pub since: Option<DateTime<Utc>>,
    /// The end, which is not part of it; none is now.
    pub until: Option<DateTime<Utc>>,
}

impl Window {
    /// True if a batch received at this moment is one of them.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at < until)
    }

    /// True if streams of this day can hold such a batch: a segment written around midnight may hold
    /// one of the day before or after, and an import of today holds what was received years ago.
    pub fn touches(&self, day: NaiveDate) -> bool {
        let first = self.since.and_then(|since| since.date_naive().pred_opt());
        first.is_none_or(|first| first <= day)
    }

    /// The same without what was received on days whose segments were let go.
    fn without(self, retired_before: Option<NaiveDate>, findings: &mut Findings) -> Window {
        let begin = retired_before.and_then(|before| before.and_hms_opt(0, 0, 0));
        let Some(begin) = begin.map(|begin| begin.and_utc()) else {
            return self;
        };
        if self.since.is_some_and(|since| begin <= since) {
            return self;
        }
        let reason =
            "raw segments of the days before were let go by retention; nothing of them is compared";
        findings.add(FindingKind::Note, begin.date_naive().to_string(), reason);
        Window {
            since: Some(begin),
            ..self
        }
    }

    /// The condition on `received_at` in SQL.
    pub(crate) fn condition(&self) -> String {
        let mut condition = "true".to_owned();
        if let Some(since) = self.since {
            condition += &format!(" AND received_at >= {}", micros(since));
        }
        if let Some(until) = self.until {
            condition += &format!(" AND received_at < {}", micros(until));
        }
        condition
    }
}

/// A moment in SQL.
pub(crate) fn micros(at: DateTime<Utc>) -> String {
    let micros = at.timestamp_micros();
    format!("arrow_cast({micros}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Days of the raw store that are done.
    pub days: u64,
    /// Days that there are.
    pub of_days: u64,
    /// Segments read.
    pub segments: u64,
    /// Batches in them.
    pub batches: u64,
    /// Findings so far.
    pub findings: u64,
}

/// Told how far it has come.
pub type Watch<'a> = &'a mut (dyn FnMut(&Progress) + Send);

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Raw segments read.
    pub segments: u64,
    /// Of these, damaged ones.
    pub damaged_segments: u64,
    /// Data files that the logs name.
    pub data_files: u64,
    /// Bytes of these.
    pub data_file_bytes: u64,
    /// The ledger, hour by hour.
    pub hours: Hours,
    /// What is wrong, and what is worth a note.
    pub findings: Findings,
    /// Tables that cannot be read as a whole: their rows were held against nothing.
    pub unread: BTreeSet<Table>,
}

impl Verification {
    /// A table whose rows cannot be read is a finding, once.
    fn is_read<T>(&mut self, table: Table, read: Result<T, LoadError>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                let reason = format!("the rows cannot be read: {}", chain(&error));
                let place = format!("lake/{}", table.name());
                self.findings
                    .add(FindingKind::DamagedDataFile, place, reason);
                self.unread.insert(table);
                None
            }
        }
    }

    fn compare_hours(&mut self) {
        if self.unread.is_empty() {
            self.hours.compare(&mut self.findings);
            return;
        }
        let reason = "rows of some tables cannot be read, so the books of no hour were compared";
        self.findings.add(FindingKind::Note, "ledger", reason);
    }
}

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Which batches.
    pub window: Window,
    /// Every page of every data file is read, those of columns that the books do not need, too.
    pub pages: bool,
}

impl From<Window> for Asked {
    fn from(window: Window) -> Asked {
        Asked {
            window,
            pages: false,
        }
    }
}

/// Days may be let go meanwhile so often; then what is left is told as it is.
const LOOKS: u32 = 3;

/// Holds the raw store and the lake against each other.
///
/// # Errors
/// When a store cannot be listed, or the lake cannot be opened. What is wrong with the data is a finding
/// and no error.
pub async fn verify(
    raw: &RawStore,
    lake: &Lake,
    asked: impl Into<Asked>,
    watch: Watch<'_>,
) -> Result<Verification, LoadError> {
    let asked = asked.into();
    let mut looks = 1;
    loop {
        let retired = raw.retired_before().await.map_err(LoadError::List)?;
        let verification = look(raw, lake, asked, retired, watch).await?;
        // What retention has let go meanwhile is missing, and nobody is to blame.
        let since = raw.retired_before().await.map_err(LoadError::List)?;
        if since == retired || verification.findings.faults() == 0 || looks >= LOOKS {
            return Ok(verification);
        }
        looks += 1;
    }
}

async fn look(
    raw: &RawStore,
    lake: &Lake,
    asked: Asked,
    retired: Option<NaiveDate>,
    watch: Watch<'_>,
) -> Result<Verification, LoadError> {
    let mut verification = Verification::default();
    let window = asked.window;
    let window = window.without(retired, &mut verification.findings);
    let mut tables = open(lake).await?;
    for table in Table::ALL {
        if let Some(open) = tables.get(table) {
            files::check(open, asked.pages, &mut verification).await?;
        }
    }
    let walked = walk::walk(raw, &mut tables, window, &mut verification, watch).await?;
    for table in Table::ALL {
        let Some(open) = tables
            .get(table)
            .filter(|_| !verification.unread.contains(&table))
        else {
            continue;
        };
        let findings = &mut verification.findings;
        let read = rows::from_nowhere(raw, open, window, &walked, findings).await;
        let read = verification.is_read(table, read);
        if read.is_some() {
            let read = doubles::check(open, window, &mut verification.findings).await;
            verification.is_read(table, read);
        }
    }
    verification.compare_hours();
    Ok(verification)
}

/// `batches` first: rows that a pass commits meanwhile then belong to segments that wait.
async fn open(lake: &Lake) -> Result<Tables, LoadError> {
    let mut tables: Vec<LakeTable> = Vec::new();
    for table in Table::ALL.into_iter().rev() {
        tables.extend(lake.table(table).await.map_err(LoadError::Lake)?);
    }
    Ok(Tables::new(tables))
}

/// Rows that were found where raw says they come from, by the day of their stream.
type Matched = BTreeMap<NaiveDate, [u64; Table::ALL.len()]>;

#[cfg(test)]
pub(crate) mod tests;
