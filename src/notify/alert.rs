//! What an Alertmanager is told.

use crate::model::{Labels, Timestamp};

/// One alert, firing or resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What identifies it, `alertname` among them. External labels are added when it is sent.
    pub labels: Labels,
    /// What is said about it.
    pub annotations: Labels,
    /// When it began to fire.
    pub starts_at: Timestamp,
    /// Until when it holds without another word; in the past where it is resolved.
    pub ends_at: Timestamp,
    /// Where its expression can be looked at.
    pub generator_url: String,
}
