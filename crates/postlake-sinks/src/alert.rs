//! A row of the table `alerts`, as the sinks for scores see it.

use arrow::array::{
    Array, AsArray as _, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, SecondsFormat, Utc};
use postlake_event::sink::SinkError;

/// `subaccount_id` of the whole account, as the sender's other products and the original system have
/// it.
pub(crate) const WHOLE_ACCOUNT: i64 = -1;

/// One alert entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alert<'a> {
    pub(crate) record_id: &'a str,
    pub(crate) alert_id: Option<i64>,
    pub(crate) incident_id: Option<i64>,
    pub(crate) name: Option<&'a str>,
    pub(crate) metric: Option<&'a str>,
    pub(crate) operator: Option<&'a str>,
    pub(crate) source: Option<&'a str>,
    pub(crate) threshold: Option<f64>,
    pub(crate) triggered_value: Option<f64>,
    /// Microseconds since the epoch.
    pub(crate) triggered_at: i64,
    /// Microseconds since the epoch.
    received_at: i64,
    pub(crate) subaccount_id: Option<i64>,
    pub(crate) facet_name: Option<&'a str>,
    pub(crate) facet_value: Option<&'a str>,
    /// Canonical JSON.
    pub(crate) filters: Option<&'a str>,
    /// Where it came from: stream, segment, batch, item.
    lineage: (&'a str, i64, i64, i64),
}

impl Alert<'_> {
    /// The subaccount; -1 for the whole account.
    pub(crate) fn subaccount_or_whole(&self) -> i64 {
        self.subaccount_id.unwrap_or(WHOLE_ACCOUNT)
    }

    /// As the sender writes times: `2021-03-23T08:31:28.999Z`. Text order is time order.
    pub(crate) fn triggered_at_text(&self) -> String {
        self.time().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// The time; the epoch for one that no calendar has.
    pub(crate) fn time(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.triggered_at).unwrap_or_default()
    }

    /// Whether the value is one of the metric itself. An alert on a change carries a per cent value.
    pub(crate) fn is_level(&self) -> bool {
        self.triggered_value.is_some() && self.source.is_none_or(|source| source == "raw")
    }

    /// Text whose order is the one that says which of two is the newest: that of their time, then that
    /// of their receipt; beyond that some order that is always the same.
    pub(crate) fn order(&self) -> String {
        let text = |micros| {
            let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
            time.to_rfc3339_opts(SecondsFormat::Micros, true)
        };
        let (time, received) = (text(self.triggered_at), text(self.received_at));
        format!("{time}#{received}#{}", self.record_id)
    }

    /// Where it lies in the raw store, for the log.
    pub(crate) fn place(&self) -> String {
        let (stream, segment, batch, item) = self.lineage;
        format!("stream {stream}, segment {segment}, batch {batch}, item {item}")
    }
}

/// The columns of a record batch of `alerts`.
#[derive(Debug)]
pub(crate) struct Alerts<'a> {
    rows: usize,
    record_id: &'a StringArray,
    alert_id: &'a Int64Array,
    incident_id: &'a Int64Array,
    name: &'a StringArray,
    metric: &'a StringArray,
    operator: &'a StringArray,
    source: &'a StringArray,
    threshold: &'a Float64Array,
    triggered_value: &'a Float64Array,
    triggered_at: &'a TimestampMicrosecondArray,
    received_at: &'a TimestampMicrosecondArray,
    subaccount_id: &'a Int64Array,
    facet_name: &'a StringArray,
    facet_value: &'a StringArray,
    filters: &'a StringArray,
    stream: &'a StringArray,
    lineage: [&'a Int64Array; 3],
}

impl<'a> Alerts<'a> {
    /// The rows of `batch`.
    ///
    /// # Errors
    /// When it has not the columns of the table, which is a defect.
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Alerts<'a>, SinkError> {
        let text = |name| column(batch, name, |array| array.as_string_opt::<i32>());
        let int = |name| column(batch, name, |array| array.as_primitive_opt::<Int64Type>());
        let float = |name| column(batch, name, |array| array.as_primitive_opt::<Float64Type>());
        let time = |name| {
            column(batch, name, |array| {
                array.as_primitive_opt::<TimestampMicrosecondType>()
            })
        };
        Ok(Alerts {
            rows: batch.num_rows(),
            record_id: text("record_id")?,
            alert_id: int("alert_id")?,
            incident_id: int("incident_id")?,
            name: text("name")?,
            metric: text("metric")?,
            operator: text("operator")?,
            source: text("source")?,
            threshold: float("threshold")?,
            triggered_value: float("triggered_value")?,
            triggered_at: time("triggered_at")?,
            received_at: time("received_at")?,
            subaccount_id: int("subaccount_id")?,
            facet_name: text("facet_name")?,
            facet_value: text("facet_value")?,
            filters: text("filters")?,
            stream: text("stream")?,
            lineage: [int("segment")?, int("batch_index")?, int("item_index")?],
        })
    }

    /// Row by row, in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Alert<'a>> {
        (0..self.rows).map(|row| self.row(row))
    }

    fn row(&self, row: usize) -> Alert<'a> {
        fn text(array: &StringArray, row: usize) -> Option<&str> {
            array.is_valid(row).then(|| array.value(row))
        }
        let int = |array: &Int64Array| array.is_valid(row).then(|| array.value(row));
        let float = |array: &Float64Array| array.is_valid(row).then(|| array.value(row));
        let [segment, batch, item] = self.lineage.map(|array| array.value(row));
        Alert {
            record_id: self.record_id.value(row),
            alert_id: int(self.alert_id),
            incident_id: int(self.incident_id),
            name: text(self.name, row),
            metric: text(self.metric, row),
            operator: text(self.operator, row),
            source: text(self.source, row),
            threshold: float(self.threshold),
            triggered_value: float(self.triggered_value),
            triggered_at: self.triggered_at.value(row),
            received_at: self.received_at.value(row),
            subaccount_id: int(self.subaccount_id),
            facet_name: text(self.facet_name, row),
            facet_value: text(self.facet_value, row),
            filters: text(self.filters, row),
            lineage: (self.stream.value(row), segment, batch, item),
        }
    }
}

fn column<'a, T>(
    batch: &'a RecordBatch,
    name: &str,
    typed: impl FnOnce(&'a dyn Array) -> Option<&'a T>,
) -> Result<&'a T, SinkError> {
    batch
        .column_by_name(name)
        .and_then(|array| typed(array.as_ref()))
        .ok_or_else(|| {
            let doing = format!("read the column {name} of alerts");
            SinkError::new(doing, "there is none of its type")
        })
}
