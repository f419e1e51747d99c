//! HTTP out of the process: client settings, authentication, TLS, and secrets that never print.
//!
//! [`HttpClientConfig`] is the `<http_config>` that stands inline in scrape, remote-write and Alertmanager
//! configuration. All of its fields are read and checked as upstream does; what is read but not acted on is named by
//! [`HttpClientConfig::unserved`], so that the caller can warn. Credentials and custom headers are sent only to the
//! host that was asked for, never to one that it redirects to.

mod client;
mod config;
mod secret;
mod tls;

pub use client::{HttpClient, NetError, install_tls_provider};
pub use config::{Authorization, BasicAuth, HttpClientConfig, HttpHeader, NetConfigError, OAuth2Config};
pub use secret::Secret;
pub use tls::{TlsConfig, TlsVersion};

/// `User-Agent` of requests.
pub const USER_AGENT: &str = concat!("perdura/", env!("CARGO_PKG_VERSION"));
