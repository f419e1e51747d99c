//! Unit tests of rules: series as they might be, and the alerts and answers that must come of them.
//!
//! A test stores its series in memory as time goes on, evaluates all groups at every interval, and compares what fires
//! and what expressions answer. Groups are evaluated as the server evaluates them; no clock and no thread is involved,
//! so that a test gives the same result wherever it runs. Files, messages and exit are those of upstream's
//! `promtool test rules`.

mod text;
mod file;
mod diff;
mod alerts;
mod samples;
mod junit;
mod hints;
mod rule_set;
mod case;
mod run;

pub use case::CaseOptions;
pub use file::{
    AlertTest, ExpectedAlert, ExpectedSample, ExprTest, InputSeries, TestCase, TestFile, TestFileError,
};
pub use junit::{JunitCase, JunitReport, JunitSuite};
pub use run::{RunOptions, Streams, run_files};
