//! TLS settings of a client.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::client::NetError;
use super::config::NetConfigError;
use super::secret::Secret;
use crate::setting::{is_zero, join_folder, null_as_zero};

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TlsVersion {
    /// 1.0; never spoken.
    Tls10,
    /// 1.1; never spoken.
    Tls11,
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

/// `<tls_config>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// CA certificates as PEM text.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub ca: String,
    /// Client certificate as PEM text.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub cert: String,
    /// Client key as PEM text.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "Secret::is_empty")]
    pub key: Secret,
    /// File with CA certificates.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub ca_file: String,
    /// File with the client certificate.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub cert_file: String,
    /// File with the client key.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub key_file: String,
    /// Name that the server's certificate must have, in place of the address'.
    #[serde(deserialize_with = "null_as_zero", skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    /// Accept any certificate.
    #[serde(deserialize_with = "null_as_zero")]
    pub insecure_skip_verify: bool,
    /// Lowest version that is spoken.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_version: Option<TlsVersion>,
    /// Highest version that is spoken.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_version: Option<TlsVersion>,
}

impl TlsConfig {
    /// Checks that fields which exclude or need each other do.
    pub fn validate(&self) -> Result<(), NetConfigError> {
        let exclusive = |a: bool, b: bool, names| {
            if a && b { Err(NetConfigError::AtMostOne(names)) } else { Ok(()) }
        };
        exclusive(!self.ca.is_empty(), !self.ca_file.is_empty(), "ca & ca_file")?;
        exclusive(!self.cert.is_empty(), !self.cert_file.is_empty(), "cert & cert_file")?;
        exclusive(!self.key.is_empty(), !self.key_file.is_empty(), "key & key_file")?;
        let has_cert = !self.cert.is_empty() || !self.cert_file.is_empty();
        let has_key = !self.key.is_empty() || !self.key_file.is_empty();
        match (has_cert, has_key) {
            (true, false) => Err(NetConfigError::CertificateWithoutKey),
            (false, true) => Err(NetConfigError::KeyWithoutCertificate),
            _ => Ok(()),
        }
    }

    /// Makes relative file names start at `folder`.
    pub fn set_folder(&mut self, folder: &Path) {
        join_folder(folder, &mut self.ca_file);
        join_folder(folder, &mut self.cert_file);
        join_folder(folder, &mut self.key_file);
    }

    /// Settings that are read and not acted on.
    pub(super) fn unserved(&self) -> Vec<String> {
        let mut unserved = Vec::new();
        if !self.server_name.is_empty() {
            unserved.push("tls_config.server_name".to_owned());
        }
        if self.min_version < Some(TlsVersion::Tls12) && self.min_version.is_some() {
            unserved.push("tls_config.min_version below TLS12".to_owned());
        }
        unserved
    }
}

/// PEM text from its field or file; `None` where neither is given.
pub(super) fn pem_of(text: &str, file: &str) -> Result<Option<Vec<u8>>, NetError> {
    if file.is_empty() {
        return Ok((!text.is_empty()).then(|| text.as_bytes().to_vec()));
    }
    let read = std::fs::read(file);
    read.map(Some).map_err(|source| NetError::File { path: file.to_owned(), source })
}
