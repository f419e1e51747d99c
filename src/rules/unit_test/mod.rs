//! Unit tests of rules: series as they might be, and the alerts and answers that must come of them.

mod file;

pub use file::{
    AlertTest, ExpectedAlert, ExpectedSample, ExprTest, InputSeries, TestCase, TestFile, TestFileError,
};
