//! How soon an event can be asked for after its batch was answered 200.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::Effort;
use super::binaries::Binaries;
use super::figures::Figures;
use super::goals::{self, Goal, at_most};
use super::machine::{Surroundings, load_average};
use super::measured::{answer, number};
use super::report::{Report, Section};

/// A moderate sender: three million events a day.
const RATE: f64 = 10.0;
const EVENTS: usize = 35;

/// `load.interval`, and what it is called in the run.
const INTERVALS: [(&str, &str); 2] = [("2s", "default"), ("100ms", "short")];

const LABELS: &[(&str, &str)] = &[
    ("p50_ms", "from 200 to visible: p50, ms"),
    ("p99_ms", "from 200 to visible: p99, ms"),
    ("max_ms", "from 200 to visible: longest, ms"),
    ("asked_p50_ms", "a question: p50, ms"),
    ("batches", "batches"),
];

pub(crate) fn run(root: &Path, effort: Effort) -> Result<()> {
    let binaries = Binaries::prepare(root, "fresh", effort.build)?;
    let mut surroundings = Surroundings::look(root, &binaries.folder)?;
    let mut found: Vec<_> = INTERVALS.iter().map(|_| Figures::default()).collect();
    for round in 1..=effort.rounds {
        for ((interval, name), figures) in INTERVALS.iter().zip(&mut found) {
            let answer = measure(&binaries, effort, interval)?;
            for (figure, pointer) in [
                ("p50_ms", "/fresh/p50_ms"),
                ("p99_ms", "/fresh/p99_ms"),
                ("max_ms", "/fresh/max_ms"),
                ("asked_p50_ms", "/asked/p50_ms"),
                ("batches", "/batches"),
            ] {
                figures.add(figure, number(&answer, pointer)?);
            }
            eprintln!("{name} round {round}: {answer}");
        }
    }
    surroundings.add("load average after", load_average()?);
    println!("{}", report(effort, surroundings, &found).write(root)?);
    Ok(())
}

fn measure(binaries: &Binaries, effort: Effort, interval: &str) -> Result<Value> {
    let mut command = Command::new(&binaries.bench);
    command
        .arg("fresh")
        .arg("--program")
        .arg(&binaries.postlake);
    for (name, value) in [
        ("--interval", interval.to_owned()),
        ("--rate", RATE.to_string()),
        ("--events", EVENTS.to_string()),
        ("--seconds", effort.seconds.to_string()),
    ] {
        command.args([name, &value]);
    }
    // The data lies on the disk that everything else is measured on.
    answer(command.env("TMPDIR", &*binaries.folder))
}

fn goals(found: &[Figures]) -> Vec<Goal> {
    let default = found.first();
    let p99 = default.map_or(f64::NAN, |figures| figures.most("p99_ms"));
    vec![at_most(
        "default",
        "from 200 to visible in SQL: p99, ms",
        5000.0,
        p99,
    )]
}

fn report(effort: Effort, surroundings: Surroundings, found: &[Figures]) -> Report {
    let goals = goals(found);
    let names = INTERVALS.iter().map(|(_, name)| (*name).to_owned());
    let mut data: serde_json::Map<String, Value> =
        names.zip(found.iter().map(Figures::json)).collect();
    data.insert("goals".to_owned(), goals::json(&goals));
    let sections = INTERVALS
        .iter()
        .zip(found)
        .map(|((interval, name), figures)| Section {
            title: format!("{name}: load.interval = {interval}"),
            words: format!(
                "{RATE} batches of {EVENTS} events a second for {} s to `postlake serve`, which also answers \
                 `POST /api/v1/query` every 10 ms: from the 200 of a batch to the first answer that has it. \
                 That includes the question itself and the pause before it.",
                effort.seconds
            ),
            head: vec![String::new(), "postlake serve".to_owned()],
            rows: LABELS
                .iter()
                .filter_map(|(key, label)| Some(vec![(*label).to_owned(), figures.text(key)?]))
                .collect(),
        });
    Report {
        name: "fresh",
        title: "From 200 to visible",
        command: format!(
            "cargo xtask bench fresh --rounds {} --seconds {}",
            effort.rounds, effort.seconds
        ),
        surroundings,
        sections: std::iter::once(goals::section(&goals))
            .chain(sections)
            .collect(),
        data: json!(data),
    }
}
