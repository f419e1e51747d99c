//! How configuration text becomes values that several rooms share: durations, sizes, name rules, nulls, inline parts,
//! file names.
//!
//! Upstream reads YAML with Go's parser: a null is the zero value, not the default; an unknown field is an error;
//! some structures (HTTP client, discovery) stand inline among the fields of another. [`Inline`] gives the last
//! without `#[serde(flatten)]`, whose buffering would lose the types that YAML scalars are read by.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{format_duration, is_legacy_label_name, is_legacy_metric_name, parse_duration};

/// Reads a value, a null as its zero: what Go's YAML parser does.
pub fn null_as_zero<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A list that may hold nulls, which become zero values.
pub fn list_with_nulls<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let items: Option<Vec<Option<T>>> = Option::deserialize(deserializer)?;
    Ok(items.unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect())
}

/// A list in which a null is an error with this message.
pub fn list_without_nulls<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    message: &str,
) -> Result<Vec<T>, D::Error> {
    let items: Option<Vec<Option<T>>> = Option::deserialize(deserializer)?;
    let items: Option<Vec<T>> = items.unwrap_or_default().into_iter().collect();
    items.ok_or_else(|| D::Error::custom(message))
}

/// Makes a relative file name start at `folder`; an empty one stays empty.
pub fn join_folder(folder: &Path, name: &mut String) {
    if !name.is_empty() && Path::new(name.as_str()).is_relative() {
        *name = folder.join(name.as_str()).to_string_lossy().into_owned();
    }
}

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

/// Whether a value is its zero; for leaving fields out when configuration is printed.
pub fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A duration in milliseconds, written as Prometheus writes it: `1h30m`, `15s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DurationMs(pub i64);

impl DurationMs {
    /// As the standard library's duration.
    pub fn to_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.unsigned_abs())
    }

    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.to_duration().as_secs_f64()
    }
}

impl fmt::Display for DurationMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for DurationMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for DurationMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number of bytes, written with units of 1024: `15MiB`, `512KB`; 0 where there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Units of sizes, largest first; `KB` and `KiB` are both 1024, as upstream reads them.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("EiB", 1 << 60),
    ("PiB", 1 << 50),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl ByteSize {
    /// Reads `1GiB512MiB`, `10MB`, `0`; fractions are cut to whole bytes. `None` where it is no size.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "0" {
            return Some(Self(0));
        }
        let mut rest = text;
        let mut total = 0_u64;
        while !rest.is_empty() {
            let number_len =
                rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
            let after = &rest[number_len..];
            let unit_len = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let bytes = size_of_part(&rest[..number_len], &after[..unit_len])?;
            total = total.checked_add(bytes)?;
            rest = &after[unit_len..];
        }
        (!text.is_empty()).then_some(Self(total))
    }
}

fn size_of_part(number: &str, unit: &str) -> Option<u64> {
    let unit_bytes = SIZE_UNITS
        .iter()
        .find(|(name, _)| {
            *name == unit || (name.len() == 3 && unit.len() == 2 && name.replace('i', "") == unit)
        })?
        .1;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit_bytes);
    }
    let bytes = number.parse::<f64>().ok()? * unit_bytes as f64;
    (bytes.is_finite() && bytes < u64::MAX as f64).then_some(bytes as u64)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0");
        }
        let mut left = self.0;
        for (unit, bytes) in SIZE_UNITS {
            if left >= bytes {
                write!(f, "{}{unit}", left / bytes)?;
                left %= bytes;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("units: invalid {text}")))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which names metrics and labels may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NameValidation {
    /// Any UTF-8 text but the empty one.
    #[default]
    Utf8,
    /// Letters, digits and underscores; colons too in metric names.
    Legacy,
}

impl NameValidation {
    /// Whether `name` may name a label.
    pub fn is_label_name(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy_label_name(name),
        }
    }

    /// Whether `name` may name a metric.
    pub fn is_metric_name(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy_metric_name(name),
        }
    }

    /// The name that stands in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::Legacy => "legacy",
        }
    }
}

impl fmt::Display for NameValidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A structure whose fields stand inline among those of another one.
pub trait Inline {
    /// Takes the value of `key` from `map` where `key` is one of its fields; answers whether it is.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Reads a map: fields that belong to `inline` are handed to it, in order; the others are those of a `T`. `finish`
/// makes the result of both, and what it refuses is an error at the map's place. `expecting` says what should stand
/// where no map does.
///
/// `T` should deny unknown fields, so that what nobody knows is an error that names the field.
pub fn deserialize_with_inline<'de, D, T, I, V, E>(
    deserializer: D,
    expecting: &'static str,
    inline: I,
    finish: impl FnOnce(T, I) -> Result<V, E>,
) -> Result<V, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    I: Inline,
    E: fmt::Display,
{
    deserializer.deserialize_map(WithInline { expecting, inline, finish, own: PhantomData })
}

struct WithInline<T, I, F> {
    expecting: &'static str,
    inline: I,
    finish: F,
    own: PhantomData<T>,
}

impl<'de, T, I, V, E, F> Visitor<'de> for WithInline<T, I, F>
where
    T: Deserialize<'de>,
    I: Inline,
    E: fmt::Display,
    F: FnOnce(T, I) -> Result<V, E>,
{
    type Value = V;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<V, A::Error> {
        let remaining = Remaining { map, inline: &mut self.inline };
        let own = T::deserialize(serde::de::value::MapAccessDeserializer::new(remaining))?;
        (self.finish)(own, self.inline).map_err(A::Error::custom)
    }
}

/// Reads a YAML text that holds the fields of an inline structure and nothing else.
pub fn read_inline<I: Inline + Default>(text: &str) -> Result<I, String> {
    serde_saphyr::from_str::<Option<Only<I>>>(text)
        .map(|only| only.map_or_else(I::default, |only| only.0))
        .map_err(|error| error.without_snippet().to_string())
}

/// An inline structure that stands alone.
struct Only<I>(I);

impl<'de, I: Inline + Default> Deserialize<'de> for Only<I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<I>(PhantomData<I>);
        impl<'de, I: Inline + Default> serde::de::Visitor<'de> for Fields<I> {
            type Value = I;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<I, A::Error> {
                let mut inline = I::default();
                while let Some(key) = map.next_key::<String>()? {
                    if !inline.take(&key, &mut map)? {
                        return Err(A::Error::custom(format!("field {key} not found")));
                    }
                }
                Ok(inline)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData)).map(Only)
    }
}

impl<First: Inline, Second: Inline> Inline for (First, Second) {
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        Ok(self.0.take(key, map)? || self.1.take(key, map)?)
    }
}

/// A map without the fields that an inline structure took.
struct Remaining<'a, A, I> {
    map: A,
    inline: &'a mut I,
}

impl<'de, A: MapAccess<'de>, I: Inline> MapAccess<'de> for Remaining<'_, A, I> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if !self.inline.take(&key, &mut self.map)? {
                let key: StrDeserializer<'_, A::Error> = key.as_str().into_deserializer();
                return seed.deserialize(key).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_as_upstream_does() {
        for (text, bytes) in [
            ("0", 0),
            ("10MB", 10 << 20),
            ("1KiB", 1024),
            ("1GiB512MiB", 3 << 29),
            ("1.5KB", 1536),
            ("7B", 7),
        ] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
        }
        for bad in ["", "MB", "10", "10XB", "-1MB", "99999999999EiB", "1..2KB"] {
            assert_eq!(ByteSize::parse(bad), None, "{bad}");
        }
        assert_eq!(ByteSize(3 << 29).to_string(), "1GiB512MiB");
        assert_eq!(ByteSize(0).to_string(), "0");
    }

    #[test]
    fn nulls_are_zero_and_not_the_default() {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default = "seven", deserialize_with = "null_as_zero")]
            number: u32,
            #[serde(default, deserialize_with = "list_with_nulls")]
            names: Vec<String>,
        }
        fn seven() -> u32 {
            7
        }
        let read = |text| serde_saphyr::from_str::<Part>(text).expect("text is sound");
        assert_eq!(read("names: [a, ~]").number, 7);
        assert_eq!(read("names: [a, ~]").names, ["a", ""]);
        assert_eq!(read("number:").number, 0);
        assert!(read("number: 3\nnames:").names.is_empty());
    }

    #[derive(Default)]
    struct Size {
        bytes: Option<ByteSize>,
    }

    impl Inline for Size {
        fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
            if key == "size" {
                self.bytes = map.next_value()?;
            }
            Ok(key == "size")
        }
    }

    struct Whole {
        wait: DurationMs,
        size: Size,
    }

    impl<'de> Deserialize<'de> for Whole {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            #[derive(Deserialize)]
            #[serde(deny_unknown_fields)]
            struct Own {
                wait: DurationMs,
            }
            deserialize_with_inline(deserializer, "a map", Size::default(), |own: Own, size| {
                if own.wait == DurationMs(0) { Err("no wait") } else { Ok(Self { wait: own.wait, size }) }
            })
        }
    }

    #[test]
    fn inline_fields_are_taken_and_unknown_ones_are_named() {
        let whole: Whole = serde_saphyr::from_str("size: 1KB\nwait: 15s\n").expect("text is sound");
        assert_eq!((whole.wait, whole.size.bytes), (DurationMs(15_000), Some(ByteSize(1024))));
        let error =
            serde_saphyr::from_str::<Whole>("wait: 15s\nsise: 1KB\n").err().expect("field is unknown");
        assert!(error.to_string().contains("sise"), "{error}");
        let size: Size = read_inline("size: 1KB\n").expect("text is sound");
        assert_eq!(size.bytes, Some(ByteSize(1024)));
        assert!(read_inline::<Size>("").is_ok_and(|size| size.bytes.is_none()));
        assert!(read_inline::<Size>("wait: 15s").is_err_and(|error| error.contains("field wait not found")));
        let error = serde_saphyr::from_str::<Whole>("wait: 15").err().expect("a unit is missing");
        assert!(error.to_string().contains("not a valid duration string: \"15\""), "{error}");
        let error = serde_saphyr::from_str::<Whole>("size: 1KB\nwait: 0s").err().expect("it is refused");
        assert!(error.to_string().contains("no wait"), "{error}");
    }
}
