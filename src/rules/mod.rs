//! Recording and alerting rules: read from files, evaluated in groups, restored after a restart.
//!
//! [`RuleFile`] is what a file says, read by [`load_files`]; [`RuleManager`] runs the groups of all files and shows how they are doing as
//! [`GroupStatus`].

mod config;
mod file;
mod manager;
mod status;
mod yaml;
pub mod unit_test;

pub use config::{GroupConfig, Place, RuleConfig, RuleFile};
pub use file::{MORE_DOCUMENTS, RuleFileError, RuleFileOptions, RuleOfError, load_files};
pub use manager::RuleManager;
pub use status::{ActiveAlert, AlertState, GroupStatus, RuleHealth, RuleKind, RuleStatus};
