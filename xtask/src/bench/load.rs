//! Loading a backlog: `postlake load` on sealed segments, beside decoding and Parquet alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Effort;
use super::binaries::Binaries;
use super::figures::Figures;
use super::goals::{self, Goal, at_least, at_most};
use super::machine::{Surroundings, load_average};
use super::measured::{Taken, answer, number, to_end};
use super::report::{Report, Section};

/// Events that are decoded to find what decoding and Parquet take alone.
const CORPUS_EVENTS: usize = 100_000;
/// The part of the backlog that comes a second time to a loader that knows nothing.
const AGAIN: usize = 100;
const MIB: f64 = 1024.0 * 1024.0;

/// A kind of backlog.
struct Backlog {
    name: &'static str,
    title: &'static str,
    days: u32,
    duplicates: f64,
}

const BACKLOGS: [Backlog; 2] = [
    Backlog {
        name: "day",
        title: "One day, no event twice",
        days: 1,
        duplicates: 0.0,
    },
    Backlog {
        name: "storm",
        title: "Seven days in random order, every tenth batch a second time",
        days: 7,
        duplicates: 0.1,
    },
];

const LABELS: &[(&str, &str)] = &[
    ("items_per_second", "events a second"),
    ("megabytes_per_second", "MB of JSON a second"),
    (
        "of_the_limit",
        "part of what decoding and Parquet alone leave",
    ),
    ("cpu_seconds", "CPU seconds per million events"),
    (
        "alone_seconds",
        "decoding and Parquet alone: core seconds per million events",
    ),
    ("peak_rss_mib", "peak RSS, MiB"),
    (
        "bytes_per_event",
        "bytes of data files per event in the lake",
    ),
    ("commits", "commits of `events`"),
    ("file_mib", "MiB of a data file"),
    (
        "again_seconds",
        "a new process and a hundredth of it again: seconds",
    ),
    (
        "again_rss_mib",
        "a new process and a hundredth of it again: peak RSS, MiB",
    ),
];

pub(crate) fn run(root: &Path, effort: Effort) -> Result<()> {
    let binaries = Binaries::prepare(root, "load", effort.build)?;
    let mut surroundings = Surroundings::look(root, &binaries.folder)?;
    let mut found: Vec<_> = BACKLOGS.iter().map(|_| Figures::default()).collect();
    for round in 1..=effort.rounds {
        let alone = alone(&binaries)?;
        for (backlog, figures) in BACKLOGS.iter().zip(&mut found) {
            let bench = Bench {
                binaries: &binaries,
                backlog,
                data: binaries.folder.join("data"),
                events: effort.events,
                round,
            };
            bench.measure(alone, figures)?;
            fs::remove_dir_all(&bench.data).context("remove the data")?;
        }
    }
    surroundings.add("load average after", load_average()?);
    println!("{}", report(effort, surroundings, &found).write(root)?);
    Ok(())
}

/// Core seconds for each event that decoding and writing Parquet take, with nothing else.
fn alone(binaries: &Binaries) -> Result<f64> {
    let corpus = binaries.folder.join("corpus.json");
    let mut command = Command::new(&binaries.bench);
    command.args([
        "corpus",
        "--events",
        &CORPUS_EVENTS.to_string(),
        "--webhook",
    ]);
    answer(command.arg(&corpus))?;
    let found = answer(Command::new(&binaries.hotpath).arg("decode").arg(&corpus))?;
    let seconds = number(&found, "/decode_seconds")? + number(&found, "/parquet_seconds")?;
    Ok(seconds / number(&found, "/events")?)
}

struct Bench<'a> {
    binaries: &'a Binaries,
    backlog: &'a Backlog,
    data: PathBuf,
    events: usize,
    round: usize,
}

impl Bench<'_> {
    fn measure(&self, alone: f64, figures: &mut Figures) -> Result<()> {
        let filled = self.fill(self.events, 1)?;
        let items = number(&filled, "/events")?;
        let duplicates = number(&filled, "/duplicates")?;
        let taken = self.load(items, duplicates)?;
        let files = Files::below(&self.data.join("lake/events"))?;
        let refilled = self.fill((self.events / AGAIN).max(1), 2)?;
        let again = number(&refilled, "/events")?;
        let restarted = self.load(again, again)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let round = [
            ("items_per_second", items / taken.seconds),
            (
                "megabytes_per_second",
                number(&filled, "/body_bytes")? / 1e6 / taken.seconds,
            ),
            ("of_the_limit", items / taken.seconds * alone / cores),
            ("cpu_seconds", taken.cpu_seconds / items * 1e6),
            ("alone_seconds", alone * 1e6),
            ("peak_rss_mib", taken.peak_rss_mib),
            ("bytes_per_event", files.bytes / (items - duplicates)),
            ("commits", files.commits),
            ("file_mib", files.bytes / files.count.max(1.0) / MIB),
            ("again_seconds", restarted.seconds),
            ("again_rss_mib", restarted.peak_rss_mib),
        ];
        for (name, value) in round {
            figures.add(name, value);
        }
        let all = round.map(|(name, value)| format!("{name} {value:.2}"));
        eprintln!(
            "{} round {}: {}",
            self.backlog.name,
            self.round,
            all.join(", ")
        );
        Ok(())
    }

    /// The same seed gives the same events, in streams of other names.
    fn fill(&self, events: usize, random: u32) -> Result<Value> {
        let mut command = Command::new(&self.binaries.bench);
        command.arg("backlog").arg("--data").arg(&self.data);
        for (name, value) in [
            ("--events", events.to_string()),
            ("--days", self.backlog.days.to_string()),
            ("--duplicates", self.backlog.duplicates.to_string()),
            ("--seed", self.round.to_string()),
            ("--random", random.to_string()),
        ] {
            command.args([name, &value]);
        }
        answer(&mut command)
    }

    /// Loads everything; what it says must be what was sent.
    fn load(&self, items: f64, duplicates: f64) -> Result<Taken> {
        let without_sinks = self.binaries.folder.join("postlake.toml");
        fs::write(&without_sinks, "sinks = []\n").context("write a configuration")?;
        let mut command = Command::new(&self.binaries.postlake);
        command.args(["load", "--config"]).arg(&without_sinks);
        let taken = to_end(command.arg("--data").arg(&self.data))?;
        let expected = format!(
            "{items} items = {} events + 0 alerts + {duplicates} duplicates + 0 quarantined",
            items - duplicates
        );
        ensure!(
            taken.stdout.contains(&expected),
            "{} and not {expected}",
            taken.stdout
        );
        Ok(taken)
    }
}

/// What lies in the folder of a table.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Files {
    pub(super) bytes: f64,
    pub(super) count: f64,
    commits: f64,
}

impl Files {
    pub(super) fn below(folder: &Path) -> Result<Files> {
        let mut found = Files::default();
        let mut folders = vec![folder.to_owned()];
        while let Some(at) = folders.pop() {
            let entries = fs::read_dir(&at).with_context(|| format!("list {}", at.display()))?;
            for entry in entries {
                let entry = entry.context("list a folder")?;
                let path = entry.path();
                let is = |ending| path.extension().is_some_and(|found| found == ending);
                let in_log = at.ends_with("_delta_log");
                if path.is_dir() {
                    folders.push(path);
                } else if !in_log && is("parquet") {
                    found.bytes += entry.metadata().context("look at a file")?.len() as f64;
                    found.count += 1.0;
                } else if in_log && is("json") && path != at.join(format!("{:020}.json", 0)) {
                    found.commits += 1.0;
                }
            }
        }
        Ok(found)
    }
}

fn goals(found: &[Figures]) -> Vec<Goal> {
    let of = |(backlog, figures): (&Backlog, &Figures)| {
        [
            at_least(
                backlog.name,
                "events a second",
                100_000.0,
                figures.median("items_per_second"),
            ),
            at_most(
                backlog.name,
                "peak RSS, MiB",
                256.0,
                figures.most("peak_rss_mib"),
            ),
            at_most(
                backlog.name,
                "peak RSS after a restart, MiB",
                256.0,
                figures.most("again_rss_mib"),
            ),
            at_most(
                backlog.name,
                "bytes per event in the lake",
                100.0,
                figures.median("bytes_per_event"),
            ),
        ]
    };
    BACKLOGS.iter().zip(found).flat_map(of).collect()
}

fn report(effort: Effort, surroundings: Surroundings, found: &[Figures]) -> Report {
    let goals = goals(found);
    let mut data: serde_json::Map<String, Value> = BACKLOGS
        .iter()
        .zip(found)
        .map(|(backlog, figures)| (backlog.name.to_owned(), figures.json()))
        .collect();
    data.insert("goals".to_owned(), goals::json(&goals));
    data.insert("events".to_owned(), json!(effort.events));
    data.insert("rounds".to_owned(), json!(effort.rounds));
    let sections = BACKLOGS.iter().zip(found).map(|(backlog, figures)| Section {
        title: format!("{}: {}", backlog.name, backlog.title),
        words: format!(
            "{} events in segments of 16 batches of 350 in four streams. `postlake load` from its start to its \
             end, without sinks: reading, decoding, de-duplication, data files, commits, every one synced. Then a hundredth of the \
             events comes again, in other streams, to a new process that has no keys.",
            effort.events
        ),
        head: vec![String::new(), "postlake load".to_owned()],
        rows: LABELS
            .iter()
            .filter_map(|(key, label)| Some(vec![(*label).to_owned(), figures.text(key)?]))
            .collect(),
    });
    Report {
        name: "load",
        title: "Loading a backlog",
        command: format!(
            "cargo xtask bench load --events {} --rounds {}",
            effort.events, effort.rounds
        ),
        surroundings,
        data: Value::Object(data),
        sections: std::iter::once(goals::section(&goals))
            .chain(sections)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_commits_are_told_apart() {
        let folder = std::env::temp_dir().join(format!("postlake-files-{}", std::process::id()));
        let log = folder.join("_delta_log");
        let day = folder.join("event_date=2026-01-01");
        fs::create_dir_all(&log).unwrap();
        fs::create_dir_all(&day).unwrap();
        for name in [
            "00000000000000000000.json",
            "00000000000000000001.json",
            "1.checkpoint.parquet",
        ] {
            fs::write(log.join(name), "x").unwrap();
        }
        fs::write(day.join("part.parquet"), "four").unwrap();
        let expected = Files {
            bytes: 4.0,
            count: 1.0,
            commits: 1.0,
        };
        assert_eq!(Files::below(&folder).unwrap(), expected);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_was_not_measured_reaches_no_goal() {
        let nothing: Vec<_> = BACKLOGS.iter().map(|_| Figures::default()).collect();
        assert!(!goals(&nothing).iter().any(Goal::met));
    }
}
