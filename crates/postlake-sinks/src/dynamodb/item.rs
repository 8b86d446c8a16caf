//! An alert as items of the table.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::alert::Alert;

/// An item: attributes with their types, as the protocol has them.
pub(crate) type Item = Map<String, Value>;

/// The primary key.
pub(crate) const KEY: &str = "record_id";
/// What a `latest` item is compared by.
pub(crate) const ORDERED_BY: &str = "ordered_by";
/// Seconds since the epoch, after which the service removes the item.
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// The service takes 400 KB, names of attributes included. What is left is for types and braces, which
/// it does not count, and for numbers, which it counts in a way of its own.
const MOST_BYTES: usize = 390 * 1024;
/// To this a text is cut in an item that is too large.
const CUT_BYTES: usize = 4 * 1024;
/// Beyond these the service has not the 38 digits for a number.
const REPRESENTABLE: std::ops::Range<f64> = 1e-100..1e34;
/// Outside these a number is written with an exponent.
const WRITTEN_OUT: std::ops::Range<f64> = 1e-6..1e21;

/// The item of an alert, made of its row alone: a second delivery writes the same.
pub(crate) fn alert_item(alert: &Alert<'_>, keep: Option<Duration>) -> Item {
    let mut item = Builder::default();
    item.text(KEY, Some(alert.record_id));
    item.text("kind", Some("alert"));
    item.text("triggered_at", Some(&alert.triggered_at_text()));
    common(&mut item, alert, keep);
    item.int("incident_id", alert.incident_id);
    item.text("operator", alert.operator);
    item.text("source", alert.source);
    item.number("threshold", alert.threshold);
    item.text("filters", alert.filters);
    item.finish()
}

/// The item that holds the newest alert of its subject. It has no `triggered_at` and so is not in the
/// index by time, where its alert already is.
pub(crate) fn latest_item(alert: &Alert<'_>, keep: Option<Duration>) -> Item {
    let mut item = Builder::default();
    item.text(KEY, Some(&latest_key(alert)));
    item.text("kind", Some("latest"));
    item.text("latest_at", Some(&alert.triggered_at_text()));
    item.text("latest_record_id", Some(alert.record_id));
    item.text(ORDERED_BY, Some(&alert.order()));
    common(&mut item, alert, keep);
    item.finish()
}

/// `latest#<metric>#<subaccount>`, for a facet with `#<name>=<value>` behind it.
pub(crate) fn latest_key(alert: &Alert<'_>) -> String {
    let metric = alert.metric.unwrap_or("none");
    let mut key = format!("latest#{metric}#{}", alert.subaccount_or_whole());
    if let Some(name) = alert.facet_name {
        let value = alert.facet_value.unwrap_or_default();
        key.push_str(&format!("#{name}={value}"));
    }
    key
}

fn common(item: &mut Builder, alert: &Alert<'_>, keep: Option<Duration>) {
    item.int("alert_id", alert.alert_id);
    item.text("name", alert.name);
    item.text("metric", alert.metric);
    item.int("subaccount_id", Some(alert.subaccount_or_whole()));
    item.text("facet_name", alert.facet_name);
    item.text("facet_value", alert.facet_value);
    item.rounded("triggered_value", alert.triggered_value);
    item.number("triggered_value_exact", alert.triggered_value);
    let expires_at = keep.map(|keep| {
        let seconds = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
        alert.time().timestamp().saturating_add(seconds)
    });
    item.int(EXPIRES_AT, expires_at);
}

/// Absent values are absent attributes.
#[derive(Default)]
struct Builder(Item);

impl Builder {
    fn text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.0.insert(name.to_owned(), json!({ "S": text }));
        }
    }

    fn int(&mut self, name: &str, number: Option<i64>) {
        if let Some(number) = number {
            self.0
                .insert(name.to_owned(), json!({ "N": number.to_string() }));
        }
    }

    /// Three decimals, as the original system has it.
    fn rounded(&mut self, name: &str, number: Option<f64>) {
        if let Some(number) = number.filter(|number| is_representable(*number)) {
            self.0
                .insert(name.to_owned(), json!({ "N": format!("{number:.3}") }));
        }
    }

    /// The number to its last digit; as text if it is none that the service can hold.
    fn number(&mut self, name: &str, number: Option<f64>) {
        let Some(number) = number else { return };
        let size = number.abs();
        let text = match number == 0.0 || WRITTEN_OUT.contains(&size) {
            true => format!("{number}"),
            false => format!("{number:e}"),
        };
        let kind = if is_representable(number) { "N" } else { "S" };
        self.0.insert(name.to_owned(), json!({ kind: text }));
    }

    /// Cuts long texts if the item would be too large; what was cut is named in `cut`.
    fn finish(self) -> Item {
        let mut item = self.0;
        if size(&item) <= MOST_BYTES {
            return item;
        }
        let mut cut = Vec::new();
        for (name, value) in &mut item {
            let Some(Value::String(text)) = value.get_mut("S") else {
                continue;
            };
            if text.len() > CUT_BYTES && name != KEY {
                text.truncate(text.floor_char_boundary(CUT_BYTES));
                cut.push(name.clone());
            }
        }
        item.insert("cut".to_owned(), json!({ "SS": cut }));
        item
    }
}

fn is_representable(number: f64) -> bool {
    number == 0.0 || REPRESENTABLE.contains(&number.abs())
}

/// Names and texts in bytes; a number counts as its digits, which is more than the service counts.
fn size(item: &Item) -> usize {
    let of_value = |value: &Value| match value {
        Value::Object(typed) => typed.values().filter_map(Value::as_str).map(str::len).sum(),
        _ => 0,
    };
    item.iter()
        .map(|(name, value)| name.len() + of_value(value))
        .sum()
}
