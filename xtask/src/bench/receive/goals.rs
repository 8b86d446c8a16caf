//! The bars of durable receive.

use super::{Compared, Loads};
use crate::bench::figures::Figures;
use crate::bench::goals::{Goal, at_least, at_most};

/// Every goal, from the medians of a run.
pub(super) fn of(loads: &Loads) -> Vec<Goal> {
    let mut goals = of_large(&loads.large, &loads.open);
    goals.extend(of_small(&loads.small));
    goals.extend(of_lone(&loads.lone));
    goals.extend(of_fresh(&loads.fresh, &loads.large));
    goals.extend(of_s3(&loads.s3));
    for (load, contest) in [("L1", &loads.contest), ("L2", &loads.small_contest)] {
        if let Some(ratio) = contest.ratio_to_synced() {
            let what = "requests/s, the fastest peer with the same guarantee = 1";
            goals.push(at_least(load, what, 3.0, ratio));
        }
    }
    let all = [
        &loads.large,
        &loads.open,
        &loads.small,
        &loads.fresh,
        &loads.lone,
    ];
    let rounds: f64 = all.map(|load| load.postlake.most("lost")).iter().sum();
    let killed = loads.contest.lost() + loads.small_contest.lost();
    let lost = rounds + loads.s3.most("lost") + killed;
    let what = "answered 200 and not stored after SIGKILL";
    goals.push(at_most("all", what, 0.0, lost));
    goals
}

fn own(compared: &Compared, name: &str) -> f64 {
    compared.postlake.median(name)
}

fn of_large(large: &Compared, open: &Compared) -> Vec<Goal> {
    let ratio = |name| large.ratios.median(name);
    let f99 = open.disk.median("append_64_kib_p99_ms");
    let (to_bare, to_disk) = (ratio("requests_per_cpu_to_bare"), ratio("bytes_to_append"));
    let rate = own(large, "requests_per_second");
    let most_memory = large.postlake.most("peak_rss_mib");
    vec![
        at_least(
            "L1",
            "requests for the same server CPU, bare hyper = 1",
            0.8,
            to_bare,
        ),
        at_least(
            "L1",
            "MB/s of bodies, append and fdatasync of 1 MiB = 1",
            0.9,
            to_disk,
        ),
        at_least("L1", "requests/s", 100.0, rate),
        at_most(
            "L1",
            "latency p99 in the open loop, ms: 2 F99 + 20",
            2.0 * f99 + 20.0,
            own(open, "p99_ms"),
        ),
        at_most(
            "L1",
            "latency p99 in the closed loop, ms",
            250.0,
            own(large, "p99_ms"),
        ),
        at_most("L14", "peak RSS in L1, MiB", 256.0, most_memory),
    ]
}

fn of_small(small: &Compared) -> Vec<Goal> {
    vec![
        at_least(
            "L2",
            "requests per sync",
            10.0,
            own(small, "requests_per_sync"),
        ),
        at_least(
            "L2",
            "requests/s",
            3000.0,
            own(small, "requests_per_second"),
        ),
        at_most("L2", "latency p99, ms", 100.0, own(small, "p99_ms")),
    ]
}

fn of_lone(lone: &Compared) -> Vec<Goal> {
    let bar = |name, extra| 2.0 * lone.disk.median(name) + extra;
    let (p50, p99) = (
        bar("append_64_kib_p50_ms", 2.0),
        bar("append_64_kib_p99_ms", 10.0),
    );
    vec![
        at_most("L3", "latency p50, ms: 2 F50 + 2", p50, own(lone, "p50_ms")),
        at_most(
            "L3",
            "latency p99, ms: 2 F99 + 10",
            p99,
            own(lone, "p99_ms"),
        ),
    ]
}

fn of_s3(s3: &Figures) -> Vec<Goal> {
    vec![
        at_most("L4", "latency p50, ms", 400.0, s3.median("p50_ms")),
        at_most("L4", "latency p99, ms", 800.0, s3.median("p99_ms")),
        at_most("L4", "PUT/s", 6.0, s3.median("segments_per_second")),
    ]
}

fn of_fresh(fresh: &Compared, large: &Compared) -> Vec<Goal> {
    let ratio = own(fresh, "requests_per_second") / own(large, "requests_per_second");
    vec![
        at_least("L8", "requests/s, L1 = 1", 0.6, ratio),
        at_most("L8", "latency p99, ms", 400.0, own(fresh, "p99_ms")),
    ]
}
