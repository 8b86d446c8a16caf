//! Durable receive against a bare server and the bare disk.

mod contest;
mod goals;
mod page;
mod peers;
pub(super) mod rounds;
mod s3;

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::Effort;
use super::binaries::Binaries;
use super::figures::Figures;
use super::goals::{json as json_of, section as section_of};
use super::machine::{Surroundings, load_average};
use super::report::{Report, Section};
use contest::Contest;
use rounds::{Bench, Subject};

/// Requests of the open loop, as a share of what the closed loop reached.
pub(super) const OPEN_SHARE: f64 = 0.6;
/// Requests a second of the lone connection.
pub(super) const LONE_RATE: f64 = 20.0;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    /// Events in a body.
    pub(super) events: usize,
    /// Different bodies, so many that equal ones never meet in the compressor's window.
    pub(super) pool: usize,
    pub(super) connections: usize,
    /// A new connection for each batch, closed after it, as the sender does it, and TLS 1.3 on it, with a
    /// handshake of its own.
    pub(super) fresh: bool,
}

pub(super) const LARGE: Profile = Profile {
    events: 350,
    pool: 256,
    connections: 64,
    fresh: false,
};
const FRESH: Profile = Profile {
    fresh: true,
    ..LARGE
};
const SMALL: Profile = Profile {
    events: 3,
    pool: 4096,
    connections: 64,
    fresh: false,
};
pub(super) const SAMPLE: Profile = Profile {
    events: 101,
    pool: 256,
    connections: 1,
    fresh: false,
};

/// The figures of one load.
#[derive(Debug, Default)]
struct Compared {
    postlake: Figures,
    bare: Figures,
    disk: Figures,
    ratios: Figures,
}

/// Every load of a run.
#[derive(Debug)]
struct Loads {
    large: Compared,
    open_rate: f64,
    open: Compared,
    small: Compared,
    fresh: Compared,
    lone: Compared,
    /// Requests to S3, and what came of them.
    s3: Figures,
    contest: Contest,
    small_contest: Contest,
}

pub(crate) fn run(root: &Path, effort: Effort) -> Result<()> {
    let binaries = Binaries::prepare(root, "receive", effort.build)?;
    let mut surroundings = Surroundings::look(root, &binaries.folder)?;
    let loads = Loads::run(&mut Bench::new(&binaries, effort), root)?;
    surroundings.add("load average after", load_average()?);
    let mut data = loads.json();
    if let Some(fields) = data.as_object_mut() {
        fields.insert("rounds".to_owned(), json!(effort.rounds));
        fields.insert("seconds".to_owned(), json!(effort.seconds));
        let size = binaries.size_bytes()?;
        fields.insert("release_binary_bytes".to_owned(), json!(size));
    }
    let report = Report {
        name: "receive",
        title: "Durable receive",
        command: format!(
            "cargo xtask bench receive --rounds {} --seconds {}",
            effort.rounds, effort.seconds
        ),
        surroundings,
        data,
        sections: loads.sections(effort),
    };
    println!("{}", report.write(root)?);
    Ok(())
}

impl Loads {
    fn run(bench: &mut Bench<'_>, root: &Path) -> Result<Self> {
        let both = [Subject::Postlake, Subject::Bare];
        let large = bench.compare(LARGE, None, &Subject::ALL)?;
        let reached = large.postlake.median("requests_per_second");
        let open_rate = (reached * OPEN_SHARE).round().max(1.0);
        Ok(Self {
            large,
            open_rate,
            open: bench.compare(LARGE, Some(open_rate), &Subject::ALL)?,
            small: bench.compare(SMALL, None, &both)?,
            fresh: bench.compare(FRESH, None, &both)?,
            lone: bench.compare(SAMPLE, Some(LONE_RATE), &[Subject::Postlake, Subject::Disk])?,
            s3: s3::run(bench, LARGE)?,
            contest: Contest::run(bench, root, LARGE)?,
            small_contest: Contest::run(bench, root, SMALL)?,
        })
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "large": self.large.json(),
            "open": self.open.json(),
            "open_requests_per_second": self.open_rate,
            "small": self.small.json(),
            "fresh": self.fresh.json(),
            "lone": self.lone.json(),
            "s3": self.s3.json(),
            "peers": self.contest.json(),
            "peers_small": self.small_contest.json(),
            "goals": json_of(&goals::of(self)),
        })
    }

    fn sections(&self, effort: Effort) -> Vec<Section> {
        let mean = |compared: &Compared| compared.postlake.median("mean_body_bytes");
        let closed = |profile, compared| page::closed_words(profile, mean(compared), effort);
        vec![
            section_of(&goals::of(self)),
            page::section(
                &self.large,
                "L1: closed loop, large batches",
                &closed(LARGE, &self.large),
            ),
            page::disk_section(&self.large),
            page::section(
                &self.open,
                "L1: open loop, large batches",
                &page::open_words(self.open_rate),
            ),
            page::section(
                &self.small,
                "L2: closed loop, small batches",
                &closed(SMALL, &self.small),
            ),
            page::section(&self.lone, "L3: one connection", page::LONE_WORDS),
            page::section(
                &self.fresh,
                "L8: a connection for each batch",
                page::FRESH_WORDS,
            ),
            s3::section(&self.s3),
            self.contest.section("Peers, large batches", "L1"),
            self.small_contest.section("Peers, small batches", "L2"),
        ]
    }
}

impl Compared {
    fn json(&self) -> serde_json::Value {
        json!({
            "postlake": self.postlake.json(),
            "bare_hyper": self.bare.json(),
            "disk": self.disk.json(),
            "ratios": self.ratios.json(),
        })
    }
}
