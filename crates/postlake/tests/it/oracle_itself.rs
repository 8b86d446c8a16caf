//! The oracle would notice: each of its halves fails when something is taken away or made up.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use postlake_testkit::{Client, ClientLedger, Place, oracle};

use crate::{PROGRAM, traffic};

/// Whether the oracle objects.
fn objects(place: &Place, ledger: &ClientLedger) -> bool {
    catch_unwind(AssertUnwindSafe(|| oracle::check(place, ledger))).is_err()
}

#[test]
fn what_is_lost_or_made_up_is_noticed() {
    let place = Place::local(PROGRAM);
    let ledger = traffic::fill(&place, 12, 30);
    oracle::check(&place, &ledger);

    // Nobody sent any of it.
    assert!(objects(&place, &ClientLedger::default()));

    // A file of the sink is gone, or there under a second name.
    let folder = place.directory().join("csv/events");
    let files = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let file = files
        .filter(|path| path.extension().is_some_and(|end| end == "csv"))
        .max()
        .unwrap();
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(objects(&place, &ledger));
    fs::write(&file, &bytes).unwrap();
    oracle::check(&place, &ledger);
    fs::write(folder.join("again.csv"), &bytes).unwrap();
    assert!(objects(&place, &ledger));
    fs::remove_file(folder.join("again.csv")).unwrap();

    // A post that was answered 200 and never came.
    let mut other = Client::new(13, 1);
    let lost = std::iter::repeat_with(|| other.next_post())
        .find(|post| post.account.events > 0)
        .unwrap();
    ledger.attempt(&lost);
    oracle::check(&place, &ledger);
    ledger.answered(&lost);
    assert!(objects(&place, &ledger));
}
