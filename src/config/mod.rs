//! `prometheus.yml`: the settings that each room declares for itself, put together, read strictly, checked whole.
//!
//! Promises: what upstream's 3.14 accepts is accepted, with its defaults; an unknown field is an error that names
//! the line; a setting that is read and not acted on is listed by [`Config::unserved`], never dropped in silence.
//! Secrets do not appear in errors or in [`Config::to_yaml`].

mod file;
mod global;
mod sections;

pub use crate::remote::{
    MetadataConfig, QueueConfig, RemoteReadConfig, RemoteReadSettings, RemoteWriteConfig, RemoteWriteSettings,
};
pub use file::{Config, ConfigError, Variables};
pub use global::GlobalConfig;
pub use sections::{
    ChunkEncodingConfig, ExemplarsConfig, OtlpConfig, RetentionConfig, RuntimeConfig, StorageConfig,
    TracingClient, TracingConfig, TranslationStrategy, TsdbConfig,
};
