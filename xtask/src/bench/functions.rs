//! The functions of AWS Lambda under one runtime of ours: beside the function that they replace, and an alert
//! on thousands of subaccounts from its POST to its rows.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Effort;
use super::binaries::{Folder, release};
use super::figures::Figures;
use super::goals::{self, Goal, at_least, at_most};
use super::machine::{Surroundings, load_average};
use super::report::{Report, Section};
use crate::program::{quiet, target};
use crate::{install, package};

const SCRIPT: &str = "bench/functions.py";
/// Where the original function lies, a file in Python; it is no part of this repository.
const ORIGINAL: &str = "POSTLAKE_BENCH_ORIGINAL_FUNCTION";
const RUNTIME: &str = "bench/peers/lambda_runtime.py";
/// Warm answers of each round.
const CALLS: usize = 100;

const LABELS: &[(&str, &str)] = &[
    (
        "cold_start_ms",
        "from the start of the process to the first answer, ms",
    ),
    ("warm_p50_ms", "answers after that, 100 kB, p50, ms"),
    ("warm_p99_ms", "p99, ms"),
    ("megabyte_ms", "a batch of 1 MB, ms"),
    ("peak_rss_mib", "peak RSS after batches of 1 MB, MiB"),
];

/// What a run found.
struct Found {
    receive: Figures,
    original: Figures,
    scores: Figures,
    with_sinks: Figures,
    within_memory: bool,
    zipped_bytes: f64,
    original_bytes: Option<f64>,
}

pub(crate) fn run(root: &Path, effort: Effort) -> Result<()> {
    let folder = Folder::make(root, "functions")?;
    let mut surroundings = Surroundings::look(root, &folder)?;
    if effort.build {
        release(root, "postlake", &["postlake"])?;
    }
    let package = package::receive(root, &folder)?;
    let python = install::python_of_aws()?;
    let original = env::var_os(ORIGINAL).map(PathBuf::from);
    let commands = commands(root, &folder, &python, original.as_deref(), effort);
    let said = quiet(
        Command::new(&python)
            .arg(root.join(SCRIPT))
            .arg(commands.to_string()),
    )?;
    let answer: Value = serde_json::from_str(&said).context("read what the functions came to")?;
    surroundings.add("load average after", load_average()?);
    let found = Found {
        receive: figures(&answer, "/subjects/receive"),
        original: figures(&answer, "/subjects/original"),
        scores: figures(&answer, "/scores"),
        with_sinks: figures(&answer, "/scores_with_sinks"),
        within_memory: answer.get("within_memory") == Some(&json!(true)),
        zipped_bytes: package.zipped_bytes as f64,
        original_bytes: original.as_deref().map(zipped(&python)).transpose()?,
    };
    println!("{}", report(effort, surroundings, &found).write(root)?);
    Ok(())
}

fn commands(
    root: &Path,
    folder: &Path,
    python: &Path,
    original: Option<&Path>,
    effort: Effort,
) -> Value {
    let postlake = target(root).join("release/postlake");
    let runtime = root.join(RUNTIME);
    json!({
        "receive": [folder.join("postlake-receive/bootstrap")],
        "load": [postlake, "lambda"],
        "postlake": postlake,
        "original": original.map(|file| json!([python, runtime, file])),
        "rounds": effort.rounds,
        "calls": CALLS,
    })
}

/// A list of rounds, figure by figure.
fn figures(answer: &Value, pointer: &str) -> Figures {
    let mut figures = Figures::default();
    let rounds = answer.pointer(pointer).and_then(Value::as_array);
    let fields = rounds.into_iter().flatten().filter_map(Value::as_object);
    for (name, value) in fields.flatten() {
        if let Some(value) = value.as_f64() {
            figures.add(name, value);
        }
    }
    figures
}

fn goals(found: &Found) -> Vec<Goal> {
    let receive = &found.receive;
    let mut goals = vec![
        at_most(
            "package",
            "receive, MB zipped",
            15.0,
            found.zipped_bytes / 1e6,
        ),
        at_most(
            "L16",
            "cold start, ms",
            500.0,
            receive.median("cold_start_ms"),
        ),
        at_least(
            "L16",
            "batches of 1 MB within 128 MiB of memory (1 is yes)",
            1.0,
            f64::from(u8::from(found.within_memory)),
        ),
        at_most(
            "L10",
            "5,000 subaccounts answered, ms",
            1000.0,
            found.scores.median("answered_ms"),
        ),
        at_most(
            "L10",
            "5,000 subaccounts loaded, s",
            10.0,
            found.scores.median("loaded_s"),
        ),
        at_least("L10", "rows", 5000.0, found.scores.least("rows")),
    ];
    if !found.original.is_empty() {
        let of = receive.median("cold_start_ms") / found.original.median("cold_start_ms");
        goals.push(at_most(
            "L16",
            "cold start, as a part of the original's",
            1.0 / 3.0,
            of,
        ));
    }
    goals
}

fn report(effort: Effort, surroundings: Surroundings, found: &Found) -> Report {
    let goals = goals(found);
    Report {
        name: "functions",
        title: "Functions of AWS Lambda",
        command: format!("cargo xtask bench functions --rounds {}", effort.rounds),
        surroundings,
        data: json!({
            "rounds": effort.rounds,
            "calls": CALLS,
            "receive": found.receive.json(),
            "original": found.original.json(),
            "scores": found.scores.json(),
            "scores_with_sinks": found.with_sinks.json(),
            "within_128_mib": found.within_memory,
            "receive_zipped_bytes": found.zipped_bytes,
            "original_zipped_bytes": found.original_bytes,
            "goals": goals::json(&goals),
        }),
        sections: vec![goals::section(&goals), answers(found), scores(found)],
    }
}

fn answers(found: &Found) -> Section {
    let words = "One runtime, one S3 (ministack) for both; the original is the function in Python that stores batches of events, \
        with boto3, and looks whether the object is there before it puts it. It stands in no package of ours: a file by path \
        from the environment, absent otherwise. Its interpreter has no snapshot and no warmer disk than the program has.";
    let cell = |figures: &Figures, name: &str| match figures.is_empty() {
        true => "absent".to_owned(),
        false => figures.text(name).unwrap_or_default(),
    };
    let mut rows: Vec<_> = LABELS
        .iter()
        .map(|(name, label)| {
            let (ours, theirs) = (cell(&found.receive, name), cell(&found.original, name));
            vec![(*label).to_owned(), ours, theirs]
        })
        .collect();
    let megabytes = |bytes: f64| format!("{:.1}", bytes / 1e6);
    rows.push(vec![
        "package, MB zipped (of the original: its file; boto3 comes with the runtime)".to_owned(),
        megabytes(found.zipped_bytes),
        found.original_bytes.map_or("absent".to_owned(), megabytes),
    ]);
    Section {
        title: "`receive` and the function that it replaces".to_owned(),
        words: words.to_owned(),
        head: ["", "receive", "original"].map(str::to_owned).to_vec(),
        rows,
    }
}

fn scores(found: &Found) -> Section {
    let row = |label: &str, name: &str| {
        let mut cells = vec![label.to_owned()];
        let both = [&found.scores, &found.with_sinks];
        cells.extend(both.map(|figures| figures.text(name).unwrap_or_default()));
        cells
    };
    Section {
        title: "An alert on 5,000 subaccounts".to_owned(),
        words: "Posted as a function URL hands it over, to `receive` that starts cold; loaded by `load` that starts cold, from the \
            POST to the answer of `load`. With the sinks of the template that answer comes after 5,000 score files and 10,000 \
            items, through an emulator."
            .to_owned(),
        head: ["", "lake", "lake, CSV, score files, DynamoDB"].map(str::to_owned).to_vec(),
        rows: vec![
            row("bytes of the body", "body_bytes"),
            row("answered, ms, cold start in it", "answered_ms"),
            row("loaded, s", "loaded_s"),
            row("rows", "rows"),
        ],
    }
}

/// What the file of the original has zipped.
fn zipped(python: &Path) -> impl Fn(&Path) -> Result<f64> {
    const SIZE: &str =
        "import sys, zlib; print(len(zlib.compress(open(sys.argv[1], 'rb').read())))";
    let python = python.to_owned();
    move |file| {
        let said = quiet(Command::new(&python).args(["-c", SIZE]).arg(file))?;
        said.trim().parse().context("read a size")
    }
}
