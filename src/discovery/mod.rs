//! Where targets come from: written down, or read from files; other mechanisms are known by name.
//!
//! A [`TargetGroup`] is a list of targets with common labels and a source that names it; a later group with the same
//! source replaces it. [`DiscoveryConfigs`] are the `*_sd_configs` that stand inline in scrape and Alertmanager
//! configuration. Mechanisms that are not built yet are read and named by [`DiscoveryConfigs::unserved`].

mod config;
mod glob;
mod file;
mod group;
mod watch;

pub use config::{DiscoveryConfigError, DiscoveryConfigs, FileSdConfig, check_address};
pub use file::{FileDiscovery, FileSdError};
pub(crate) use glob::{glob, matching_files};
pub(crate) use group::ADDRESS_LABEL;
pub use group::{LabelMap, TargetGroup};
pub use watch::{FileWatch, LookedAt, WatchedFiles};
