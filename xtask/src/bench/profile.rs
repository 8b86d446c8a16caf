//! What the release profile costs at run time: receiving and decoding, built as it says, beside the
//! same code with every package at level 3, one codegen unit and link-time optimisation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Effort;
use super::binaries::Folder;
use super::figures::{Figures, short};
use super::machine::{Surroundings, load_average};
use super::measured::{Server, answer, number};
use super::report::{Report, Section};
use crate::program::{cargo, shown, target};

const EVENTS: usize = 100_000;

/// Key in the results, and what it is. Less is better in all of them.
const COSTS: &[(&str, &str)] = &[
    ("decode", "decode: core seconds per GB of JSON"),
    ("parquet", "rows to Parquet: core seconds per GB of JSON"),
    ("csv", "rows to CSV: core seconds per GB of JSON"),
    (
        "receive_large",
        "receive, 350 events a batch: CPU seconds per GB of bodies",
    ),
    (
        "receive_small",
        "receive, 3 events a batch: CPU seconds per 1,000 requests",
    ),
];

/// A way to build.
struct Build {
    name: &'static str,
    target: PathBuf,
    figures: Figures,
}

pub(crate) fn run(root: &Path, effort: Effort) -> Result<()> {
    let target = target(root);
    let mut builds = [
        Build::new("as shipped", target.clone()),
        Build::new("everything optimised", target.join("everything-optimised")),
    ];
    if effort.build {
        let [shipped, optimised] = &builds;
        shipped.build(root, &[])?;
        optimised.build(root, &everything_optimised(root)?)?;
    }
    let folder = Folder::make(root, "profile")?;
    let report = measure(root, effort, &mut builds, &folder)?;
    println!("{}", report.write(root)?);
    Ok(())
}

fn measure(root: &Path, effort: Effort, builds: &mut [Build; 2], folder: &Path) -> Result<Report> {
    let mut surroundings = Surroundings::look(root, folder)?;
    let corpus = folder.join("webhook.json");
    let [shipped, _] = &*builds;
    let generator = shipped.program("postlake-bench");
    let mut command = Command::new(&generator);
    command.args(["corpus", "--events", &EVENTS.to_string(), "--webhook"]);
    answer(command.arg(&corpus))?;
    let mut loads = 0;
    for round in 0..effort.rounds {
        for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            let Some(build) = builds.get_mut(at) else {
                continue;
            };
            build.decode(&corpus)?;
            for (name, events, pool) in [("receive_large", 350, 256), ("receive_small", 3, 4096)] {
                loads += 1;
                let load = Load {
                    name,
                    events,
                    pool,
                    run: loads,
                    seconds: effort.seconds,
                };
                build.receive(&generator, &load, &folder.join("data"))?;
            }
        }
    }
    surroundings.add("load average after", load_average()?);
    Ok(report(effort, builds, surroundings))
}

/// A closed loop on 64 connections.
struct Load {
    name: &'static str,
    events: usize,
    pool: usize,
    run: usize,
    seconds: f64,
}

impl Build {
    fn new(name: &'static str, target: PathBuf) -> Self {
        let figures = Figures::default();
        Self {
            name,
            target,
            figures,
        }
    }

    fn program(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    fn build(&self, root: &Path, options: &[String]) -> Result<()> {
        let words = [
            "build",
            "--release",
            "--locked",
            "--package",
            "postlake-testkit",
            "--bins",
        ];
        let mut command = cargo();
        command
            .args(words)
            .args(options)
            .arg("--target-dir")
            .arg(&self.target);
        shown(command.current_dir(root)).with_context(|| format!("build {}", self.name))
    }

    fn decode(&mut self, corpus: &Path) -> Result<()> {
        let mut command = Command::new(self.program("postlake-hotpath"));
        let found = answer(command.arg("decode").arg(corpus))?;
        let gigabytes = number(&found, "/bytes")? / 1e9;
        for name in ["decode", "parquet", "csv"] {
            let seconds = number(&found, &format!("/{name}_seconds"))?;
            self.figures.add(name, seconds / gigabytes);
        }
        Ok(())
    }

    fn receive(&mut self, generator: &Path, load: &Load, data: &Path) -> Result<()> {
        let mut command = Command::new(self.program("postlake-hotpath"));
        let server = Server::start(command.arg("receive").arg(data), false)?;
        let mut command = Command::new(generator);
        command.args(["load", "--target", &server.address]);
        for (name, value) in [
            ("--events", load.events.to_string()),
            ("--pool", load.pool.to_string()),
            ("--run", load.run.to_string()),
            ("--seconds", load.seconds.to_string()),
        ] {
            command.args([name, &value]);
        }
        let found = answer(&mut command)?;
        let cpu_seconds = server.cpu_seconds()?;
        drop(server);
        fs::remove_dir_all(data).context("remove the data")?;
        let gigabytes =
            number(&found, "/megabytes_per_second")? * number(&found, "/seconds")? / 1e3;
        let cost = match load.name {
            "receive_large" => cpu_seconds / gigabytes,
            _ => cpu_seconds / number(&found, "/requests")? * 1e3,
        };
        let rate = number(&found, "/requests_per_second")?;
        self.figures.add(load.name, cost);
        self.figures.add(&format!("{}_per_second", load.name), rate);
        eprintln!(
            "{}: {} {} a second, cost {}",
            self.name,
            load.name,
            short(rate),
            short(cost)
        );
        Ok(())
    }
}

/// Options of cargo that undo what the release profile saves: the level of every package that the
/// manifest names, codegen units, link-time optimisation.
fn everything_optimised(root: &Path) -> Result<Vec<String>> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("read the manifest")?;
    let mut settings = vec![
        "profile.release.lto=\"fat\"".to_owned(),
        "profile.release.codegen-units=1".to_owned(),
    ];
    for package in lowered(&manifest) {
        settings.push(format!("profile.release.package.{package}.opt-level=3"));
    }
    let options = settings.into_iter();
    Ok(options
        .flat_map(|setting| ["--config".to_owned(), setting])
        .collect())
}

/// The packages under `[profile.release.package]` whose level is not 3.
fn lowered(manifest: &str) -> Vec<&str> {
    manifest
        .lines()
        .skip_while(|line| *line != "[profile.release.package]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| line.contains("opt-level"))
        .filter_map(|line| line.split_once(" = "))
        .map(|(package, _)| package)
        .collect()
}

fn report(effort: Effort, builds: &[Build; 2], surroundings: Surroundings) -> Report {
    let [shipped, optimised] = builds;
    let ratio = |key: &str| shipped.figures.least(key) / optimised.figures.least(key);
    let rows = COSTS.iter().map(|(key, label)| {
        let text = |build: &Build| build.figures.text(key).unwrap_or_default();
        vec![
            (*label).to_owned(),
            text(shipped),
            text(optimised),
            format!("{:.2}", ratio(key)),
        ]
    });
    let ratios: serde_json::Map<String, Value> = COSTS
        .iter()
        .map(|(key, _)| ((*key).to_owned(), json!(ratio(key))))
        .collect();
    Report {
        name: "profile",
        title: "What the release profile costs",
        command: format!(
            "cargo xtask bench profile --rounds {} --seconds {}",
            effort.rounds, effort.seconds
        ),
        surroundings,
        data: json!({
            "rounds": effort.rounds,
            "seconds": effort.seconds,
            "shipped": shipped.figures.json(),
            "everything_optimised": optimised.figures.json(),
            "ratios": ratios,
        }),
        sections: vec![Section {
            title: "Core seconds".to_owned(),
            words: format!(
                "The crates of the hot path in a program of their own (`postlake-hotpath`), built with the \
                 release profile as it is, and with level 3 for every package, one codegen unit and fat \
                 link-time optimisation. {EVENTS} events decoded; {} rounds in turned order, loads of {} s in a \
                 closed loop on 64 connections, every 200 after its sync. Costs are time on a core, which \
                 neighbours on the machine disturb least: median (least to most). The ratio is that of the least ones: \
                 above 1 the shipped profile is dearer.",
                effort.rounds, effort.seconds
            ),
            head: ["", shipped.name, optimised.name, "shipped / optimised"]
                .map(str::to_owned)
                .to_vec(),
            rows: rows.collect(),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_below_level_3_are_found() {
        let manifest = "[profile.release]\nopt-level = 3\n[profile.release.package]\n# words\n\
                        h2 = { opt-level = 1 }\nfast = { codegen-units = 1 }\n\n[profile.dev]\nx = { opt-level = 0 }\n";
        assert_eq!(lowered(manifest), ["h2"]);
    }
}
