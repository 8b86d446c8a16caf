//! The scoreboard.

use serde_json::{Value, json};

use crate::bench::machine::Surroundings;
use crate::bench::report::{Report, Section};

/// The rows of results.
pub(super) fn rows(results: &Value) -> impl Iterator<Item = &Value> {
    results["rows"].as_array().into_iter().flatten()
}

pub(super) fn report(command: &str, surroundings: Surroundings, results: &Value) -> Report {
    Report {
        name: "faults",
        title: "Faults",
        command: command.to_owned(),
        surroundings,
        sections: vec![totals(results), faults(results), figures(results)],
        data: json!({ "totals": sums(results), "faults": results }),
    }
}

fn sum(results: &Value, of: &str, name: impl Fn(&str) -> bool) -> u64 {
    rows(results)
        .filter(|row| row["fault"].as_str().is_some_and(&name))
        .map(|row| row[of].as_u64().unwrap_or(0))
        .sum()
}

/// Name in the results, words, value.
fn lines(results: &Value) -> Vec<(&'static str, &'static str, u64)> {
    let met = |names: &'static [&'static str]| {
        sum(results, "met", move |fault| {
            names.iter().any(|name| fault.starts_with(name))
        })
    };
    let live = |fault: &str| fault != "F3";
    vec![
        (
            "random_kills",
            "random kills survived",
            sum(results, "met", |fault| fault == "F1"),
        ),
        (
            "io_kills",
            "kills at I/O calls survived",
            met(&["F2-", "F24"]),
        ),
        (
            "failed_calls",
            "failed I/O calls lived with",
            met(&["F4", "F5"]),
        ),
        ("power_cuts", "power cuts", met(&["F3"])),
        (
            "acked",
            "batches answered 200 under faults",
            sum(results, "acked", live),
        ),
        (
            "acked_before_cuts",
            "batches answered 200 before the power cuts, over all cuts",
            sum(results, "acked", |fault| fault == "F3"),
        ),
        ("lost", "batches lost", sum(results, "lost", |_| true)),
        (
            "doubled",
            "events and alerts doubled in the lake",
            sum(results, "doubled", |_| true),
        ),
        (
            "failed",
            "other promises broken",
            sum(results, "failed", |_| true),
        ),
    ]
}

fn sums(results: &Value) -> Value {
    let sums = lines(results)
        .into_iter()
        .map(|(name, _, value)| (name.to_owned(), json!(value)));
    Value::Object(sums.collect())
}

fn totals(results: &Value) -> Section {
    let rows = lines(results).into_iter();
    Section {
        title: "Score".to_owned(),
        words: format!(
            "Judged by the ledger of the clients, which is on the disk before a batch is sent and after its \
             answer has come. Seed {}. `docs/faults.md` says what each fault is.",
            results["seed"]
        ),
        head: vec!["what".to_owned(), "count".to_owned()],
        rows: rows
            .map(|(_, words, value)| vec![words.to_owned(), value.to_string()])
            .collect(),
    }
}

fn faults(results: &Value) -> Section {
    let head = [
        "fault", "what", "met", "acked", "lost", "doubled", "broken", "seconds",
    ];
    let cell = |row: &Value, name: &str| match &row[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            format!("{:.0}", number.as_f64().unwrap_or(0.0))
        }
        other => other.to_string(),
    };
    let keys = [
        "fault", "what", "met", "acked", "lost", "doubled", "failed", "seconds",
    ];
    Section {
        title: "By fault".to_owned(),
        words: "*Met* counts the times that the fault happened; a call that was never reached is not counted."
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows: rows(results)
            .map(|row| keys.map(|key| cell(row, key)).to_vec())
            .collect(),
    }
}

/// Answers, starts and notes of each row, and what went wrong.
fn figures(results: &Value) -> Section {
    let mut found = Vec::new();
    for row in rows(results) {
        let mut push = |name: String, value: String| {
            let fault = row["fault"].as_str().unwrap_or_default();
            found.push(vec![format!("{fault}: {name}"), value]);
        };
        let answers = &row["answers"];
        for (status, count) in answers["by_status"].as_object().into_iter().flatten() {
            let words = if status == "0" {
                "requests without an answer (the server was ended)".to_owned()
            } else {
                format!("answers {status}")
            };
            push(words, count.to_string());
        }
        if let Some(slowest) = answers["slowest_seconds"]
            .as_f64()
            .filter(|slowest| *slowest > 0.0)
        {
            push("slowest answer, s".to_owned(), format!("{slowest:.2}"));
        }
        if let Some(slowest) = row["slowest_start_seconds"].as_f64() {
            push("slowest start, s".to_owned(), format!("{slowest:.2}"));
            let late = format!("{} of {}", row["starts_over_2_seconds"], row["starts"]);
            push("starts over 2 s".to_owned(), late);
        }
        if row["met_elsewhere"].as_u64().unwrap_or(0) > 0 {
            let words = "met in pipes of the runtime, where only the data was judged";
            push(words.to_owned(), row["met_elsewhere"].to_string());
        }
        for (name, value) in row["notes"].as_object().into_iter().flatten() {
            push(name.replace('_', " "), value.to_string());
        }
        for failure in row["failures"].as_array().into_iter().flatten() {
            push("BROKEN".to_owned(), failure.to_string());
        }
    }
    Section {
        title: "Figures".to_owned(),
        words: "Times are those of a busy machine and say nothing about speed.".to_owned(),
        head: vec!["what".to_owned(), "value".to_owned()],
        rows: found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_adds_up() {
        let row = |fault: &str, met: u64| json!({ "fault": fault, "met": met, "acked": 10, "lost": 0, "doubled": 0, "failed": 1 });
        let results =
            json!({ "rows": [row("F1", 5), row("F15", 7), row("F2-load", 3), row("F3", 9)] });
        let sums = sums(&results);
        assert_eq!(sums["random_kills"], 5);
        assert_eq!(sums["io_kills"], 3);
        assert_eq!(sums["power_cuts"], 9);
        assert_eq!(sums["acked"], 30);
        assert_eq!(sums["failed"], 4);
    }
}
