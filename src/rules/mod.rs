//! Recording and alerting rules: read from files, evaluated in groups, restored after a restart.
//!
//! [`RuleFile`] is what a file says, read by [`load_files`]; [`RuleManager`] runs the groups of all files and shows
//! how they are doing as [`GroupStatus`]. [`Group::evaluate`] is one evaluation, without threads or clocks: the
//! manager calls it by its schedule, tests of rules by theirs.
//!
//! An evaluation by modules: `group` asks its rules level by level (`dependencies` tells which); `rule` asks the
//! engine; `recording` renames what comes back, `alerting` makes alerts of it; `group` writes the results.

mod config;
mod yaml;
mod file;
mod lint;
mod status;
mod error;
mod environment;
mod alerting;
mod recording;
mod dependencies;
mod rule;
mod restore;
mod group;
mod metrics;
mod schedule;
mod manager;
pub mod unit_test;

pub use config::{GroupConfig, Place, RuleConfig, RuleFile};
pub use environment::{Environment, Globals, Notify};
pub use error::EvaluationError;
pub use file::{
    MORE_DOCUMENTS, RULE_FILE_BYTES_MAX, RuleFileError, RuleFileOptions, RuleOfError, load_files,
};
pub use group::{Evaluated, Group};
pub use lint::{RuleIdentity, duplicate_rules, replaced_labels};
pub use manager::{PreparedRules, RuleManager};
pub(crate) use schedule::slot_offset_ms;
pub use status::{ActiveAlert, AlertState, GroupStatus, RuleHealth, RuleKind, RuleStatus};
