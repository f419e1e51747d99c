//! How far the import is: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how many evaluations are done.
pub(super) struct Progress {
    /// On a terminal.
    bar: Option<ProgressBar>,
    all: u64,
    done: u64,
    /// The last tenth that a line told.
    told: u64,
}

impl Progress {
    /// `all`: how many evaluations there will be.
    pub(super) fn new(all: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(all);
            let style = "{wide_bar} {percent}% of {len} evaluations, {eta} left: {msg}";
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        Self { bar, all, done: 0, told: 0 }
    }

    /// What is being done.
    pub(super) fn set_what(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// So many more evaluations are done.
    pub(super) fn advance(&mut self, count: u64) {
        self.done += count;
        if let Some(bar) = &self.bar {
            return bar.set_position(self.done);
        }
        let tenth = self.done.saturating_mul(10) / self.all.max(1);
        if tenth > self.told {
            self.told = tenth;
            println!("{}0% of {} evaluations", tenth, self.all);
        }
    }

    /// A line that stays.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
