//! In which order rows stand.

use crate::model::{BUCKET_LABEL, Labels, METRIC_NAME};

/// Sort key of a row: metric name, labels without `le`, then `le` as a number, so that a classic histogram's buckets
/// lie side by side in their order. Two label sets have two keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    rest: Vec<u8>,
    /// The bits of `le` in the order of numbers; below all numbers where there is none.
    bound: u64,
    /// `le` as it is written, for several spellings of a number.
    text: String,
}

impl RowKey {
    /// The key of a label set.
    pub fn of(labels: &Labels) -> Self {
        let mut rest = Vec::new();
        put_text(labels.metric_name(), &mut rest);
        let (mut bound, mut text) = (f64::NEG_INFINITY, String::new());
        for label in labels.iter().filter(|label| label.name != METRIC_NAME) {
            if label.name == BUCKET_LABEL
                && let Ok(parsed) = label.value.parse::<f64>()
            {
                bound = parsed;
                text = label.value.to_owned();
                continue;
            }
            for part in [label.name, label.value] {
                rest.push(0);
                put_text(part, &mut rest);
            }
        }
        let bits = bound.to_bits();
        let bound = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
        Self { rest, bound, text }
    }

    /// Whether both are of the same labels but for `le`.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.rest == other.rest
    }
}

/// Appends a text of which a zero byte is not taken for its end: no text has a byte 255.
fn put_text(text: &str, out: &mut Vec<u8>) {
    for (number, part) in text.as_bytes().split(|byte| *byte == 0).enumerate() {
        if number > 0 {
            out.extend_from_slice(&[0, 255]);
        }
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_stand_in_the_order_of_their_bounds() {
        let key = |job: &str, le: &str| {
            RowKey::of(&Labels::from_pairs([("__name__", "x_bucket"), ("job", job), ("le", le)]))
        };
        let rising = [key("a", "0.5"), key("a", "1"), key("a", "1.0"), key("a", "+Inf"), key("b", "0.1")];
        assert!(rising.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn two_label_sets_have_two_keys() {
        let key = |pairs: &[(&str, &str)]| RowKey::of(&Labels::from_pairs(pairs.iter().copied()));
        let keys = [
            key(&[("__name__", "m"), ("a", "x"), ("b", "y")]),
            key(&[("__name__", "m"), ("a", "x\0b\0y")]),
            key(&[("__name__", "m\0a\0x\0b\0y")]),
            key(&[("__name__", "m"), ("a", "x\0"), ("b", "y")]),
            key(&[("__name__", "m"), ("a", "x"), ("b", "\0y")]),
        ];
        for (number, key) in keys.iter().enumerate() {
            assert!(!keys[..number].contains(key), "{number}");
        }
    }
}
