//! Label sets.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::quote::GoQuoted;

/// Label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";
/// Label that holds a classic histogram bucket's upper bound.
pub const BUCKET_LABEL: &str = "le";

/// Longest name or value that the canonical form can hold, in bytes.
pub const LABEL_TEXT_BYTES_MAX: usize = 0xff_ffff;

/// One label, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label<'a> {
    /// Name; unique in its set.
    pub name: &'a str,
    /// Value; never empty in a set.
    pub value: &'a str,
}

/// Why labels make no label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// The same name twice.
    #[error("label name \"{0}\" is not unique: invalid sample")]
    Duplicate(String),
    /// Name or value above 16 MiB.
    #[error("label \"{0}\" is longer than 16777215 bytes")]
    TooLong(String),
    /// Canonical bytes that break their own rules.
    #[error("label bytes are malformed at byte {0}")]
    Malformed(usize),
}

/// An immutable label set: sorted by name, names unique, values not empty. Cheap to clone.
///
/// Held as canonical bytes: for each label in name order the length of the name, the name, the length of the value,
/// the value. A length is one byte below 255, else `0xff` and three bytes, little-endian. Fingerprints and upstream's
/// label hash (`limit_ratio`) are taken over these bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<[u8]>);

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl Labels {
    /// From pairs in any order. Empty values are left out; of a repeated name the last counts.
    ///
    /// # Panics
    /// Where a text is longer than 16 MiB; input from outside goes through [`LabelsBuilder::build`].
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build().expect("caller's labels are short and set by name")
    }

    /// Checks canonical bytes from disk or network and takes them over. Reads each byte once.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LabelsError> {
        check_canonical(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The canonical bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The labels in name order.
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter { rest: &self.0 }
    }

    /// How many labels there are; walks the set.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `name`, or `None`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|label| label.name == name).map(|label| label.value)
    }

    /// The metric name, empty where there is none.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Upstream's `Labels.Hash()`: xxh64 of the canonical bytes.
    pub fn hash64(&self) -> u64 {
        xxhash_rust::xxh64::xxh64(&self.0, 0)
    }

    /// The series' identity.
    pub fn fingerprint(&self) -> super::Fingerprint {
        super::Fingerprint::of(&self.0)
    }

    /// The same set without the labels that `drop` answers true for.
    pub fn without(&self, drop: impl Fn(&str) -> bool) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len());
        for label in self.iter().filter(|label| !drop(label.name)) {
            push_label(&mut bytes, label);
        }
        Self(bytes.into())
    }

    /// The same set with other labels in place of those of the same names; an empty value removes its label.
    /// `others`: names rising, each once.
    ///
    /// # Panics
    /// Where a text is longer than [`LABEL_TEXT_BYTES_MAX`].
    pub fn overridden<'a>(&self, others: impl IntoIterator<Item = Label<'a>>) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len() + 64);
        let mut own = self.iter().peekable();
        for other in others {
            while let Some(label) = own.next_if(|label| label.name < other.name) {
                push_label(&mut bytes, label);
            }
            own.next_if(|label| label.name == other.name);
            if !other.value.is_empty() {
                push_label(&mut bytes, other);
            }
        }
        own.for_each(|label| push_label(&mut bytes, label));
        debug_assert!(check_canonical(&bytes).is_ok(), "names rise on both sides");
        Self(bytes.into())
    }

    /// A builder that starts with these labels.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|l| (l.name.to_owned(), l.value.to_owned())).collect() }
    }
}

/// Upstream's label order: label by label, name then value; a prefix comes first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As upstream prints a metric's labels: `{__name__="up", job="node"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, label) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_label_name(label.name) {
                write!(f, "{}={}", label.name, GoQuoted(label.value))?;
            } else {
                write!(f, "{}={}", GoQuoted(label.name), GoQuoted(label.value))?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The labels of a set in name order.
#[derive(Clone, Debug)]
pub struct LabelsIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = Label<'a>;

    fn next(&mut self) -> Option<Label<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (name, rest) = take_text(self.rest).expect("canonical bytes were checked when the set was made");
        let (value, rest) = take_text(rest).expect("canonical bytes were checked when the set was made");
        self.rest = rest;
        Some(Label { name, value })
    }
}

/// The first length-prefixed text of `bytes` and what follows; `None` where it is cut off or not UTF-8.
fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (len, rest) = match first {
        0xff => {
            let (wide, rest) = rest.split_at_checked(3)?;
            (usize::from(wide[0]) | usize::from(wide[1]) << 8 | usize::from(wide[2]) << 16, rest)
        }
        short => (usize::from(short), rest),
    };
    let (text, rest) = rest.split_at_checked(len)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Appends one label in canonical form; the caller keeps names rising and leaves empty values out.
///
/// # Panics
/// Where a text is longer than [`LABEL_TEXT_BYTES_MAX`].
pub fn push_label(bytes: &mut Vec<u8>, label: Label<'_>) {
    for text in [label.name, label.value] {
        let len = text.len();
        assert!(len <= LABEL_TEXT_BYTES_MAX, "label text is longer than the canonical form can hold");
        if len < 255 {
            bytes.push(len as u8);
        } else {
            bytes.extend_from_slice(&[0xff, len as u8, (len >> 8) as u8, (len >> 16) as u8]);
        }
        bytes.extend_from_slice(text.as_bytes());
    }
}

fn check_canonical(bytes: &[u8]) -> Result<(), LabelsError> {
    let mut rest = bytes;
    let mut name_last: Option<&str> = None;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let (name, after) = take_text(rest).ok_or(LabelsError::Malformed(at))?;
        let (value, after) = take_text(after).ok_or(LabelsError::Malformed(at))?;
        if value.is_empty() || name_last.is_some_and(|last| last > name) {
            return Err(LabelsError::Malformed(at));
        }
        if name_last == Some(name) {
            return Err(LabelsError::Duplicate(name.to_owned()));
        }
        name_last = Some(name);
        rest = after;
    }
    Ok(())
}

/// Collects labels into a [`Labels`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Sets `name`; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.iter_mut().find(|(n, _)| n == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Adds a label as it came, without looking for its name: a repeated name is an error of [`Self::build`].
    pub fn push(&mut self, name: &str, value: &str) -> &mut Self {
        self.pairs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(n, _)| n != name);
        self
    }

    /// The value of `name`, empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// What was set so far, in the order of setting, empty values included.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The label set: sorted, empty values left out.
    pub fn build(&self) -> Result<Labels, LabelsError> {
        let mut sorted: Vec<Label<'_>> = self
            .pairs
            .iter()
            .map(|(name, value)| Label { name, value })
            .filter(|l| !l.value.is_empty())
            .collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(LabelsError::Duplicate(pair[0].name.to_owned()));
        }
        let mut bytes = Vec::with_capacity(sorted.iter().map(|l| l.name.len() + l.value.len() + 2).sum());
        for label in sorted {
            if label.name.len() > LABEL_TEXT_BYTES_MAX || label.value.len() > LABEL_TEXT_BYTES_MAX {
                return Err(LabelsError::TooLong(label.name.chars().take(64).collect()));
            }
            push_label(&mut bytes, label);
        }
        Ok(Labels(bytes.into()))
    }
}

/// Whether `name` is a label name in the old, narrow sense: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    is_legacy(name, |c| c == b'_')
}

/// Whether `name` is a metric name in the old, narrow sense: as a label name, and colons.
pub fn is_legacy_metric_name(name: &str) -> bool {
    is_legacy(name, |c| c == b'_' || c == b':')
}

/// Whether `name` may name a label: any UTF-8 text but the empty one.
pub fn is_valid_label_name(name: &str) -> bool {
    !name.is_empty()
}

fn is_legacy(name: &str, extra: impl Fn(u8) -> bool) -> bool {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|c| !c.is_ascii_digit())
        && bytes.iter().all(|&c| c.is_ascii_alphanumeric() || extra(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sorted_and_without_empty_values() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", "")]);
        assert_eq!(labels.to_string(), r#"{a="1", b="2"}"#);
        assert_eq!(labels.as_bytes(), b"\x01a\x011\x01b\x012");
        assert_eq!(labels.get("b"), Some("2"));
        assert_eq!(labels.get("c"), None);
        assert_eq!(Labels::from_bytes(labels.as_bytes()).as_ref(), Ok(&labels));
    }

    #[test]
    fn labels_are_overridden_by_name() {
        let labels = Labels::from_pairs([("b", "2"), ("d", "4"), ("f", "6")]);
        let with = |pairs: &[(&'static str, &'static str)]| {
            labels.overridden(pairs.iter().map(|&(name, value)| Label { name, value })).to_string()
        };
        assert_eq!(with(&[]), r#"{b="2", d="4", f="6"}"#);
        assert_eq!(with(&[("a", "1"), ("d", "x"), ("g", "7")]), r#"{a="1", b="2", d="x", f="6", g="7"}"#);
        assert_eq!(with(&[("b", ""), ("c", ""), ("f", "")]), r#"{d="4"}"#);
    }

    #[test]
    fn long_texts_take_four_byte_lengths() {
        let long = "x".repeat(300);
        let labels = Labels::from_pairs([("a", long.as_str())]);
        assert_eq!(&labels.as_bytes()[..6], &[1, b'a', 0xff, 44, 1, 0]);
        assert_eq!(labels.get("a"), Some(long.as_str()));
    }

    #[test]
    fn canonical_bytes_are_checked() {
        for bad in
            [&b"\x01b\x012\x01a\x011"[..], b"\x01a", b"\x01a\x05xx", b"\x01a\x00", b"\x01a\x01\xff", b"\xff"]
        {
            assert!(Labels::from_bytes(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Labels::from_bytes(b"\x01a\x011\x01a\x012"), Err(LabelsError::Duplicate("a".into())));
    }

    #[test]
    fn order_is_label_by_label() {
        let short = Labels::from_pairs([("a", "1")]);
        let long = Labels::from_pairs([("a", "1"), ("b", "1")]);
        let other = Labels::from_pairs([("a", "10")]);
        assert!(short < long && long < other);
    }

    #[test]
    fn repeated_names_are_refused() {
        let mut builder = LabelsBuilder::default();
        builder.push("a", "1").push("a", "2");
        assert_eq!(builder.build(), Err(LabelsError::Duplicate("a".into())));
    }
}
