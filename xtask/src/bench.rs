//! `cargo xtask bench`: measurements against bare servers, the bare disk and other engines, in the
//! same run. Each writes `bench/runs/<date>-<commit>-<name>.json` and a readable page beside it.
//!
//! Two runs on two machines cannot be compared; the ratios within one run can.

mod binaries;
mod compact;
mod convert;
mod figures;
mod fresh;
mod functions;
mod goals;
mod limits;
mod load;
pub(crate) mod machine;
mod measured;
mod profile;
mod query;
mod receive;
pub(crate) mod report;

use std::path::Path;

use anyhow::{Result, bail};

/// How long and how often things are measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Repetitions of each measurement.
    rounds: usize,
    /// Length of one, in seconds, where it has a length.
    seconds: f64,
    /// Whether the binaries are built first, or taken as the last build left them.
    build: bool,
    /// What stands in the store at a start, of `limits`.
    gigabytes: f64,
    /// Events of a backlog, of `load`.
    events: usize,
    /// The one load of `limits` that is wanted, such as `L6`.
    only: Option<&'static str>,
}

const FULL: Effort = Effort {
    rounds: 5,
    seconds: 10.0,
    build: true,
    gigabytes: 1.0,
    events: 1_000_000,
    only: None,
};
/// `receive` and `limits` have many loads; all of them end within nine minutes.
const FULL_RECEIVE: Effort = Effort {
    rounds: 3,
    seconds: 3.0,
    build: true,
    gigabytes: 1.0,
    events: 1_000_000,
    only: None,
};
/// `fresh` has hundreds of batches in a round, and rounds differ little.
const FULL_FRESH: Effort = Effort {
    rounds: 3,
    seconds: 30.0,
    ..FULL
};
/// `load` with ten million events takes about half an hour a round.
const FULL_LOAD: Effort = Effort { rounds: 1, ..FULL };
const QUICK: Effort = Effort {
    rounds: 1,
    seconds: 2.0,
    build: true,
    gigabytes: 1.0,
    events: 1_000_000,
    only: None,
};

/// `bench receive|limits|load|fresh|query|compact|convert|functions|profile [--quick] [--rounds N] [--seconds S] [--gigabytes G]
/// [--events N] [--only LOAD] [--no-build]`.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        bail!(
            "bench receive, bench limits, bench load, bench fresh, bench query, bench compact, bench convert, bench functions or bench profile"
        );
    };
    let full = match name.as_str() {
        "receive" | "limits" => FULL_RECEIVE,
        "load" | "compact" => FULL_LOAD,
        "fresh" => FULL_FRESH,
        _ => FULL,
    };
    let effort = effort(full, rest)?;
    match name.as_str() {
        "receive" => receive::run(root, effort),
        "limits" => limits::run(root, effort),
        "load" => load::run(root, effort),
        "fresh" => fresh::run(root, effort),
        "query" => query::run(root, effort),
        "compact" => compact::run(root, effort),
        "convert" => convert::run(root, effort),
        "functions" => functions::run(root, effort),
        "profile" => profile::run(root, effort),
        _ => bail!(
            "there is no benchmark {name}; there are receive, limits, load, fresh, query, compact, convert, functions and profile"
        ),
    }
}

fn effort(full: Effort, arguments: &[String]) -> Result<Effort> {
    let mut effort = full;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => (effort.rounds, effort.seconds) = (QUICK.rounds, QUICK.seconds),
            "--no-build" => effort.build = false,
            "--rounds" => effort.rounds = number(words.next())? as usize,
            "--seconds" => effort.seconds = number(words.next())?,
            "--gigabytes" => effort.gigabytes = number(words.next())?,
            "--events" => effort.events = number(words.next())? as usize,
            "--only" => effort.only = Some(limits::named(words.next())?),
            _ => bail!(
                "{word} is not --quick, --rounds N, --seconds S, --gigabytes G, --events N, --only LOAD or --no-build"
            ),
        }
    }
    if effort.rounds == 0 || effort.seconds <= 0.0 || effort.events == 0 {
        bail!("rounds, seconds and events are more than nothing");
    }
    Ok(effort)
}

fn number(word: Option<&String>) -> Result<f64> {
    match word.map(|word| word.parse()) {
        Some(Ok(number)) => Ok(number),
        _ => bail!("a number is missing behind an option"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effort_of(words: &[&str]) -> Result<Effort> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        effort(FULL, &words)
    }

    #[test]
    fn options_set_the_effort() {
        assert_eq!(effort_of(&[]).unwrap().rounds, 5);
        assert_eq!(effort_of(&["--quick"]).unwrap().rounds, 1);
        let both = effort_of(&["--rounds", "3", "--seconds", "0.5"]).unwrap();
        assert_eq!((both.rounds, both.seconds), (3, 0.5));
        for wrong in [&["--rounds"][..], &["--rounds", "0"], &["--fast"]] {
            assert!(effort_of(wrong).is_err(), "{wrong:?}");
        }
    }
}
