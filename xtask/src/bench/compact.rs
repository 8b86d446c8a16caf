//! Merging small files: `postlake compact` on a day that was loaded in small commits, and what a reader
//! gains by it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Effort;
use super::binaries::Binaries;
use super::figures::Figures;
use super::load::Files;
use super::machine::{Surroundings, load_average};
use super::measured::{Taken, answer, number, to_end};
use super::report::{Report, Section};

/// Rows of a commit of the load that comes before.
const COMMIT_ROWS: usize = 10_000;
const MIB: f64 = 1024.0 * 1024.0;

const LABELS: &[(&str, &str)] = &[
    ("rows_per_second", "rows a second"),
    ("megabytes_per_second", "MB of data files read a second"),
    ("cpu_seconds", "CPU seconds per million rows"),
    ("peak_rss_mib", "peak RSS, MiB"),
    ("files_before", "data files of `events` before"),
    ("files_after", "and in the newest version after"),
    ("bytes_before", "bytes per event before"),
    ("bytes_after", "and after"),
    (
        "recipient_before",
        "history of one recipient, a process of its own: seconds before",
    ),
    ("recipient_after", "and after"),
    (
        "group_before",
        "events by type, a process of its own: seconds before",
    ),
    ("group_after", "and after"),
];

const GROUP: &str = "SELECT type, count(*) FROM events GROUP BY type ORDER BY type";

pub(crate) fn run(root: &Path, effort: Effort) -> Result<()> {
    let binaries = Binaries::prepare(root, "compact", effort.build)?;
    let mut surroundings = Surroundings::look(root, &binaries.folder)?;
    let mut figures = Figures::default();
    for round in 1..=effort.rounds {
        let bench = Bench {
            binaries: &binaries,
            data: binaries.folder.join("data"),
            config: binaries.folder.join("postlake.toml"),
        };
        bench.measure(effort.events, round, &mut figures)?;
        fs::remove_dir_all(&bench.data).context("remove the data")?;
    }
    surroundings.add("load average after", load_average()?);
    println!("{}", report(effort, surroundings, &figures).write(root)?);
    Ok(())
}

struct Bench<'a> {
    binaries: &'a Binaries,
    data: PathBuf,
    config: PathBuf,
}

impl Bench<'_> {
    fn measure(&self, events: usize, round: usize, figures: &mut Figures) -> Result<()> {
        let filled = self.fill(events, round)?;
        let items = number(&filled, "/events")?;
        let config = format!("sinks = []\n[load]\ncommit_rows = {COMMIT_ROWS}\n");
        fs::write(&self.config, config).context("write a configuration")?;
        self.taken(&["load"])?;
        let before = Files::below(&self.data.join("lake/events"))?;
        let one = "SELECT max(rcpt_to) FROM events";
        let one = self.taken(&["query", one, "-o", "csv"])?.stdout;
        let recipient = one.lines().nth(1).unwrap_or_default().replace('\'', "''");
        let history =
            format!("SELECT * FROM events WHERE rcpt_to = '{recipient}' ORDER BY event_at");
        let ask = |sql: &str| self.taken(&["query", sql, "-o", "csv"]);
        let (history_before, group_before) = (ask(&history)?, ask(GROUP)?);
        let taken = self.taken(&["compact", "-o", "json"])?;
        let (history_after, group_after) = (ask(&history)?, ask(GROUP)?);
        ensure!(
            history_before.stdout == history_after.stdout
                && group_before.stdout == group_after.stdout,
            "the answers are others than before"
        );
        let done: Value = serde_json::from_str(&taken.stdout).context("read the report")?;
        let of = |name: &str| number(&done, &format!("/tables/0/{name}"));
        let rows = of("rows")?;
        let left = before.count - of("files_before")? + of("files_after")?;
        let bytes = before.bytes - of("bytes_before")? + of("bytes_after")?;
        for (name, value) in [
            ("rows_per_second", rows / taken.seconds),
            (
                "megabytes_per_second",
                of("bytes_before")? / 1e6 / taken.seconds,
            ),
            ("cpu_seconds", taken.cpu_seconds / rows * 1e6),
            ("peak_rss_mib", taken.peak_rss_mib),
            ("files_before", before.count),
            ("files_after", left),
            ("bytes_before", before.bytes / items),
            ("bytes_after", bytes / items),
            ("recipient_before", history_before.seconds),
            ("recipient_after", history_after.seconds),
            ("group_before", group_before.seconds),
            ("group_after", group_after.seconds),
        ] {
            figures.add(name, value);
            eprintln!("round {round}: {name} {value:.2}");
        }
        eprintln!("{:.0} MiB of data files before", before.bytes / MIB);
        Ok(())
    }

    fn fill(&self, events: usize, round: usize) -> Result<Value> {
        let mut command = Command::new(&self.binaries.bench);
        command.arg("backlog").arg("--data").arg(&self.data);
        for (name, value) in [
            ("--events", events.to_string()),
            ("--days", "1".to_owned()),
            ("--duplicates", "0".to_owned()),
            ("--seed", round.to_string()),
            ("--random", "1".to_owned()),
        ] {
            command.args([name, &value]);
        }
        answer(&mut command)
    }

    fn taken(&self, arguments: &[&str]) -> Result<Taken> {
        let mut command = Command::new(&self.binaries.postlake);
        command.args(arguments).arg("--config").arg(&self.config);
        to_end(command.arg("--data").arg(&self.data))
    }
}

fn report(effort: Effort, surroundings: Surroundings, figures: &Figures) -> Report {
    let section = Section {
        title: "One day in small commits".to_owned(),
        words: format!(
            "{} events of one day, loaded in commits of {COMMIT_ROWS} rows, then `postlake compact` from its start to \
             its end: reading, sorting by subaccount, recipient and time, writing, commits, every one synced; all four \
             tables. The questions are `postlake query` before and after, with equal answers.",
            effort.events
        ),
        head: vec![String::new(), "postlake compact".to_owned()],
        rows: LABELS
            .iter()
            .filter_map(|(key, label)| Some(vec![(*label).to_owned(), figures.text(key)?]))
            .collect(),
    };
    Report {
        name: "compact",
        title: "Merging small files",
        command: format!(
            "cargo xtask bench compact --events {} --rounds {}",
            effort.events, effort.rounds
        ),
        surroundings,
        data: json!({
            "compact": figures.json(),
            "events": effort.events,
            "rounds": effort.rounds,
        }),
        sections: vec![section],
    }
}
