//! Figures of repeated runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The values of one figure, one for each repetition.
#[derive(Debug, Clone, Default)]
struct Series {
    values: Vec<f64>,
}

impl Series {
    fn add(&mut self, value: f64) {
        self.values.push(value);
        self.values.sort_by(f64::total_cmp);
    }

    fn median(&self) -> f64 {
        let middle = self.values.len() / 2;
        let at = |index: usize| self.values.get(index).copied().unwrap_or(f64::NAN);
        if self.values.len().is_multiple_of(2) && middle > 0 {
            f64::midpoint(at(middle - 1), at(middle))
        } else {
            at(middle)
        }
    }

    fn least(&self) -> f64 {
        self.values.first().copied().unwrap_or(f64::NAN)
    }

    fn most(&self) -> f64 {
        self.values.last().copied().unwrap_or(f64::NAN)
    }

    /// `median (least to most)`.
    fn text(&self) -> String {
        if self.values.is_empty() {
            return "-".to_owned();
        }
        format!(
            "{} ({} to {})",
            short(self.median()),
            short(self.least()),
            short(self.most())
        )
    }

    fn json(&self) -> Value {
        json!({ "median": self.median(), "min": self.least(), "max": self.most(), "values": self.values })
    }
}

/// The figures of one subject, by name.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    series: BTreeMap<String, Series>,
}

impl Figures {
    pub(crate) fn add(&mut self, name: &str, value: f64) {
        self.series.entry(name.to_owned()).or_default().add(value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    pub(crate) fn median(&self, name: &str) -> f64 {
        self.series.get(name).map_or(f64::NAN, Series::median)
    }

    pub(crate) fn least(&self, name: &str) -> f64 {
        self.series.get(name).map_or(f64::NAN, Series::least)
    }

    pub(crate) fn most(&self, name: &str) -> f64 {
        self.series.get(name).map_or(f64::NAN, Series::most)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.series.get(name).map(Series::text)
    }

    pub(crate) fn json(&self) -> Value {
        self.series
            .iter()
            .map(|(name, series)| (name.clone(), series.json()))
            .collect()
    }
}

/// Three digits that say something, thousands with commas.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "-".to_owned();
    }
    if size >= 1000.0 {
        return thousands(value.round() as i64);
    }
    let decimals = match size {
        _ if size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

fn thousands(value: i64) -> String {
    let digits = value.abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_with_its_ends() {
        let mut series = Series::default();
        assert_eq!(series.text(), "-");
        for value in [3.0, 1.0, 2.0] {
            series.add(value);
        }
        assert_eq!(series.text(), "2.00 (1.00 to 3.00)");
        series.add(10.0);
        assert_eq!(series.median(), 2.5);
    }

    #[test]
    fn figures_are_short() {
        for (value, text) in [
            (0.1234, "0.12"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1_234_567.8, "1,234,568"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
