//! `prometheus.yml`: the settings that each room declares for itself, put together, read strictly, checked whole.
//!
//! Promises: what upstream's 3.14 accepts is accepted, with its defaults; an unknown field is an error that names
//! the line; a setting that is read and not acted on is listed by [`Config::unserved`], never dropped in silence.
//! Secrets do not appear in errors or in [`Config::to_yaml`].

mod alerting;
mod file;
mod global;
mod remote;
mod sections;

pub use alerting::{AlertingConfig, AlertmanagerConfig, AlertmanagerSettings};
pub use file::{Config, ConfigError, Variables};
pub use global::GlobalConfig;
pub use remote::{
    MetadataConfig, QueueConfig, RemoteReadConfig, RemoteReadSettings, RemoteWriteConfig, RemoteWriteSettings,
};
pub use sections::{
    ChunkEncodingConfig, ExemplarsConfig, OtlpConfig, RetentionConfig, RuntimeConfig, StorageConfig,
    TracingClient, TracingConfig, TranslationStrategy, TsdbConfig,
};

use std::path::Path;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A section of another product that is read over and not kept: it may hold secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Serialize for Anything {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("<hidden>")
    }
}

/// A list in which a null is an error with this message.
fn list_without_nulls<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    message: &str,
) -> Result<Vec<T>, D::Error> {
    let items: Option<Vec<Option<T>>> = Option::deserialize(deserializer)?;
    let items: Option<Vec<T>> = items.unwrap_or_default().into_iter().collect();
    items.ok_or_else(|| D::Error::custom(message))
}

/// Makes a relative file name start at `folder`.
fn join_folder(folder: &Path, name: &mut String) {
    if !name.is_empty() && Path::new(name.as_str()).is_relative() {
        *name = folder.join(name.as_str()).to_string_lossy().into_owned();
    }
}
