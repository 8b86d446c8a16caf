//! How fast the disk syncs, and what is free on it.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use postlake_raw::data_directory::free_space;

use super::Finding;
use crate::config::DiskSettings;

/// What one sync writes: a usual segment.
const PIECE_BYTES: usize = 64 << 10;
/// How many syncs are measured, and for how long at most.
const SYNCS: usize = 100;
const MOST_TIME: Duration = Duration::from_secs(5);

/// Slower than this and answers are slow; slower than that and SparkPost gives up on us.
const SLOW: Duration = Duration::from_millis(100);
const TOO_SLOW: Duration = Duration::from_secs(4);

/// Below the reserve events are held back; below this there is little time to react.
const LITTLE_BYTES: u64 = 4 << 30;

pub(super) fn examine(directory: &Path, settings: DiskSettings) -> Vec<Finding> {
    // Before the first start the directory is not there; its first parent lies on the same disk.
    let Some(place) = directory.ancestors().find(|place| place.is_dir()) else {
        let finding = Finding::ok(
            "disk",
            directory.display().to_string(),
            "no part of the path exists",
        );
        return vec![finding.misconfigured("make the directory, or set store.url")];
    };
    vec![speed(place), space(place, settings)]
}

fn speed(place: &Path) -> Finding {
    let name = place.display().to_string();
    let mut times = match syncs(place) {
        Ok(times) => times,
        Err(error) => {
            return Finding::ok("disk speed", name, format!("cannot write: {error}"))
                .fail("give the user that runs postlake this directory (chown, or StateDirectory in the unit)");
        }
    };
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1));
    let (Some(half), Some(most)) = (at(50).copied(), at(99).copied()) else {
        return Finding::ok("disk speed", name, "not one sync ended in time")
            .fail("take another disk");
    };
    let found = format!(
        "64 KiB synced in {:.1} ms (p50), {:.1} ms (p99) over {} syncs",
        half.as_secs_f64() * 1e3,
        most.as_secs_f64() * 1e3,
        times.len()
    );
    let finding = Finding::ok("disk speed", name, found);
    match most {
        most if most > TOO_SLOW => finding.fail("SparkPost waits 10 s at most: take another disk"),
        most if most > SLOW => finding.warn(
            "answers wait for the disk: move the data to a local SSD, or take what else writes to it away",
        ),
        _ => finding,
    }
}

fn syncs(place: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = tempfile::Builder::new()
        .prefix(".postlake-doctor-")
        .tempfile_in(place)?;
    let piece = vec![0x70; PIECE_BYTES];
    let began = Instant::now();
    let mut times = Vec::with_capacity(SYNCS);
    while times.len() < SYNCS && began.elapsed() < MOST_TIME {
        let started = Instant::now();
        file.write_all(&piece)?;
        file.as_file().sync_data()?;
        times.push(started.elapsed());
    }
    Ok(times)
}

fn space(place: &Path, settings: DiskSettings) -> Finding {
    let name = place.display().to_string();
    let disk = match free_space(place) {
        Ok(disk) => disk,
        Err(error) => {
            return Finding::ok("disk space", name, format!("cannot be asked: {error}"))
                .warn("nothing is deleted by itself: watch the disk");
        }
    };
    let free = disk.free_bytes;
    let reserve = settings.min_free_bytes(disk);
    let finding = Finding::ok("disk space", name, format!("{} free", gigabytes(free)));
    match free {
        free if free < reserve => finding.fail(format!(
            "below {} events are held back: make room",
            gigabytes(reserve)
        )),
        free if free < LITTLE_BYTES => {
            finding.warn("nothing is deleted by itself: make room before traffic comes")
        }
        _ => finding,
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
