//! Alerts, of either shape, into the columns of the `alerts` table.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Builder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use super::columns::{LineageBuilders, batch};
use super::event::Notes;
use super::item::object_fields;
use super::reject::{Fault, RejectCode};
use super::value::{Raw, Reading};
use super::walk::Member;
use super::{Identity, Place};
use crate::canonical::canonical;
use crate::key::{Key, record_id};
use crate::schema::Table;
use crate::time::day_of;

/// `subaccount_id` of the whole account in the sender's other products; here it is null.
const WHOLE_ACCOUNT: i64 = -1;

/// Builders of the `alerts` table.
#[derive(Debug, Default)]
pub(super) struct AlertRows {
    triggered_date: Date32Builder,
    alert_id: Int64Builder,
    incident_id: Int64Builder,
    name: StringBuilder,
    metric: StringBuilder,
    operator: StringBuilder,
    source: StringBuilder,
    threshold: Float64Builder,
    triggered_value: Float64Builder,
    triggered_at: TimestampMicrosecondBuilder,
    subaccount_id: Int64Builder,
    facet_name: StringBuilder,
    facet_value: StringBuilder,
    filters: StringBuilder,
    record_id: StringBuilder,
    received_at: TimestampMicrosecondBuilder,
    flags: StringBuilder,
    extra: StringBuilder,
    lineage: LineageBuilders,
    item_index: Int64Builder,
    identities: Vec<Identity>,
}

impl AlertRows {
    pub(super) fn len(&self) -> usize {
        self.identities.len()
    }

    /// Adds one row.
    ///
    /// # Errors
    /// When the filters are not JSON, so that the alert has no identity; nothing was added then.
    pub(super) fn push(&mut self, place: &Place<'_>, fields: &[Member<'_>]) -> Result<(), Fault> {
        let mut notes = Notes::default();
        let filters = Filters::read(raw(fields, "filters").unwrap_or("{}"), &mut notes)?;
        let record_id = record_id_of(fields, &filters.canonical)?;
        let received_at = place.input.received_at.timestamp_micros();
        let dated = triggered_at(fields, &mut notes);
        let triggered_at = dated.unwrap_or(received_at);
        let day = day_of(triggered_at);

        self.triggered_date.append_value(day);
        self.alert_id
            .append_option(number(fields, "alert_id", &mut notes));
        self.incident_id
            .append_option(number(fields, "incident_id", &mut notes));
        self.name.append_option(text(fields, "name", &mut notes));
        let metric = text(fields, "metric", &mut notes);
        self.metric.append_option(metric.as_deref().map(word));
        self.push_evaluator(fields, &mut notes);
        let value = float(
            raw(fields, "triggered_value"),
            "triggered_value",
            &mut notes,
        );
        self.triggered_value.append_option(value);
        self.triggered_at.append_value(triggered_at);
        self.subaccount_id.append_option(filters.subaccount_id);
        self.facet_name.append_option(filters.facet_name);
        self.facet_value.append_option(filters.facet_value);
        self.filters.append_value(filters.canonical);
        self.record_id.append_value(&record_id);
        self.received_at.append_value(received_at);
        keep_unknown(fields, &mut notes);
        self.flags.append_option(notes.flags());
        self.extra.append_option(notes.kept_json());
        self.lineage.push(place.input);
        self.item_index.append_value(place.item_index);
        self.identities.push(Identity {
            key: Key::of_record(&record_id),
            day,
            undated: dated.is_none(),
            batch: place.batch,
            item_index: place.item_index,
        });
        Ok(())
    }

    /// `evaluator` in the capture, `threshold_evaluator` in the documentation: the same content.
    fn push_evaluator<'a>(&mut self, fields: &'a [Member<'a>], notes: &mut Notes<'a>) {
        let found = ["evaluator", "threshold_evaluator"]
            .into_iter()
            .find_map(|key| Some((key, raw(fields, key)?)));
        let parts = found.and_then(|(_, raw)| object_fields(raw));
        if let (Some((key, raw)), None) = (found, &parts)
            && raw != "null"
        {
            notes.misfit(Cow::Borrowed(key), raw);
        }
        let parts = parts.unwrap_or_default();
        let part = |key| {
            parts
                .iter()
                .find(|(known, _)| *known == key)
                .map(|(_, raw)| *raw)
        };
        let part_word = |key| {
            part(key)
                .and_then(|raw| Raw::of(raw).text())
                .map(|text| word(&text))
        };
        self.operator.append_option(part_word("operator"));
        self.source.append_option(part_word("source"));
        self.threshold
            .append_option(float(part("value"), "threshold", notes));
        for (key, value) in &parts {
            if !["operator", "source", "value"].contains(&key.as_ref()) {
                let key = format!("evaluator.{key}");
                notes.keep(Cow::Owned(key), Cow::Borrowed(value));
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<(RecordBatch, Vec<Identity>), ArrowError> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.triggered_date.finish()),
            Arc::new(self.alert_id.finish()),
            Arc::new(self.incident_id.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.metric.finish()),
            Arc::new(self.operator.finish()),
            Arc::new(self.source.finish()),
            Arc::new(self.threshold.finish()),
            Arc::new(self.triggered_value.finish()),
            Arc::new(self.triggered_at.finish().with_timezone("UTC")),
            Arc::new(self.subaccount_id.finish()),
            Arc::new(self.facet_name.finish()),
            Arc::new(self.facet_value.finish()),
            Arc::new(self.filters.finish()),
            Arc::new(self.record_id.finish()),
            Arc::new(self.received_at.finish().with_timezone("UTC")),
            Arc::new(self.flags.finish()),
            Arc::new(self.extra.finish()),
        ];
        columns.extend(self.lineage.finish());
        columns.push(Arc::new(self.item_index.finish()));
        let rows = batch(Table::Alerts, columns)?;
        Ok((rows, std::mem::take(&mut self.identities)))
    }
}

/// Which part of the account an alert speaks of.
struct Filters {
    canonical: String,
    subaccount_id: Option<i64>,
    facet_name: Option<String>,
    facet_value: Option<String>,
}

impl Filters {
    fn read<'a>(raw: &str, notes: &mut Notes<'a>) -> Result<Filters, Fault> {
        let raw = if raw == "null" { "{}" } else { raw };
        let canonical = canonical(raw)
            .map_err(|_| Fault::new(RejectCode::Json, "filters are not well-formed json"))?;
        let mut parts = object_fields(&canonical).unwrap_or_else(|| {
            notes.flag("misfit:filters");
            Vec::new()
        });
        parts.sort();
        let mut subaccount_id = None;
        let mut facets: Vec<(String, String)> = Vec::new();
        for (key, raw) in &parts {
            if key != "subaccount_id" {
                let value = Raw::of(raw)
                    .text()
                    .map_or_else(|| raw.to_string(), Cow::into_owned);
                facets.push((key.to_string(), value));
                continue;
            }
            match Raw::of(raw).int() {
                Reading::Value(WHOLE_ACCOUNT) | Reading::Absent => {}
                Reading::Value(id) => subaccount_id = Some(id),
                Reading::Misfit => notes.flag("misfit:subaccount_id"),
            }
        }
        let (names, values): (Vec<_>, Vec<_>) = facets.into_iter().unzip();
        let joined = |parts: Vec<String>| (!parts.is_empty()).then(|| parts.join(","));
        Ok(Filters {
            subaccount_id,
            facet_name: joined(names),
            facet_value: joined(values),
            canonical,
        })
    }
}

fn raw<'a>(fields: &[Member<'a>], key: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(known, _)| *known == key)
        .map(|(_, raw)| *raw)
}

fn number<'a>(fields: &[Member<'a>], key: &'static str, notes: &mut Notes<'a>) -> Option<i64> {
    let raw = raw(fields, key)?;
    match Raw::of(raw).int() {
        Reading::Value(number) => Some(number),
        Reading::Absent => None,
        Reading::Misfit => {
            notes.misfit(Cow::Borrowed(key), raw);
            None
        }
    }
}

fn float<'a>(raw: Option<&'a str>, key: &'static str, notes: &mut Notes<'a>) -> Option<f64> {
    match Raw::of(raw?).float() {
        Reading::Value(number) => Some(number),
        Reading::Absent => None,
        Reading::Misfit => {
            notes.misfit(Cow::Borrowed(key), raw?);
            None
        }
    }
}

fn text<'a>(
    fields: &[Member<'a>],
    key: &'static str,
    notes: &mut Notes<'a>,
) -> Option<Cow<'a, str>> {
    let raw = raw(fields, key)?;
    let text = Raw::of(raw).text();
    if text.is_none() && raw != "null" {
        notes.misfit(Cow::Borrowed(key), raw);
    }
    text
}

/// `Day Over Day`, `GT`: drafts of the sender's API spelled what is now `day_over_day`, `gt`.
fn word(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace([' ', '-'], "_")
}

fn triggered_at<'a>(fields: &[Member<'a>], notes: &mut Notes<'a>) -> Option<i64> {
    match raw(fields, "triggered_at").map(|raw| Raw::of(raw).micros()) {
        Some(Reading::Value(micros)) => Some(micros),
        Some(Reading::Misfit) => {
            let raw = raw(fields, "triggered_at").unwrap_or_default();
            notes.misfit(Cow::Borrowed("triggered_at"), raw);
            None
        }
        Some(Reading::Absent) | None => {
            notes.flag("triggered_at_missing");
            None
        }
    }
}

/// The alert's identity, from the texts as sent.
fn record_id_of(fields: &[Member<'_>], filters: &str) -> Result<String, Fault> {
    let part = |key| match raw(fields, key) {
        None => Ok(String::new()),
        Some(raw) => Raw::of(raw)
            .text()
            .map(|text| Ok(text.into_owned()))
            .unwrap_or_else(|| canonical(raw)),
    };
    let parts = (|| {
        Ok::<_, serde_json::Error>((part("alert_id")?, part("metric")?, part("triggered_at")?))
    })();
    let (alert_id, metric, triggered_at) =
        parts.map_err(|_| Fault::new(RejectCode::Json, "alert is not well-formed json"))?;
    Ok(record_id(&alert_id, &word(&metric), filters, &triggered_at))
}

fn keep_unknown<'a>(fields: &'a [Member<'a>], notes: &mut Notes<'a>) {
    const KNOWN: [&str; 9] = [
        "alert_id",
        "incident_id",
        "name",
        "metric",
        "evaluator",
        "threshold_evaluator",
        "triggered_value",
        "triggered_at",
        "filters",
    ];
    for (key, raw) in fields {
        if !KNOWN.contains(&key.as_ref()) {
            notes.keep(Cow::Borrowed(key.as_ref()), Cow::Borrowed(raw));
        }
    }
}
