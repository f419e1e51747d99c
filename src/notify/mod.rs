//! From a firing alert to the Alertmanagers that are told of it.

mod alert;
mod config;

pub use alert::Alert;
pub use config::{AlertingConfig, AlertingConfigError, AlertmanagerConfig, AlertmanagerSettings};
