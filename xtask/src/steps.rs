//! Steps that run one after the other, each with its time, and what they came to.

use std::time::{Duration, Instant};

use anyhow::{Error, Result, bail};

/// Steps so far.
#[derive(Default)]
pub(crate) struct Steps {
    finished: Vec<Step>,
}

struct Step {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    Failed(Error),
    Skipped(&'static str),
}

impl Steps {
    /// Runs one step, says how it ended and how long it took; none if it failed.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        action: impl FnOnce() -> Result<T>,
    ) -> Option<T> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let result = action();
        let took = start.elapsed();
        let (value, outcome) = match result {
            Ok(value) => (Some(value), Outcome::Passed),
            Err(error) => {
                eprintln!("{error:#}");
                (None, Outcome::Failed(error))
            }
        };
        let step = Step {
            name,
            took,
            outcome,
        };
        eprintln!("== {}", step.line());
        self.finished.push(step);
        value
    }

    pub(crate) fn skip(&mut self, name: &'static str, why: &'static str) {
        self.finished.push(Step {
            name,
            took: Duration::ZERO,
            outcome: Outcome::Skipped(why),
        });
    }

    /// One line for each step, and the whole time.
    pub(crate) fn summary(&self) -> String {
        let lines: String = self
            .finished
            .iter()
            .map(|step| format!("  {}\n", step.line()))
            .collect();
        let total = self.finished.iter().map(|step| step.took).sum();
        format!("{lines}  {:<12} {}\n", "total", seconds(total))
    }

    /// `Ok` if no step failed.
    pub(crate) fn outcome(&self) -> Result<()> {
        let failed = self
            .finished
            .iter()
            .filter(|step| matches!(step.outcome, Outcome::Failed(_)));
        let names: Vec<&str> = failed.map(|step| step.name).collect();
        if names.is_empty() {
            return Ok(());
        }
        bail!("failed: {}", names.join(", "));
    }
}

impl Step {
    fn line(&self) -> String {
        let outcome = match &self.outcome {
            Outcome::Passed => "ok".to_owned(),
            Outcome::Failed(error) => {
                format!(
                    "FAILED: {}",
                    format!("{error:#}").lines().next().unwrap_or("")
                )
            }
            Outcome::Skipped(why) => format!("skipped: {why}"),
        };
        format!("{:<12} {} {outcome}", self.name, seconds(self.took))
    }
}

/// `12.3 s`, right-aligned.
pub(crate) fn seconds(took: Duration) -> String {
    format!("{:7.1} s", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_and_the_others_go_on() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("one", || Ok(1)), Some(1));
        assert_eq!(
            steps.run("two", || -> Result<()> { bail!("broken\nin detail") }),
            None
        );
        steps.skip("three", "two failed");
        assert_eq!(steps.outcome().unwrap_err().to_string(), "failed: two");
        let summary = steps.summary();
        for part in [
            "one",
            "ok",
            "FAILED: broken\n",
            "skipped: two failed",
            "total",
        ] {
            assert!(summary.contains(part), "{part} in {summary}");
        }
    }
}
