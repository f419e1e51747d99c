//! How configuration text becomes values that several rooms share: durations, sizes, name rules, nulls, inline parts.
//!
//! Upstream reads YAML with Go's parser: a null is the zero value, not the default; an unknown field is an error;
//! some structures (HTTP client, discovery) stand inline among the fields of another. [`Inline`] gives the last
//! without `#[serde(flatten)]`, whose buffering would lose the types that YAML scalars are read by.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Error as _, IntoDeserializer, MapAccess};
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

/// Reads a `T` from `map`, handing fields that belong to `inline` to it first, in order.
///
/// `T` should deny unknown fields, so that what nobody knows is an error that names the field.
pub fn read_with_inline<'de, T, A, I>(map: A, inline: &mut I) -> Result<T, A::Error>
where
    T: Deserialize<'de>,
    A: MapAccess<'de>,
    I: Inline,
{
    T::deserialize(serde::de::value::MapAccessDeserializer::new(Remaining { map, inline }))
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
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Whole;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a map")
                }
                fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Whole, A::Error> {
                    let mut size = Size::default();
                    let own: Own = read_with_inline(map, &mut size)?;
                    Ok(Whole { wait: own.wait, size })
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }

    #[test]
    fn inline_fields_are_taken_and_unknown_ones_are_named() {
        let whole: Whole = serde_saphyr::from_str("size: 1KB\nwait: 15s\n").expect("text is sound");
        assert_eq!((whole.wait, whole.size.bytes), (DurationMs(15_000), Some(ByteSize(1024))));
        let error =
            serde_saphyr::from_str::<Whole>("wait: 15s\nsise: 1KB\n").err().expect("field is unknown");
        assert!(error.to_string().contains("sise"), "{error}");
        let error = serde_saphyr::from_str::<Whole>("wait: 15").err().expect("a unit is missing");
        assert!(error.to_string().contains("not a valid duration string: \"15\""), "{error}");
    }
}
