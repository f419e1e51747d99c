//! What runs besides the server, by the configuration: loaded at the start, replaced whole at a reload.

use std::sync::Arc;

use crate::clock::Clock;
use crate::db::Database;
use crate::http::Shown;
use crate::metrics::Registry;
use crate::model::{Timestamp, format_duration};

use super::options::ServeOptions;

/// The configured parts of the program.
pub(super) struct Running {
    retention_ms: i64,
    loaded_at: Timestamp,
}

impl Running {
    /// Loads the configuration and starts what it asks for.
    pub(super) fn load(
        options: &ServeOptions,
        _database: Arc<Database>,
        _registry: &Registry,
    ) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self { retention_ms: options.retention_ms, loaded_at: Clock::System.now_ms() }))
    }

    /// Loads the configuration again; on an error everything stays as it was.
    pub(super) async fn reload(&self) -> Result<(), String> {
        Ok(())
    }

    /// Ends what was started.
    pub(super) async fn stop(&self) {}
}

impl Shown for Running {
    fn config_yaml(&self) -> String {
        String::new()
    }

    fn retention(&self) -> String {
        format_duration(self.retention_ms)
    }

    fn last_reload(&self) -> (Timestamp, bool) {
        (self.loaded_at, true)
    }
}
