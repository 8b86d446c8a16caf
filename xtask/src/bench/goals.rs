//! What was to be reached, and what was.

use serde_json::{Value, json};

use super::figures::short;
use super::report::Section;

/// One bar.
#[derive(Debug)]
pub(crate) struct Goal {
    load: &'static str,
    what: &'static str,
    /// `most` when true, `least` when not.
    at_most: bool,
    bar: f64,
    measured: f64,
}

impl Goal {
    pub(crate) fn met(&self) -> bool {
        match self.at_most {
            true => self.measured <= self.bar,
            false => self.measured >= self.bar,
        }
    }
}

pub(crate) fn at_least(load: &'static str, what: &'static str, bar: f64, measured: f64) -> Goal {
    let at_most = false;
    Goal {
        load,
        what,
        at_most,
        bar,
        measured,
    }
}

pub(crate) fn at_most(load: &'static str, what: &'static str, bar: f64, measured: f64) -> Goal {
    let at_most = true;
    Goal {
        load,
        what,
        at_most,
        bar,
        measured,
    }
}

pub(crate) fn json(goals: &[Goal]) -> Value {
    let one = |goal: &Goal| {
        json!({
            "load": goal.load,
            "what": goal.what,
            "bar": goal.bar,
            "at_most": goal.at_most,
            "measured": goal.measured,
            "met": goal.met(),
        })
    };
    goals.iter().map(one).collect()
}

pub(crate) fn section(goals: &[Goal]) -> Section {
    let row = |goal: &Goal| {
        let side = if goal.at_most { "at most" } else { "at least" };
        vec![
            goal.load.to_owned(),
            goal.what.to_owned(),
            format!("{side} {}", short(goal.bar)),
            short(goal.measured),
            if goal.met() { "yes" } else { "**no**" }.to_owned(),
        ]
    };
    let head = ["load", "what", "goal", "median", "reached"];
    Section {
        title: "Goals".to_owned(),
        words:
            "Each is explained with its load below; how to read them is in `docs/benchmarks.md`."
                .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows: goals.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_missing_reaches_nothing() {
        assert!(at_least("L1", "a", 1.0, 1.0).met() && at_most("L1", "a", 1.0, 1.0).met());
        assert!(!at_least("L1", "a", 1.0, 0.9).met() && !at_most("L1", "a", 1.0, 1.1).met());
        assert!(
            !at_least("L1", "a", 1.0, f64::NAN).met() && !at_most("L1", "a", 1.0, f64::NAN).met()
        );
    }
}
