//! The same load on postlake and on its peers, and what is left of it after `kill -9`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Profile;
use super::peers::{self, Absent, Peer};
use super::rounds::{Bench, brief, clear};
use crate::bench::figures::{Figures, short};
use crate::bench::measured::{Server, answer, number};
use crate::bench::report::Section;

/// How long one measurement lasts here, as a share of what it lasts elsewhere: there are many.
const SHARE_OF_TIME: f64 = 2.0 / 3.0;
/// How long the load lasts at most in a kill, as a multiple of the time to the kill.
const LOAD_BEYOND_KILL: f64 = 4.0;
/// The kills come at these shares of [`LONGEST_KILL_SECONDS`], one in each round in turn.
const KILL_SHARES: [f64; 5] = [0.6, 0.35, 0.85, 0.45, 1.0];
const LONGEST_KILL_SECONDS: f64 = 1.5;
/// Time between two looks whether the load has begun.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Who takes part.
#[derive(Debug)]
enum Entrant {
    Postlake,
    Peer(Peer),
}

/// An entrant and its figures.
#[derive(Debug)]
struct Row {
    entrant: Entrant,
    figures: Figures,
}

/// Everybody's figures.
#[derive(Debug)]
pub(super) struct Contest {
    rows: Vec<Row>,
    absent: Vec<Absent>,
    ratios: Figures,
}

impl Entrant {
    fn name(&self) -> &'static str {
        match self {
            Self::Postlake => "postlake",
            Self::Peer(peer) => peer.name(),
        }
    }

    fn syncs(&self) -> bool {
        match self {
            Self::Postlake => true,
            Self::Peer(peer) => peer.syncs(),
        }
    }

    /// The part of `postlake-bench` that finds what it stored.
    fn check(&self) -> &'static str {
        match self {
            Self::Postlake => "stored",
            Self::Peer(_) => "files",
        }
    }

    fn start(&self, bench: &Bench<'_>) -> Result<Started> {
        match self {
            Self::Postlake => {
                let (server, data) = bench.start_postlake()?;
                Ok(Started {
                    server,
                    folder: data.clone(),
                    data,
                })
            }
            Self::Peer(peer) => {
                let folder = bench.binaries.folder.join("peer");
                let (server, data) = peer.start(&folder)?;
                Ok(Started {
                    server,
                    folder,
                    data,
                })
            }
        }
    }
}

/// A running entrant.
struct Started {
    server: Server,
    /// Everything that it writes.
    folder: PathBuf,
    /// Where the bodies are.
    data: PathBuf,
}

impl Contest {
    /// Everybody once in each round, in turned order: measured, and killed in the middle of a load.
    pub(super) fn run(bench: &mut Bench<'_>, root: &Path, profile: Profile) -> Result<Self> {
        let (there, absent) = peers::look(root);
        let entrants =
            std::iter::once(Entrant::Postlake).chain(there.into_iter().map(Entrant::Peer));
        let mut rows: Vec<Row> = entrants
            .map(|entrant| Row {
                entrant,
                figures: Figures::default(),
            })
            .collect();
        let mut ratios = Figures::default();
        for number in 0..bench.effort.rounds {
            let turn = number % rows.len();
            rows.rotate_left(turn);
            let mut reached = BTreeMap::new();
            for row in &mut rows {
                let rate = row.measure(bench, profile)?;
                reached.insert(row.entrant.name(), (row.entrant.syncs(), rate));
                row.kill(bench, profile, number)?;
            }
            rows.rotate_right(turn);
            compare(&reached, &mut ratios);
        }
        Ok(Self {
            rows,
            absent,
            ratios,
        })
    }

    pub(super) fn ratio_to_synced(&self) -> Option<f64> {
        Some(self.ratios.median("to_the_best_that_syncs")).filter(|ratio| ratio.is_finite())
    }

    /// Batches that were answered 200 and are gone after a kill, by entrant.
    pub(super) fn lost(&self) -> f64 {
        let own = self
            .rows
            .iter()
            .find(|row| matches!(row.entrant, Entrant::Postlake));
        own.map_or(f64::NAN, |row| row.figures.most("kill_lost"))
    }

    pub(super) fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "name": row.entrant.name(),
                "answers_after_sync": row.entrant.syncs(),
                "figures": row.figures.json(),
            })
        };
        let absent = |absent: &Absent| json!({ "name": absent.name, "reason": absent.reason });
        json!({
            "entrants": self.rows.iter().map(row).collect::<Vec<_>>(),
            "absent": self.absent.iter().map(absent).collect::<Vec<_>>(),
            "ratios": self.ratios.json(),
        })
    }

    pub(super) fn section(&self, title: &str, load: &str) -> Section {
        let keys = [
            "requests_per_second",
            "megabytes_per_second",
            "p50_ms",
            "p99_ms",
            "cpu_seconds_per_million_events",
            "peak_rss_mib",
            "kill_acknowledged",
            "kill_lost",
        ];
        let row = |row: &Row| {
            let answers = if row.entrant.syncs() {
                "file and folder synced"
            } else {
                "written, not synced"
            };
            let figure = |key: &&str| row.figures.text(key).unwrap_or_else(|| "-".to_owned());
            let names = [row.entrant.name().to_owned(), answers.to_owned()];
            names.into_iter().chain(keys.iter().map(figure)).collect()
        };
        let absent = |absent: &Absent| {
            let mut row = vec![absent.name.to_owned(), format!("absent: {}", absent.reason)];
            row.resize(keys.len() + 2, String::new());
            row
        };
        let head = [
            "",
            "answers 200 when the batch is",
            "requests/s",
            "MB/s of bodies",
            "p50, ms",
            "p99, ms",
            "server CPU s per million events",
            "peak RSS, MiB",
            "killed: answered 200",
            "killed: of these not stored",
        ];
        Section {
            title: title.to_owned(),
            words: self.words(load),
            head: head.map(str::to_owned).to_vec(),
            rows: self
                .rows
                .iter()
                .map(row)
                .chain(self.absent.iter().map(absent))
                .collect(),
        }
    }

    fn words(&self, load: &str) -> String {
        let ratio = |key| match self.ratios.median(key) {
            ratio if ratio.is_finite() => short(ratio),
            _ => "-".to_owned(),
        };
        format!(
            "The load of {load} on small receivers of ours on other platforms (`bench/peers/`), one \
             process each, a file for each body. In a second run each is killed with SIGKILL under load, and what \
             was answered 200 is compared byte by byte with what is there; the machine goes on, so this finds what \
             a process still held, not what a power cut takes from those that do not sync. Requests/s of postlake \
             against the fastest peer with the same guarantee: {} times; against the fastest of all: {} times.",
            ratio("to_the_best_that_syncs"),
            ratio("to_the_best"),
        )
    }
}

impl Row {
    /// Returns the requests a second.
    fn measure(&mut self, bench: &mut Bench<'_>, profile: Profile) -> Result<f64> {
        let started = self.entrant.start(bench)?;
        let seconds = bench.effort.seconds * SHARE_OF_TIME;
        let (mut round, ids) = bench.load(&started.server, profile, None, seconds)?;
        drop(started.server);
        let found = bench.stored(self.entrant.check(), profile, &started.data, &ids)?;
        round.insert("lost".to_owned(), number(&found, "/missing")?);
        clear(&started.folder, &ids)?;
        eprintln!("{}: {}", self.entrant.name(), brief(&round));
        for (name, value) in &round {
            self.figures.add(name, *value);
        }
        round.get("requests_per_second").copied().context("a rate")
    }

    /// Kills it under load and counts what is gone.
    fn kill(&mut self, bench: &mut Bench<'_>, profile: Profile, round: usize) -> Result<()> {
        let share = KILL_SHARES
            .get(round % KILL_SHARES.len())
            .copied()
            .unwrap_or(1.0);
        let after = (share * LONGEST_KILL_SECONDS).min(bench.effort.seconds);
        let started = self.entrant.start(bench)?;
        let (mut generator, ids) =
            bench.generator(&started.server, profile, after * LOAD_BEYOND_KILL);
        generator.args(["--until-gone", "true"]);
        let load = thread::spawn(move || answer(&mut generator));
        while !ids.exists() && !load.is_finished() {
            thread::sleep(LOOK_EVERY);
        }
        thread::sleep(Duration::from_secs_f64(after));
        drop(started.server);
        let loaded = load
            .join()
            .map_err(|_panic| anyhow::anyhow!("the generator's thread panicked"))??;
        let ids = [ids];
        let found = bench.stored(self.entrant.check(), profile, &started.data, &ids)?;
        clear(&started.folder, &ids)?;
        self.figures
            .add("kill_acknowledged", number(&loaded, "/requests")?);
        self.figures.add("kill_lost", number(&found, "/missing")?);
        Ok(())
    }
}

/// postlake against the fastest peer of this round, and against the fastest that gives its guarantee.
fn compare(reached: &BTreeMap<&str, (bool, f64)>, ratios: &mut Figures) {
    let own = reached.get("postlake").map_or(f64::NAN, |(_, rate)| *rate);
    let best = |only_synced: bool| {
        let peers = reached.iter().filter(|(name, _)| **name != "postlake");
        let rates = peers.filter(|(_, (syncs, _))| *syncs || !only_synced);
        rates.map(|(_, (_, rate))| *rate).reduce(f64::max)
    };
    for (name, only_synced) in [("to_the_best_that_syncs", true), ("to_the_best", false)] {
        if let Some(best) = best(only_synced) {
            ratios.add(name, own / best);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postlake_stands_against_the_fastest() {
        let reached = BTreeMap::from([
            ("postlake", (true, 12.0)),
            ("slow", (true, 2.0)),
            ("synced", (true, 3.0)),
            ("loose", (false, 6.0)),
        ]);
        let mut ratios = Figures::default();
        compare(&reached, &mut ratios);
        assert_eq!(ratios.median("to_the_best_that_syncs"), 4.0);
        assert_eq!(ratios.median("to_the_best"), 2.0);
    }
}
