//! One round after the other: server, load, what it cost, what was stored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Compared, Profile};
use crate::bench::Effort;
use crate::bench::binaries::Binaries;
use crate::bench::measured::{Server, answer};
use crate::program::quiet;

/// Batches in a segment of the bare disk before postlake's own are known.
const FIRST_GROUP: f64 = 16.0;

/// A segment's file and its folder are synced before anybody is answered.
const SYNCS_PER_SEGMENT: f64 = 2.0;

/// What takes part in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Subject {
    Postlake,
    Bare,
    Disk,
}

impl Subject {
    pub(in crate::bench) const ALL: [Self; 3] = [Self::Postlake, Self::Bare, Self::Disk];
}

/// The figures of one subject in one round.
pub(in crate::bench) type Round = BTreeMap<String, f64>;

pub(in crate::bench) struct Bench<'b> {
    pub(in crate::bench) binaries: &'b Binaries,
    pub(in crate::bench) effort: Effort,
    /// Tells the batch ids of one load from those of the others.
    loads: u32,
    /// Batches in a segment, as postlake last made them.
    group: f64,
    /// Authority, certificate and key, once they were needed.
    certificates: Option<PathBuf>,
}

impl<'b> Bench<'b> {
    pub(in crate::bench) fn new(binaries: &'b Binaries, effort: Effort) -> Self {
        Self {
            binaries,
            effort,
            loads: 0,
            group: FIRST_GROUP,
            certificates: None,
        }
    }

    /// Every subject once in each round, in turned order; `rate` makes it an open loop.
    pub(in crate::bench::receive) fn compare(
        &mut self,
        profile: Profile,
        rate: Option<f64>,
        subjects: &[Subject],
    ) -> Result<Compared> {
        let mut compared = Compared::default();
        for number in 0..self.effort.rounds {
            let mut order = subjects.to_vec();
            if number % 2 == 1 {
                order.reverse();
            }
            let mut round = BTreeMap::new();
            for subject in order {
                let figures = match subject {
                    Subject::Postlake => self.postlake(profile, rate)?,
                    Subject::Bare => self.bare(profile, rate)?,
                    Subject::Disk => self.disk(profile)?,
                };
                eprintln!("round {} {subject:?}: {}", number + 1, brief(&figures));
                round.insert(subject as usize, figures);
            }
            let mut take = |subject: Subject| round.remove(&(subject as usize)).unwrap_or_default();
            compared.add(
                &take(Subject::Postlake),
                &take(Subject::Bare),
                &take(Subject::Disk),
            );
        }
        Ok(compared)
    }

    /// `postlake serve` without a place for its data.
    pub(in crate::bench) fn serve(&self) -> Command {
        self.serve_as("receive", "127.0.0.1:0")
    }

    /// The same with these roles, and its admin listener there.
    pub(in crate::bench) fn serve_as(&self, roles: &str, admin: &str) -> Command {
        let mut command = Command::new(&self.binaries.postlake);
        command
            .args(["serve", "--role", roles])
            .args(["--ingest-listen", "127.0.0.1:0"])
            .args(["--admin-listen", admin])
            .current_dir(&*self.binaries.folder);
        command
    }

    /// Where the data of a server lies.
    pub(in crate::bench) fn data(&self) -> PathBuf {
        self.binaries.folder.join("data")
    }

    /// A running `postlake serve`, and where its data lies.
    pub(in crate::bench) fn start_postlake(&self) -> Result<(Server, PathBuf)> {
        let data = self.data();
        let server = Server::start(self.serve().arg("--data").arg(&data), true)?;
        Ok((server, data))
    }

    /// The folder with the certificates of this run.
    fn certificates(&mut self) -> Result<PathBuf> {
        if let Some(folder) = &self.certificates {
            return Ok(folder.clone());
        }
        let folder = self.binaries.folder.join("tls");
        let mut command = Command::new(&self.binaries.bench);
        answer(command.arg("certificate").arg("--dir").arg(&folder))?;
        Ok(self.certificates.insert(folder).clone())
    }

    fn start_for(&mut self, profile: Profile) -> Result<(Server, PathBuf)> {
        if !profile.fresh {
            return self.start_postlake();
        }
        let folder = self.certificates()?;
        let data = self.binaries.folder.join("data");
        let mut command = self.serve();
        command
            .arg("--data")
            .arg(&data)
            .env(
                "POSTLAKE_INGEST__TLS__CERT_FILE",
                folder.join("certificate.pem"),
            )
            .env("POSTLAKE_INGEST__TLS__KEY_FILE", folder.join("key.pem"));
        Ok((Server::start(&mut command, true)?, data))
    }

    fn postlake(&mut self, profile: Profile, rate: Option<f64>) -> Result<Round> {
        let (server, data) = self.start_for(profile)?;
        let (mut round, ids) = self.load(&server, profile, rate, self.effort.seconds)?;
        // Killed, not drained: what was answered has to be there.
        drop(server);
        let stored = self.stored("stored", profile, &data, &ids)?;
        let field = |name: &str| stored.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let per_segment = field("batches") / field("segments");
        round.insert("lost".to_owned(), field("missing"));
        round.insert("requests_per_segment".to_owned(), per_segment);
        round.insert(
            "requests_per_sync".to_owned(),
            per_segment / SYNCS_PER_SEGMENT,
        );
        round.insert(
            "compression_ratio".to_owned(),
            field("body_bytes") / field("object_bytes"),
        );
        let rate = round
            .get("requests_per_second")
            .copied()
            .unwrap_or(f64::NAN);
        round.insert("segments_per_second".to_owned(), rate / per_segment);
        self.group = per_segment;
        clear(&data, &ids)?;
        Ok(round)
    }

    /// Compares what was answered 200 with what is stored: `part` is `stored` for postlake's raw store
    /// and `files` for a peer's folder.
    pub(in crate::bench) fn stored(
        &self,
        part: &str,
        profile: Profile,
        data: &Path,
        ids: &[PathBuf],
    ) -> Result<Value> {
        let ids: Vec<String> = ids.iter().map(|path| path.display().to_string()).collect();
        let mut command = Command::new(&self.binaries.bench);
        command.arg(part).arg("--data").arg(data);
        command.args(["--ids", &ids.join(",")]);
        command.args(["--events", &profile.events.to_string()]);
        command.args(["--pool", &profile.pool.to_string()]);
        answer(&mut command)
    }

    fn bare(&mut self, profile: Profile, rate: Option<f64>) -> Result<Round> {
        let mut command = Command::new(&self.binaries.bench);
        command.arg("bare");
        if profile.fresh {
            command.arg("--tls").arg(self.certificates()?);
        }
        let server = Server::start(&mut command, false)?;
        Ok(self.load(&server, profile, rate, self.effort.seconds)?.0)
    }

    /// Warms up, then measures; also gives the files with the ids that were answered 200.
    pub(in crate::bench) fn load(
        &mut self,
        server: &Server,
        profile: Profile,
        rate: Option<f64>,
        seconds: f64,
    ) -> Result<(Round, Vec<PathBuf>)> {
        let warm_up = (seconds / 5.0).min(2.0);
        let (_, first_ids) = self.post(server, profile, rate, warm_up)?;
        let cpu_before = server.cpu_seconds()?;
        let (loaded, ids) = self.post(server, profile, rate, seconds)?;
        let cpu = server.cpu_seconds()? - cpu_before;
        let round = figures(&loaded, cpu, server.peak_rss_mib()?)?;
        Ok((round, vec![first_ids, ids]))
    }

    fn post(
        &mut self,
        server: &Server,
        profile: Profile,
        rate: Option<f64>,
        seconds: f64,
    ) -> Result<(Value, PathBuf)> {
        let (mut command, ids) = self.generator(server, profile, seconds);
        if let Some(rate) = rate {
            command.args(["--rate", &rate.to_string()]);
        }
        Ok((answer(&mut command)?, ids))
    }

    /// The load generator, and the file in which it will say what was answered 200.
    pub(in crate::bench) fn generator(
        &mut self,
        server: &Server,
        profile: Profile,
        seconds: f64,
    ) -> (Command, PathBuf) {
        self.loads += 1;
        let ids = self.binaries.folder.join(format!("ids-{}", self.loads));
        let mut command = Command::new(&self.binaries.bench);
        command
            .args(["load", "--target", &server.address, "--ids"])
            .arg(&ids);
        let mut option = |name: &str, value: String| {
            command.args([format!("--{name}"), value]);
        };
        option("events", profile.events.to_string());
        option("pool", profile.pool.to_string());
        option("connections", profile.connections.to_string());
        option("fresh", profile.fresh.to_string());
        option("seconds", seconds.to_string());
        option("run", self.loads.to_string());
        if let (true, Some(folder)) = (profile.fresh, &self.certificates) {
            command.arg("--tls").arg(folder);
        }
        (command, ids)
    }

    fn disk(&self, profile: Profile) -> Result<Round> {
        let mut command = Command::new(&self.binaries.bench);
        command
            .arg("disk")
            .arg("--dir")
            .arg(self.binaries.folder.join("disk"));
        let group = self.group.round().max(1.0).to_string();
        let seconds = (self.effort.seconds / 3.0).min(3.0).to_string();
        let events = profile.events.to_string();
        let found = answer(command.args([
            "--group",
            &group,
            "--seconds",
            &seconds,
            "--events",
            &events,
        ]))?;
        let mut round = Round::new();
        for part in ["append_64_kib", "append_1_mib", "segments"] {
            for name in ["megabytes_per_second", "latency/p50_ms", "latency/p99_ms"] {
                let value = found
                    .pointer(&format!("/{part}/{name}"))
                    .and_then(Value::as_f64);
                let short_name = name.rsplit('/').next().unwrap_or(name);
                round.insert(
                    format!("{part}_{short_name}"),
                    value.context("a figure of the disk")?,
                );
            }
        }
        for name in [
            "hash_megabytes_per_second",
            "encode_megabytes_per_second",
            "batches_per_segment",
        ] {
            let value = found
                .pointer(&format!("/segments/{name}"))
                .and_then(Value::as_f64);
            round.insert(name.to_owned(), value.context("a figure of the disk")?);
        }
        Ok(round)
    }
}

/// Removes what a round stored, and the files with its ids. The file system frees it with its next commit; the
/// next round does not wait for that.
pub(in crate::bench) fn clear(data: &Path, ids: &[PathBuf]) -> Result<()> {
    fs::remove_dir_all(data).context("remove the data")?;
    for path in ids {
        fs::remove_file(path).context("remove the ids")?;
    }
    let folder = data.parent().context("the folder of the data")?;
    quiet(Command::new("sync").arg("--file-system").arg(folder))?;
    Ok(())
}

/// The figures of a load out of what the generator says and what the server took meanwhile.
fn figures(loaded: &Value, server_cpu: f64, peak_rss_mib: f64) -> Result<Round> {
    let field = |path: &str| {
        let value = loaded.pointer(path).and_then(Value::as_f64);
        value.with_context(|| format!("the generator says {path}"))
    };
    let (seconds, requests) = (field("/seconds")?, field("/requests")?);
    if requests == 0.0 {
        bail!("no request was answered 200: {loaded}");
    }
    let generator_cpu = field("/generator_cpu_seconds")?;
    let busy = field("/machine_busy_seconds")?;
    let events = field("/events_per_second")? * seconds;
    let gigabytes = field("/megabytes_per_second")? * seconds / 1000.0;
    let named = [
        ("requests_per_second", field("/requests_per_second")?),
        ("megabytes_per_second", field("/megabytes_per_second")?),
        ("events_per_second", field("/events_per_second")?),
        ("mean_body_bytes", field("/mean_body_bytes")?),
        ("p50_ms", field("/latency/p50_ms")?),
        ("p90_ms", field("/latency/p90_ms")?),
        ("p99_ms", field("/latency/p99_ms")?),
        ("max_ms", field("/latency/max_ms")?),
        ("not_200", field("/refused")? + field("/broken")?),
        ("server_cores", server_cpu / seconds),
        ("generator_cores", generator_cpu / seconds),
        (
            "other_cores",
            (busy - server_cpu - generator_cpu).max(0.0) / seconds,
        ),
        ("cpu_seconds_per_request", server_cpu / requests),
        ("cpu_seconds_per_million_events", server_cpu / events * 1e6),
        ("cpu_seconds_per_gigabyte", server_cpu / gigabytes),
        ("peak_rss_mib", peak_rss_mib),
    ];
    Ok(named.map(|(name, value)| (name.to_owned(), value)).into())
}

impl Compared {
    /// Adds a round and the ratios within it.
    fn add(&mut self, postlake: &Round, bare: &Round, disk: &Round) {
        let ratios = [
            (
                "requests_to_bare",
                postlake,
                "requests_per_second",
                bare,
                "requests_per_second",
            ),
            // Turned round: who takes less of a core for a request serves more of them with it.
            (
                "requests_per_cpu_to_bare",
                bare,
                "cpu_seconds_per_request",
                postlake,
                "cpu_seconds_per_request",
            ),
            (
                "cpu_to_bare",
                postlake,
                "cpu_seconds_per_request",
                bare,
                "cpu_seconds_per_request",
            ),
            ("p50_to_bare", postlake, "p50_ms", bare, "p50_ms"),
            ("p99_to_bare", postlake, "p99_ms", bare, "p99_ms"),
            (
                "bytes_to_append",
                postlake,
                "megabytes_per_second",
                disk,
                "append_1_mib_megabytes_per_second",
            ),
            (
                "bytes_to_segments",
                postlake,
                "megabytes_per_second",
                disk,
                "segments_megabytes_per_second",
            ),
            (
                "p50_to_sync",
                postlake,
                "p50_ms",
                disk,
                "append_64_kib_p50_ms",
            ),
            (
                "p99_to_sync",
                postlake,
                "p99_ms",
                disk,
                "append_64_kib_p99_ms",
            ),
        ];
        for (name, above, upper, below, lower) in ratios {
            if let (Some(upper), Some(lower)) = (above.get(upper), below.get(lower)) {
                self.ratios.add(name, upper / lower);
            }
        }
        if let Some(most) = most_at_equal_cpu(bare, disk) {
            self.ratios.add("most_at_equal_cpu", most);
        }
        for (into, round) in [
            (&mut self.postlake, postlake),
            (&mut self.bare, bare),
            (&mut self.disk, disk),
        ] {
            for (name, value) in round {
                into.add(name, *value);
            }
        }
    }
}

/// What a receiver can reach at most of a bare server's requests for the same CPU time when it hashes
/// and compresses each body, and does nothing else.
fn most_at_equal_cpu(bare: &Round, disk: &Round) -> Option<f64> {
    let reads = *bare.get("cpu_seconds_per_gigabyte")?;
    let encodes = 1000.0 / disk.get("encode_megabytes_per_second")?;
    Some(reads / (reads + encodes))
}

pub(in crate::bench) fn brief(round: &Round) -> String {
    let shown = [
        "requests_per_second",
        "megabytes_per_second",
        "p50_ms",
        "p99_ms",
        "server_cores",
        "other_cores",
        "requests_per_segment",
        "lost",
        "append_64_kib_p50_ms",
        "segments_megabytes_per_second",
    ];
    let part = |name: &&str| round.get(*name).map(|value| format!("{name} {value:.2}"));
    shown.iter().filter_map(part).collect::<Vec<_>>().join(", ")
}
