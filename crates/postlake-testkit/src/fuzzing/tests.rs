//! The committed corpus, and mutations of it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::mutate::mutated;
use super::{FUZZED, Fuzzed};
use crate::seed::{dice, seed};

const MUTATIONS: usize = 4_000;
/// A slow machine makes fewer.
const MOST_TIME: Duration = Duration::from_secs(20);

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn check(fuzzed: &Fuzzed, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (fuzzed.run)(input))) {
        eprintln!("{} on {}", fuzzed.name, input.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

fn corpus_and_mutations(name: &str) {
    let fuzzed = FUZZED.iter().find(|fuzzed| fuzzed.name == name).unwrap();
    let inputs = corpus(name);
    assert!(inputs.len() >= 5, "{name} has hardly any corpus");
    for input in &inputs {
        check(fuzzed, input);
    }
    let mut dice = dice(seed(), 0);
    let started = Instant::now();
    let mut made = 0;
    while made < MUTATIONS && started.elapsed() < MOST_TIME {
        let [one, other] = [(); 2].map(|()| &inputs[dice.random_range(0..inputs.len())]);
        check(fuzzed, &mutated(one, other, &mut dice));
        made += 1;
    }
    eprintln!(
        "{name}: {} files, {made} mutations in {:?}",
        inputs.len(),
        started.elapsed()
    );
    assert!(made > 100);
}

#[test]
fn alerts_keep_their_promises_on_the_corpus_and_mutations_of_it() {
    corpus_and_mutations("alert");
}

#[test]
fn csv_keeps_its_promises_on_the_corpus_and_mutations_of_it() {
    corpus_and_mutations("csv");
}

#[test]
fn decoding_keeps_its_promises_on_the_corpus_and_mutations_of_it() {
    corpus_and_mutations("decode");
}

#[test]
fn segments_keep_their_promises_on_the_corpus_and_mutations_of_it() {
    corpus_and_mutations("frame");
}

#[test]
fn connections_keep_their_promises_on_the_corpus_and_mutations_of_it() {
    corpus_and_mutations("http");
}

#[test]
fn items_keep_their_promises_on_the_corpus_and_mutations_of_it() {
    corpus_and_mutations("split");
}
