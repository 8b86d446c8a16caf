//! What the log says of a table's data files, without reading them.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{ErrorKind, LakeError};
use crate::log::day_of;
use crate::table::LakeTable;

/// A data file as the log describes it. What the log does not say is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// Its partition, in days since the epoch.
    pub day: Option<i32>,
    /// Its rows.
    pub rows: Option<u64>,
    /// Seconds since the epoch, between which the times of its rows lie, both included.
    pub seconds: Option<(i64, i64)>,
    /// Rows with flags.
    pub flagged: Option<u64>,
}

/// A data file of a version, to be rewritten or taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its name below the table's folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written.
    pub written_at: DateTime<Utc>,
    /// What the log says of its rows.
    pub about: DataFile,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    num_records: Option<u64>,
    #[serde(default)]
    min_values: Value,
    #[serde(default)]
    max_values: Value,
    #[serde(default)]
    null_count: Value,
}

impl LakeTable {
    /// What the log says of the data files of this version.
    ///
    /// # Errors
    /// When the table is not loaded, which is a defect.
    pub fn data_files(&self) -> Result<Vec<DataFile>, LakeError> {
        let files = self.stored_files()?;
        Ok(files.into_iter().map(|file| file.about).collect())
    }

    /// The data files of this version.
    ///
    /// # Errors
    /// When the table is not loaded, which is a defect.
    pub fn stored_files(&self) -> Result<Vec<StoredFile>, LakeError> {
        let name = self.table().name();
        let doing = || format!("list the data files of the table {name}");
        let snapshot = self
            .delta()
            .snapshot()
            .map_err(|source| LakeError::delta(doing(), source))?;
        let mut files = Vec::new();
        for file in snapshot.log_data().iter() {
            let stats = match file.stats() {
                Some(text) => Some(
                    serde_json::from_str::<Stats>(&text)
                        .map_err(|source| LakeError::new(ErrorKind::Damaged, doing(), source))?,
                ),
                None => None,
            };
            let values = file.partition_values_map();
            let day = values.get(self.table().partition_column());
            let about = DataFile {
                day: day.and_then(|day| day_of(day.as_deref()?)),
                ..described(stats.as_ref(), self.table().time_column())
            };
            files.push(StoredFile {
                path: file.path().into_owned(),
                bytes: u64::try_from(file.size()).unwrap_or_default(),
                written_at: DateTime::from_timestamp_millis(file.modification_time())
                    .unwrap_or_default(),
                about,
            });
        }
        Ok(files)
    }
}

fn described(stats: Option<&Stats>, time_column: &str) -> DataFile {
    let second = |values: &Value| {
        let text = values.get(time_column)?.as_str()?;
        Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp())
    };
    let rows = stats.and_then(|stats| stats.num_records);
    let nulls = stats.and_then(|stats| stats.null_count.get("flags")?.as_u64());
    DataFile {
        day: None,
        rows,
        seconds: stats
            .and_then(|stats| second(&stats.min_values).zip(second(&stats.max_values)))
            // The log may round to the millisecond, which can end in the next second.
            .map(|(first, last)| (first, last + 1)),
        flagged: rows
            .zip(nulls)
            .map(|(rows, nulls)| rows.saturating_sub(nulls)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_does_not_say_is_not_made_up() {
        let nothing = DataFile {
            day: None,
            rows: None,
            seconds: None,
            flagged: None,
        };
        assert_eq!(described(None, "event_at"), nothing);
        let stats = r#"{"numRecords":3,"minValues":{"event_at":"1970-01-01T00:00:07.5Z"},
            "maxValues":{"event_at":"1970-01-01T00:00:09Z"},"nullCount":{"flags":2}}"#;
        let stats: Stats = serde_json::from_str(stats).unwrap();
        let known = DataFile {
            day: None,
            rows: Some(3),
            seconds: Some((7, 10)),
            flagged: Some(1),
        };
        assert_eq!(described(Some(&stats), "event_at"), known);
    }
}
