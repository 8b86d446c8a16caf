//! F3: power cuts over recordings of the real server.

use postlake_testkit::power_cut::{run, scenes};

use crate::rig::Rig;
use crate::row::Row;

/// Calls of each kind that are hit in recordings, at most: a server's start and first posts.
const MOST_CALLS: usize = 12;

pub(crate) fn cuts(rig: &Rig, row: &mut Row) {
    let most = rig.wanted.io_kills.min(MOST_CALLS);
    let scenes = scenes(rig.program(), &rig.strace, rig.seed(), most);
    let total = run(&scenes, rig.seed(), rig.wanted.cuts);
    row.met = total.cuts;
    row.count(total.acked, total.lost);
    for failure in &total.failures {
        row.fail("cut", failure);
    }
    row.failed_besides(total.failed - total.failures.len() as u64);
    row.note("recordings", total.scenes);
    row.note("damaged_segments_never_acked", total.damaged);
    row.note("holes_with_nothing_acked_behind", total.holes);
}
