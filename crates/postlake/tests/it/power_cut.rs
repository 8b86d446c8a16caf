//! Power cuts: the real server's calls on the disk are recorded, alone and with faults in them, and the
//! disks that a power cut may leave at any moment of them are read with the real code.

use postlake_testkit::power_cut::{self, DATA, Judge, Recording, Verdict, scenes};
use postlake_testkit::seed::seed;
use postlake_testkit::strace::Strace;

use crate::PROGRAM;

/// Cuts in all, and of each mutant.
const CUTS: u64 = 20_000;
const CUTS_OF_A_MUTANT: u64 = 500;

/// How far into a server's life faults are put.
const FAULTS_OF_A_KIND: usize = 3;

fn count(recording: &Recording, is_counted: impl Fn(&Verdict) -> bool) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut judge = Judge::of(recording);
    let counted = (0..CUTS_OF_A_MUTANT)
        .filter(|seed| is_counted(&runtime.block_on(judge.judge(&recording.cut(*seed), DATA))));
    counted.count() as u64
}

#[test]
fn no_power_cut_loses_what_was_answered_200() {
    let Some(strace) = Strace::find() else {
        return;
    };
    let seed = seed();
    let scenes = scenes(PROGRAM, &strace, seed, FAULTS_OF_A_KIND);
    assert!(scenes[0].recording.acked() > 0);
    let total = power_cut::run(&scenes, seed, CUTS);
    eprintln!("{total:?}");
    assert_eq!(total.failures, Vec::<String>::new());
    assert!(total.cuts >= CUTS && total.acked > CUTS);

    // The model can fail: a program that forgets a kind of sync loses what it acknowledged.
    let plain = &scenes[0].recording;
    for mutant in [
        plain.without_syncs_of_folders(),
        plain.without_syncs_of_files(),
    ] {
        assert!(mutant.syncs() < plain.syncs());
        let lost = count(&mutant, |verdict| matches!(verdict, Verdict::Lost(_)));
        assert!(lost > CUTS_OF_A_MUTANT / 10, "only {lost} losses");
    }
    // One that does not sync the entries of a log before it names them tears them.
    let load = scenes.iter().find(|scene| scene.name == "load").unwrap();
    let torn =
        |verdict: &Verdict| matches!(verdict, Verdict::Broken(what) if what.ends_with("is torn"));
    let count = count(&load.recording.without_syncs_of_files(), torn);
    assert!(count > CUTS_OF_A_MUTANT / 10, "only {count} torn entries");
}
