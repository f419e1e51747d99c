//! Relabelling rules: how labels of targets, samples and alerts are rewritten and dropped.
//!
//! A list of [`RelabelConfig`] is applied in order to a [`crate::model::LabelsBuilder`] by [`apply()`]. Rules must have passed
//! [`RelabelConfig::validate`]. Semantics are upstream's, action by action; names that a rule makes are checked
//! where the labels are used, except the target of `replace`, which is checked here.

mod apply;
mod config;
mod md5;
mod pattern;

pub use apply::apply;
pub use config::{RelabelAction, RelabelConfig, RelabelError};
pub use pattern::RelabelPattern;
