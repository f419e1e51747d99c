//! Identities: whose data, and which series.

use std::fmt;
use std::sync::Arc;

/// Whose data it is. The default tenant is the empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The tenant of that name; the empty name is the default tenant.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The tenant's name, as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Identity of a series: xxh3-128 of its canonical label bytes (see [`crate::model::Labels::as_bytes`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// Of canonical label bytes.
    pub fn of(canonical: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(canonical))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
