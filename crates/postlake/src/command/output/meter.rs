//! A line on the terminal that says how far it has come.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shown on a terminal alone, and not for what is done within a moment.
pub(crate) struct Meter {
    bar: ProgressBar,
}

/// What takes less time is not shown.
const MOMENT: Duration = Duration::from_millis(700);

impl Meter {
    /// A meter that counts `things`.
    pub(crate) fn new(things: &str) -> Meter {
        let bar = ProgressBar::new(0);
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let template = format!("{{bar:30}} {{pos}}/{{len}} {things}, {{elapsed}}: {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Meter { bar }
    }

    /// So many done of so many.
    pub(crate) fn show(&self, done: u64, of: u64, said: String) {
        if self.bar.elapsed() < MOMENT {
            return;
        }
        self.bar.set_length(of);
        self.bar.set_position(done);
        self.bar.set_message(said);
    }

    /// Takes it from the screen.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
