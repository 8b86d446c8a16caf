//! Where a run took place: machine, tools, commit, load.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::program::quiet;

/// What a result needs beside its figures. Holds no path and no name of the machine.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) date: String,
    pub(crate) commit: String,
    /// Whether the tree held changes that the commit does not.
    pub(crate) changed: bool,
    pub(crate) facts: Vec<(&'static str, String)>,
}

impl Surroundings {
    /// Looks around; `folder` lies on the disk that is measured.
    pub(crate) fn look(root: &Path, folder: &Path) -> Result<Self> {
        let git = |words: &[&str]| quiet(Command::new("git").arg("-C").arg(root).args(words));
        let line = |program: &str, words: &[&str]| -> Result<String> {
            Ok(quiet(Command::new(program).args(words))?.trim().to_owned())
        };
        let facts = vec![
            ("cpu", cpu()?),
            ("cores", cores().to_string()),
            ("memory", memory()?),
            ("kernel", line("uname", &["-sr"])?),
            ("disk", disk(folder)),
            ("rustc", line("rustc", &["--version"])?),
            ("nice value of everything measured", nice()?),
            ("load average before", load_average()?),
        ];
        Ok(Self {
            date: line("date", &["-u", "+%Y-%m-%d"])?,
            commit: git(&["rev-parse", "--short", "HEAD"])?.trim().to_owned(),
            changed: !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty(),
            facts,
        })
    }

    pub(crate) fn add(&mut self, name: &'static str, value: String) {
        self.facts.push((name, value));
    }

    pub(crate) fn json(&self) -> Value {
        let facts: serde_json::Map<String, Value> = self
            .facts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        json!({ "date": self.date, "commit": self.commit, "changed": self.changed, "machine": facts })
    }
}

/// Of the last minute, five and fifteen.
pub(crate) fn load_average() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// Below 0 a run is served before its neighbours on a machine that it shares.
fn nice() -> Result<String> {
    let stat = fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    Ok(after_name
        .split_whitespace()
        .nth(16)
        .unwrap_or_default()
        .to_owned())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn cpu() -> Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map_or("", |(_, value)| value.trim())
            .to_owned()
    };
    let (family, model) = (field("cpu family"), field("model\t"));
    Ok(format!(
        "{} (family {family}, model {model})",
        field("model name")
    ))
}

fn memory() -> Result<String> {
    let text = fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let kib: f64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0.0);
    Ok(format!("{:.1} GiB", kib / f64::from(1 << 20)))
}

/// Kind of file system and device under `folder`.
fn disk(folder: &Path) -> String {
    let found = quiet(
        Command::new("findmnt")
            .args(["--noheadings", "--output", "FSTYPE,SOURCE", "--target"])
            .arg(folder),
    );
    match found {
        Ok(line) => line.split_whitespace().collect::<Vec<_>>().join(" on "),
        Err(_) => "unknown".to_owned(),
    }
}
