//! Recording and alerting rules: read from files, evaluated in groups, restored after a restart.
//!
//! [`RuleFile`] is what a file says; [`RuleManager`] runs the groups of all files and shows how they are doing as
//! [`GroupStatus`].

mod config;
mod manager;
mod status;

pub use config::{GroupConfig, Place, RuleConfig, RuleFile};
pub use manager::RuleManager;
pub use status::{ActiveAlert, AlertState, GroupStatus, RuleHealth, RuleKind, RuleStatus};
