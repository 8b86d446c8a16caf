//! More than can be taken, and what stands about beside the load: overload, crowds of connections, wrong
//! passwords, a store that is full already, memory.

mod crowd;
mod logins;
mod overload;
mod standing;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::Effort;
use super::binaries::Binaries;
use super::figures::Figures;
use super::goals::{self, Goal};
use super::machine::{Surroundings, load_average};
use super::measured::number;
use super::receive::rounds::{Bench, Round};
use super::report::{Report, Section};

/// Longest wait for an answer to a question of ours.
const ANSWER: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: u64 = 4 * 1024 * 1024;

/// A key in the results, and what it is.
type Label = (&'static str, &'static str);

/// One load of the table in `docs/benchmarks.md`.
struct Load {
    name: &'static str,
    title: &'static str,
    words: fn(Effort) -> String,
    labels: &'static [Label],
    measure: fn(&mut Bench<'_>) -> Result<Round>,
    goals: fn(&Figures) -> Vec<Goal>,
}

const LOADS: [Load; 4] = [overload::LOAD, crowd::LOAD, standing::LOAD, logins::LOAD];

/// The load of that name.
pub(super) fn named(word: Option<&String>) -> Result<&'static str> {
    let known = LOADS.iter().map(|load| load.name);
    let mut wanted = known.filter(|name| word.is_some_and(|word| word == name));
    wanted.next().context("--only is L6, L9, L11 or B28")
}

pub(crate) fn run(root: &Path, effort: Effort) -> Result<()> {
    let binaries = Binaries::prepare(root, "limits", effort.build)?;
    let mut surroundings = Surroundings::look(root, &binaries.folder)?;
    let mut bench = Bench::new(&binaries, effort);
    let wanted = LOADS
        .iter()
        .filter(|load| effort.only.is_none_or(|only| only == load.name));
    let mut found = Vec::new();
    for load in wanted {
        let mut figures = Figures::default();
        for number in 1..=effort.rounds {
            let round = (load.measure)(&mut bench).with_context(|| load.title)?;
            eprintln!("{} round {number}: {}", load.name, all(&round));
            for (name, value) in round {
                figures.add(&name, value);
            }
        }
        found.push((load, figures));
    }
    surroundings.add("load average after", load_average()?);
    let report = report(effort, surroundings, &found);
    println!("{}", report.write(root)?);
    Ok(())
}

fn report(effort: Effort, surroundings: Surroundings, found: &[(&Load, Figures)]) -> Report {
    let goals: Vec<Goal> = found
        .iter()
        .flat_map(|(load, figures)| (load.goals)(figures))
        .collect();
    let mut data: serde_json::Map<String, Value> = found
        .iter()
        .map(|(load, figures)| (load.name.to_owned(), figures.json()))
        .collect();
    data.insert("goals".to_owned(), goals::json(&goals));
    data.insert("rounds".to_owned(), json!(effort.rounds));
    data.insert("seconds".to_owned(), json!(effort.seconds));
    let sections = found.iter().map(|(load, figures)| Section {
        title: format!("{}: {}", load.name, load.title),
        words: (load.words)(effort),
        head: vec![String::new(), "postlake".to_owned()],
        rows: load
            .labels
            .iter()
            .filter_map(|(key, label)| Some(vec![(*label).to_owned(), figures.text(key)?]))
            .collect(),
    });
    Report {
        name: "limits",
        title: "Receive at its limits",
        command: format!(
            "cargo xtask bench limits --rounds {} --seconds {} --gigabytes {}",
            effort.rounds, effort.seconds, effort.gigabytes
        ),
        surroundings,
        data: Value::Object(data),
        sections: std::iter::once(goals::section(&goals))
            .chain(sections)
            .collect(),
    }
}

fn all(round: &Round) -> String {
    let part = |(name, value): (&String, &f64)| format!("{name} {value:.2}");
    round.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// The figures of a round.
fn round_of<const N: usize>(figures: [(&str, f64); N]) -> Round {
    figures.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Answers other than 200 and connections that broke.
fn not_200(said: &Value) -> Result<f64> {
    Ok(number(said, "/refused")? + number(said, "/broken")?)
}

/// Status and body of a GET.
fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).context("connect")?;
    stream
        .set_read_timeout(Some(ANSWER))
        .context("set a timeout")?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).context("ask")?;
    let mut answer = String::new();
    #[expect(clippy::disallowed_methods, reason = "the reader is cut by take")]
    stream
        .take(MAX_ANSWER_BYTES)
        .read_to_string(&mut answer)
        .context("read the answer")?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("{path}: half an answer");
    };
    let status = head.split(' ').nth(1).unwrap_or_default();
    Ok((status.parse().context("read the status")?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_known_by_its_name() {
        assert_eq!(named(Some(&"L6".to_owned())).unwrap(), "L6");
        assert!(named(Some(&"L7".to_owned())).is_err() && named(None).is_err());
    }

    #[test]
    fn what_was_not_measured_reaches_no_goal() {
        let nothing = Figures::default();
        for load in &LOADS {
            let goals = (load.goals)(&nothing);
            assert!(
                !goals.is_empty() && !goals.iter().any(Goal::met),
                "{}",
                load.name
            );
        }
    }
}
