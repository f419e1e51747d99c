//! All groups of all files.

use std::sync::{Arc, RwLock};

use super::status::GroupStatus;

/// Runs the groups. Cheap to clone.
#[derive(Clone, Default)]
pub struct RuleManager {
    groups: Arc<RwLock<Vec<GroupStatus>>>,
}

impl RuleManager {
    /// How all groups are doing, by file and then by name.
    pub fn groups(&self) -> Vec<GroupStatus> {
        crate::lock::read(&self.groups).clone()
    }
}
