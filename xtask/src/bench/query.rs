//! Questions over a large lake: postlake over HTTP beside DuckDB on the same Parquet files.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Effort;
use super::binaries::Binaries;
use super::figures::{Figures, short};
use super::goals::{self, Goal, at_most};
use super::load::Files;
use super::machine::{Surroundings, load_average};
use super::measured::{answer, number, to_end};
use super::report::{Report, Section};
use crate::install;

const DAYS: usize = 7;
/// The question that has a goal of its own.
const RECIPIENT: &str = "one recipient";

/// What one question took.
struct Asked {
    name: String,
    rows: f64,
    figures: Figures,
}

/// What a run found.
struct Found {
    page: Figures,
    asked: Vec<Asked>,
    files: Files,
    duckdb: String,
}

pub(crate) fn run(root: &Path, effort: Effort) -> Result<()> {
    let binaries = Binaries::prepare(root, "query", effort.build)?;
    let python = install::python()?;
    let mut surroundings = Surroundings::look(root, &binaries.folder)?;
    let data = binaries.folder.join("data");
    fill(&binaries, &data, effort.events)?;
    let questions = root.join("bench/queries.json");
    let mut ask = Command::new(&binaries.bench);
    ask.arg("ask").arg("--program").arg(&binaries.postlake);
    ask.arg("--data")
        .arg(&data)
        .arg("--questions")
        .arg(&questions);
    let ours = answer(ask.args(["--rounds", &effort.rounds.to_string()]))?;
    let recipient = ours.pointer("/recipient").and_then(Value::as_str);
    let mut duckdb = Command::new(&python);
    duckdb
        .arg(root.join("bench/query_duckdb.py"))
        .arg(data.join("lake/events"));
    duckdb.arg(&questions).arg(effort.rounds.to_string());
    let theirs = answer(duckdb.arg(recipient.context("there is no recipient")?))?;
    let found = found(&ours, &theirs, Files::below(&data.join("lake/events"))?)?;
    surroundings.add("load average after", load_average()?);
    println!("{}", report(effort, surroundings, &found).write(root)?);
    Ok(())
}

/// Loaded as a backlog is, then compacted.
fn fill(binaries: &Binaries, data: &Path, events: usize) -> Result<()> {
    let mut backlog = Command::new(&binaries.bench);
    backlog.arg("backlog").arg("--data").arg(data);
    answer(backlog.args(["--events", &events.to_string(), "--days", &DAYS.to_string()]))?;
    let without_sinks = binaries.folder.join("postlake.toml");
    fs::write(&without_sinks, "sinks = []\n").context("write a configuration")?;
    for command in ["load", "compact"] {
        let mut program = Command::new(&binaries.postlake);
        program.args([command, "--config"]).arg(&without_sinks);
        to_end(program.arg("--data").arg(data))?;
    }
    Ok(())
}

fn found(ours: &Value, theirs: &Value, files: Files) -> Result<Found> {
    let mut page = Figures::default();
    page.add("first_page_ms", number(ours, "/first_page_ms")?);
    let questions = ours.get("questions").and_then(Value::as_object);
    let mut asked = Vec::new();
    for (name, answer) in questions.context("there are no questions")? {
        let other = theirs
            .pointer(&format!("/questions/{name}"))
            .context("DuckDB was not asked")?;
        let rows = number(answer, "/rows")?;
        ensure!(rows == number(other, "/rows")?, "{name}: other rows");
        let mut figures = Figures::default();
        for (key, answer) in [("postlake_ms", answer), ("duckdb_ms", other)] {
            let taken = answer
                .get("ms")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            for ms in taken.filter_map(Value::as_f64) {
                figures.add(key, ms);
            }
        }
        let ratio = figures.median("postlake_ms") / figures.median("duckdb_ms");
        figures.add("ratio", ratio);
        asked.push(Asked {
            name: name.clone(),
            rows,
            figures,
        });
    }
    let version = theirs
        .get("version")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Ok(Found {
        page,
        asked,
        files,
        duckdb: format!("DuckDB {version}"),
    })
}

fn goals(found: &Found) -> Vec<Goal> {
    let ratios = found
        .asked
        .iter()
        .map(|asked| asked.figures.median("ratio"));
    let recipient = found.asked.iter().find(|asked| asked.name == RECIPIENT);
    let recipient = recipient.map_or(f64::NAN, |asked| asked.figures.median("postlake_ms"));
    vec![
        at_most(
            "page",
            "the page, asked for the first time, ms",
            300.0,
            found.page.median("first_page_ms"),
        ),
        at_most("recipient", "one recipient's history, ms", 500.0, recipient),
        at_most(
            "all",
            "the largest ratio to DuckDB",
            1.5,
            ratios.fold(f64::NAN, f64::max),
        ),
    ]
}

fn report(effort: Effort, surroundings: Surroundings, found: &Found) -> Report {
    let goals = goals(found);
    let row = |asked: &Asked| {
        let text = |key: &str| asked.figures.text(key).unwrap_or_default();
        let ratio = short(asked.figures.median("ratio"));
        vec![
            asked.name.clone(),
            short(asked.rows),
            text("postlake_ms"),
            text("duckdb_ms"),
            ratio,
        ]
    };
    let head = [
        "question",
        "rows",
        "postlake over HTTP, ms",
        &found.duckdb,
        "ratio",
    ];
    let questions = Section {
        title: "Questions".to_owned(),
        words: format!(
            "{} events of {DAYS} days, loaded and compacted: {} files of {} MB in all. `POST /api/v1/query` from the connection to the last byte, \
             on the read process of `postlake serve` with its limits as they are; DuckDB in its own process with all cores, \
             on the files that the log names, from the question to the rows in Arrow. Each was asked once before. The page, in full and for the first \
             time after the start, took {} ms.",
            effort.events,
            short(found.files.count),
            short(found.files.bytes / 1e6),
            short(found.page.median("first_page_ms"))
        ),
        head: head.map(str::to_owned).to_vec(),
        rows: found.asked.iter().map(row).collect(),
    };
    let asked = found
        .asked
        .iter()
        .map(|asked| (asked.name.clone(), asked.figures.json()));
    Report {
        name: "query",
        title: "Questions over a large lake",
        command: format!(
            "cargo xtask bench query --rounds {} --events {}",
            effort.rounds, effort.events
        ),
        surroundings,
        data: json!({
            "events": effort.events,
            "rounds": effort.rounds,
            "duckdb": found.duckdb,
            "page": found.page.json(),
            "questions": asked.collect::<serde_json::Map<_, _>>(),
            "goals": goals::json(&goals),
        }),
        sections: vec![goals::section(&goals), questions],
    }
}
