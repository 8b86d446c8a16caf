//! JSON to Parquet and to CSV through `postlake convert`, against other engines on the same events.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::Effort;
use super::binaries::Binaries;
use super::figures::{Figures, short};
use super::machine::{Surroundings, load_average};
use super::measured::{Taken, answer, number, to_end};
use super::report::{Report, Section};
use crate::install;
use crate::program::find;

const EVENTS: usize = 200_000;
/// How many times more events the check of bounded memory converts.
const LARGER: usize = 5;
/// The core that everybody is bound to.
const CORE: &str = "0";

const FORMATS: [&str; 2] = ["parquet", "csv"];

/// Who converts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Postlake,
    /// An engine of `bench/convert_peers.py`, by the name it has there.
    Peer(&'static str),
    /// `bench/convert_plain.py`.
    Plain,
}

const ENGINES: [(Engine, &str); 6] = [
    (Engine::Postlake, "postlake convert"),
    (Engine::Peer("duckdb"), "DuckDB"),
    (Engine::Peer("polars"), "Polars"),
    (Engine::Peer("pyarrow"), "pyarrow"),
    (Engine::Peer("python"), "Python json + pyarrow"),
    (Engine::Plain, "plain Python json + csv"),
];

impl Engine {
    fn writes(self, format: &str) -> bool {
        match self {
            Self::Plain => format == "csv",
            // pyarrow's CSV writer takes no nested columns.
            Self::Peer("python" | "pyarrow") => format == "parquet",
            Self::Postlake | Self::Peer(_) => true,
        }
    }

    fn reads(self) -> &'static str {
        match self {
            Self::Postlake | Self::Plain => "webhook bodies",
            Self::Peer(_) => "a line an event",
        }
    }
}

/// The files of a run.
struct Corpus<'b> {
    root: &'b Path,
    binaries: &'b Binaries,
    python: PathBuf,
    webhook: PathBuf,
    lines: PathBuf,
    columns: PathBuf,
    webhook_bytes: f64,
    line_bytes: f64,
}

/// The figures of one engine and format.
struct Row {
    engine: Engine,
    name: &'static str,
    format: &'static str,
    version: String,
    figures: Figures,
}

pub(crate) fn run(root: &Path, effort: Effort) -> Result<()> {
    let binaries = Binaries::prepare(root, "convert", effort.build)?;
    let mut surroundings = Surroundings::look(root, &binaries.folder)?;
    if find("taskset").is_none() {
        bail!("taskset binds everybody to one core and is not here; Debian's util-linux has it");
    }
    let corpus = Corpus::make(root, &binaries)?;
    let mut rows = rows();
    for number in 0..effort.rounds {
        // Nobody always goes first.
        let turn = number % rows.len();
        rows.rotate_left(turn);
        for row in &mut rows {
            corpus.measure(row, number == 0)?;
        }
        rows.rotate_right(turn);
    }
    let memory = corpus.memory(&rows)?;
    surroundings.add("load average after", load_average()?);
    let report = Report {
        name: "convert",
        title: "JSON to Parquet and CSV",
        command: format!("cargo xtask bench convert --rounds {}", effort.rounds),
        surroundings,
        data: json!({
            "rounds": effort.rounds,
            "events": EVENTS,
            "webhook_bytes": corpus.webhook_bytes,
            "line_bytes": corpus.line_bytes,
            "release_binary_bytes": binaries.size_bytes()?,
            "conversions": rows.iter().map(Row::json).collect::<Vec<_>>(),
            "memory": memory,
        }),
        sections: FORMATS
            .iter()
            .map(|format| corpus.section(&rows, format, effort))
            .chain([memory_section(&memory)])
            .collect(),
    };
    println!("{}", report.write(root)?);
    Ok(())
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for format in FORMATS {
        for (engine, name) in ENGINES {
            if engine.writes(format) {
                let (version, figures) = (String::new(), Figures::default());
                rows.push(Row {
                    engine,
                    name,
                    format,
                    version,
                    figures,
                });
            }
        }
    }
    rows
}

impl<'b> Corpus<'b> {
    fn make(root: &'b Path, binaries: &'b Binaries) -> Result<Self> {
        let in_folder = |name: &str| binaries.folder.join(name);
        let mut corpus = Self {
            root,
            binaries,
            python: install::python()?,
            webhook: in_folder("webhook.json"),
            lines: in_folder("events.ndjson"),
            columns: in_folder("columns.json"),
            webhook_bytes: 0.0,
            line_bytes: 0.0,
        };
        let mut command = Command::new(&binaries.bench);
        command.args(["corpus", "--events", &EVENTS.to_string(), "--webhook"]);
        let made = answer(
            command
                .arg(&corpus.webhook)
                .arg("--lines")
                .arg(&corpus.lines),
        )?;
        corpus.webhook_bytes = number(&made, "/webhook_bytes")?;
        corpus.line_bytes = number(&made, "/line_bytes")?;
        let mut command = corpus.script("convert_peers.py");
        answer(
            command
                .arg("columns")
                .arg(&corpus.lines)
                .arg(&corpus.columns),
        )?;
        Ok(corpus)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(self.root.join("bench").join(name));
        command
    }

    /// Converts once; `check` also counts the rows of what was written.
    fn measure(&self, row: &mut Row, check: bool) -> Result<()> {
        let out = self.binaries.folder.join("out");
        let mut command = match row.engine {
            Engine::Postlake => self.postlake(&self.webhook, row.format, &out),
            Engine::Peer(name) => {
                let mut command = pinned(&self.python);
                command
                    .arg(self.root.join("bench/convert_peers.py"))
                    .args(["convert", name, row.format])
                    .args([&self.lines, &self.columns, &out]);
                command
            }
            Engine::Plain => {
                let mut command = pinned(&self.python);
                command.arg(self.root.join("bench/convert_plain.py")).args([
                    &self.webhook,
                    &self.columns,
                    &out,
                ]);
                command
            }
        };
        let taken = to_end(&mut command)?;
        let (seconds, cpu_seconds) = self.seconds(row, &taken)?;
        let bytes = match row.engine {
            Engine::Peer(_) => self.line_bytes,
            Engine::Postlake | Engine::Plain => self.webhook_bytes,
        };
        let size = std::fs::metadata(&out)
            .context("look at what was written")?
            .len();
        let events = EVENTS as f64;
        for (name, value) in [
            ("seconds", seconds),
            ("process_seconds", taken.seconds),
            ("cpu_seconds", cpu_seconds),
            ("process_cpu_seconds", taken.cpu_seconds),
            ("megabytes_per_second", bytes / 1e6 / cpu_seconds),
            ("events_per_second", events / cpu_seconds),
            ("peak_rss_mib", taken.peak_rss_mib),
            ("bytes_per_event", size as f64 / events),
        ] {
            row.figures.add(name, value);
        }
        eprintln!(
            "{} to {}: {cpu_seconds:.2} s of a core, {seconds:.2} s",
            row.name, row.format
        );
        if check {
            self.check(row, &out)?;
        }
        Ok(())
    }

    /// Seconds of the clock and of the core: of others without the start of Python and its imports,
    /// of ours the whole process.
    fn seconds(&self, row: &mut Row, taken: &Taken) -> Result<(f64, f64)> {
        if row.engine == Engine::Postlake {
            return Ok((taken.seconds, taken.cpu_seconds));
        }
        let said: Value = serde_json::from_str(taken.stdout.trim())
            .with_context(|| format!("read what {} says", row.name))?;
        row.version = said
            .get("version")
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned();
        Ok((number(&said, "/seconds")?, number(&said, "/cpu_seconds")?))
    }

    fn check(&self, row: &Row, out: &Path) -> Result<()> {
        let counted = answer(
            self.script("convert_peers.py")
                .args(["count", row.format])
                .arg(out),
        )?;
        let rows = number(&counted, "/rows")?;
        if rows != EVENTS as f64 {
            bail!(
                "{} wrote {rows} rows of {EVENTS} events to {}",
                row.name,
                row.format
            );
        }
        Ok(())
    }

    fn postlake(&self, input: &Path, format: &str, out: &Path) -> Command {
        let mut command = pinned(&self.binaries.postlake);
        command
            .arg("convert")
            .arg(input)
            .args(["--to", format, "--output"])
            .arg(out);
        command
    }

    /// Peak memory on a file that is larger: bounded memory does not grow with it.
    fn memory(&self, rows: &[Row]) -> Result<Vec<Value>> {
        let larger = self.binaries.folder.join("larger.json");
        let events = (EVENTS * LARGER).to_string();
        let mut command = Command::new(&self.binaries.bench);
        answer(
            command
                .args(["corpus", "--events", &events, "--webhook"])
                .arg(&larger),
        )?;
        let out = self.binaries.folder.join("out");
        let mut found = Vec::new();
        for row in rows.iter().filter(|row| row.engine == Engine::Postlake) {
            let taken = to_end(&mut self.postlake(&larger, row.format, &out))?;
            let once = row.figures.median("peak_rss_mib");
            found.push(json!({
                "format": row.format,
                "times_larger": LARGER,
                "peak_rss_mib": once,
                "peak_rss_mib_larger": taken.peak_rss_mib,
                "growth": taken.peak_rss_mib / once,
            }));
        }
        Ok(found)
    }

    fn section(&self, rows: &[Row], format: &str, effort: Effort) -> Section {
        let of_format = || rows.iter().filter(|row| row.format == format);
        let ours = of_format()
            .find(|row| row.engine == Engine::Postlake)
            .map_or(f64::NAN, |row| row.figures.least("cpu_seconds"));
        let text = |row: &Row, name: &str| row.figures.text(name).unwrap_or_default();
        let cells = |row: &Row| {
            let best = row.figures.least("cpu_seconds");
            let bytes = if row.engine.reads() == Engine::Postlake.reads() {
                self.webhook_bytes
            } else {
                self.line_bytes
            };
            vec![
                format!("{} {}", row.name, row.version).trim().to_owned(),
                row.engine.reads().to_owned(),
                text(row, "cpu_seconds"),
                text(row, "seconds"),
                short(bytes / 1e6 / best),
                short(EVENTS as f64 / best),
                text(row, "peak_rss_mib"),
                short(row.figures.median("bytes_per_event")),
                format!("{:.1} times", best / ours),
            ]
        };
        let head = [
            "",
            "reads",
            "core seconds: median (least to most)",
            "clock seconds",
            "MB/s of JSON, best",
            "events/s, best",
        ];
        let tail = [
            "peak RSS, MiB",
            "bytes an event written",
            "time of postlake's, best to best",
        ];
        Section {
            title: format!("To {format}"),
            words: format!(
                "{EVENTS} events: {} MB as webhook bodies, {} MB as a line an event, which spares the others the \
                 envelopes. Everybody is bound to core {CORE} and told to use one thread; {} rounds, order turned. The \
                 others' seconds leave out Python's start and imports, postlake's are those of the whole process. Rates and \
                 the last column go by the best core seconds, which others on the machine disturb least. The \
                 others are told columns and types and leave times as text; postlake writes its whole \
                 table, typed, with lineage. Parquet with zstd level 1.",
                short(self.webhook_bytes / 1e6),
                short(self.line_bytes / 1e6),
                effort.rounds
            ),
            head: head
                .iter()
                .chain(&tail)
                .map(|word| (*word).to_owned())
                .collect(),
            rows: of_format().map(cells).collect(),
        }
    }
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "engine": self.name,
            "version": self.version,
            "reads": self.engine.reads(),
            "format": self.format,
            "figures": self.figures.json(),
        })
    }
}

fn memory_section(memory: &[Value]) -> Section {
    let text = |row: &Value, name: &str| {
        row.get(name)
            .and_then(Value::as_f64)
            .map_or_else(String::new, short)
    };
    let cells = |row: &Value| {
        let format = row
            .get("format")
            .and_then(Value::as_str)
            .unwrap_or_default();
        vec![
            format.to_owned(),
            text(row, "peak_rss_mib"),
            text(row, "peak_rss_mib_larger"),
            text(row, "growth"),
        ]
    };
    Section {
        title: "Memory on a larger file".to_owned(),
        words: format!("`postlake convert` on {LARGER} times the events."),
        head: [
            "",
            "peak RSS, MiB",
            "peak RSS on the larger file, MiB",
            "growth",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: memory.iter().map(cells).collect(),
    }
}

fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command
        .args(["-c", CORE])
        .arg(program)
        .env("POLARS_MAX_THREADS", "1")
        .env("OMP_NUM_THREADS", "1");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_engines() {
        let rows = rows();
        let count = |format: &str| rows.iter().filter(|row| row.format == format).count();
        assert_eq!((count("parquet"), count("csv")), (5, 4));
    }
}
