//! Many cuts over many recordings.

use std::ops::Range;

use super::judge::{Judge, Verdict};
use super::scene::{DATA, Scene};

/// Failures that are named; more are only counted.
const NAMED_FAILURES: usize = 8;

/// What all cuts came to.
#[derive(Clone, Debug, Default)]
pub struct Total {
    /// Power cuts.
    pub cuts: u64,
    /// Recordings that they fell into.
    pub scenes: usize,
    /// Batches answered 200 before the cut, over all cuts.
    pub acked: u64,
    /// Of those, lost.
    pub lost: u64,
    /// Segments found damaged; nothing in them had been answered 200.
    pub damaged: u64,
    /// Streams found with a hole; nothing behind it had been answered 200.
    pub holes: u64,
    /// Cuts that broke a promise.
    pub failed: u64,
    /// The first of some recordings: recording, seed and verdict.
    pub failures: Vec<String>,
}

/// At least `cuts` cuts, spread evenly over the recordings, on all cores. Cut `n` of a recording has
/// the seed `seed + n`.
pub fn run(scenes: &[Scene], seed: u64, cuts: u64) -> Total {
    let each = cuts.div_ceil(scenes.len() as u64);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let share = each.div_ceil(threads);
    let mut total = Total {
        scenes: scenes.len(),
        ..Total::default()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let seeds = thread * share..(thread + 1) * share;
                scope.spawn(move || run_share(scenes, seed, seeds))
            })
            .collect();
        for worker in workers {
            total.add(worker.join().unwrap());
        }
    });
    total
}

fn run_share(scenes: &[Scene], seed: u64, share: Range<u64>) -> Total {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut total = Total::default();
    for scene in scenes {
        let mut judge = Judge::of(&scene.recording);
        for number in share.clone() {
            let seed = seed.wrapping_add(number);
            let cut = scene.recording.cut(seed);
            let verdict = runtime.block_on(judge.judge(&cut, DATA));
            total.cuts += 1;
            total.acked += cut.acked.len() as u64;
            let failure = match verdict {
                Verdict::Kept(found) => {
                    total.damaged += found.damaged as u64;
                    total.holes += found.holes as u64;
                    continue;
                }
                Verdict::Lost(lost) => {
                    total.lost += lost as u64;
                    format!("{lost} lost")
                }
                Verdict::Broken(fault) => fault,
                Verdict::Invented(batch) => format!("{batch:?} was never sent"),
            };
            total.failed += 1;
            let named = format!("{},", scene.name);
            let known = |known: &String| known.starts_with(&named);
            if total.failures.len() < NAMED_FAILURES && !total.failures.iter().any(known) {
                let Scene { name, recording } = scene;
                let (at, of) = (cut.at, recording.len());
                let failure = format!("{name}, seed {seed}, after step {at} of {of}: {failure}");
                total.failures.push(failure);
            }
        }
    }
    total
}

impl Total {
    fn add(&mut self, other: Total) {
        self.cuts += other.cuts;
        self.acked += other.acked;
        self.lost += other.lost;
        self.damaged += other.damaged;
        self.holes += other.holes;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.failures.truncate(NAMED_FAILURES);
    }
}
