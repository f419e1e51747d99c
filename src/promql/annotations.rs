//! Warnings and notes on a result, with upstream's texts and its rules for repeated ones.
//!
//! An annotation is known by its text without the position. A later one with the same text replaces the earlier,
//! so the position shown is the last one's; two kinds are merged instead and keep the position of the first.

use std::collections::HashMap;

use crate::model::{GoQuoted, Timestamp, format_float_g, format_rfc3339_ms};

use super::parse::ast::PosRange;
use super::text::format_g2;

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// The result may be wrong.
    Warning,
    /// The result is right, but may surprise.
    Info,
}

/// What stands behind the position of the kinds that merge.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Extra {
    None,
    Monotonicity(MonotonicityFix),
    Occurrences(u64),
}

/// How far buckets of classic histograms had to be changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MonotonicityFix {
    /// Lowest changed bucket's bound.
    pub(crate) bucket_min: f64,
    /// Highest changed bucket's bound.
    pub(crate) bucket_max: f64,
    /// Largest change.
    pub(crate) difference_max: f64,
    /// First and last time of a changed histogram.
    pub(crate) times: (Timestamp, Timestamp),
    /// How many were changed.
    pub(crate) count: u64,
}

impl MonotonicityFix {
    fn merge(&mut self, other: &Self) {
        self.bucket_min = self.bucket_min.min(other.bucket_min);
        self.bucket_max = self.bucket_max.max(other.bucket_max);
        self.difference_max = self.difference_max.max(other.difference_max);
        self.times = (self.times.0.min(other.times.0), self.times.1.max(other.times.1));
        self.count += other.count;
    }

    fn describe(&self) -> String {
        let second = |t: Timestamp| {
            let text = format_rfc3339_ms(t.div_euclid(1000) * 1000).unwrap_or_default();
            text.replace(".000Z", "Z")
        };
        format!(
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            format_float_g(self.bucket_min),
            format_float_g(self.bucket_max),
            format_g2(self.difference_max),
            self.count,
            second(self.times.0),
            second(self.times.1),
        )
    }
}

#[derive(Clone, Debug)]
struct Annotation {
    level: Level,
    text: String,
    extra: Extra,
    pos: PosRange,
}

/// The annotations of one query, each text once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Annotations {
    list: Vec<Annotation>,
    by_text: HashMap<String, usize>,
}

impl Annotations {
    /// Adds a warning.
    pub(crate) fn warn(&mut self, pos: PosRange, text: String) {
        self.add(Annotation { level: Level::Warning, text, extra: Extra::None, pos });
    }

    /// Adds a note.
    pub(crate) fn info(&mut self, pos: PosRange, text: String) {
        self.add(Annotation { level: Level::Info, text, extra: Extra::None, pos });
    }

    /// Classic buckets had to be made to rise.
    pub(crate) fn monotonicity(&mut self, pos: PosRange, metric: &str, fix: MonotonicityFix) {
        const TEXT: &str = "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
        let text = for_metric_name(TEXT, metric);
        self.add(Annotation { level: Level::Info, text, extra: Extra::Monotonicity(fix), pos });
    }

    /// A sample starts before the one before it ends.
    pub(crate) fn start_time_overlap(&mut self, pos: PosRange, metric: &str) {
        let text = format!(
            "sample has start time that overlaps with previous sample timestamp for metric {}",
            quoted(metric)
        );
        self.add(Annotation { level: Level::Warning, text, extra: Extra::Occurrences(1), pos });
    }

    fn add(&mut self, annotation: Annotation) {
        let Some(&at) = self.by_text.get(&annotation.text) else {
            self.by_text.insert(annotation.text.clone(), self.list.len());
            self.list.push(annotation);
            return;
        };
        let known = &mut self.list[at];
        match (&mut known.extra, annotation.extra) {
            (Extra::Monotonicity(known), Extra::Monotonicity(new)) => known.merge(&new),
            (Extra::Occurrences(known), Extra::Occurrences(new)) => *known += new,
            _ => *known = annotation,
        }
    }

    /// Warnings and infos as the HTTP API shows them. `query`: the text that the positions point into.
    /// `count_max`: most of each kind, the rest is counted in one more line; 0 shows all.
    pub(crate) fn render(&self, query: &str, count_max: usize) -> (Vec<String>, Vec<String>) {
        let of = |level| self.render_level(level, query, count_max);
        (of(Level::Warning), of(Level::Info))
    }

    fn render_level(&self, level: Level, query: &str, count_max: usize) -> Vec<String> {
        let (prefix, word) = match level {
            Level::Warning => ("PromQL warning", "warning"),
            Level::Info => ("PromQL info", "info"),
        };
        let shown = if count_max == 0 { usize::MAX } else { count_max };
        let of_level = self.list.iter().filter(|annotation| annotation.level == level);
        let mut texts: Vec<String> = of_level
            .clone()
            .take(shown)
            .map(|annotation| {
                let extra = match &annotation.extra {
                    Extra::Monotonicity(fix) => fix.describe(),
                    Extra::Occurrences(count) if *count > 1 => format!(" ({count} occurrences)"),
                    Extra::Occurrences(_) | Extra::None => String::new(),
                };
                let place = line_and_column(query, annotation.pos.start);
                format!("{prefix}: {}{extra} ({place})", annotation.text)
            })
            .collect();
        let omitted = of_level.count().saturating_sub(shown);
        if omitted > 0 {
            texts.push(format!("{omitted} more {word} annotations omitted"));
        }
        texts
    }
}

/// A name in Go's quotes.
pub(crate) fn quoted(text: &str) -> String {
    GoQuoted(text).to_string()
}

/// `text for metric name "metric"`, or only `text` where there is no name.
pub(crate) fn for_metric_name(text: &str, metric: &str) -> String {
    if metric.is_empty() { text.to_owned() } else { format!("{text} for metric name {}", quoted(metric)) }
}

/// Line and column of a byte of the query, both from 1.
fn line_and_column(query: &str, at: usize) -> String {
    let Some(before) = query.as_bytes().get(..at) else { return "invalid position".to_owned() };
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    format!("{line}:{}", at - line_start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: usize) -> PosRange {
        PosRange { start, end: start + 1 }
    }

    #[test]
    fn the_last_position_of_a_text_counts() {
        let mut annotations = Annotations::default();
        annotations.warn(at(0), "a".to_owned());
        annotations.warn(at(4), "a".to_owned());
        annotations.info(at(8), "b".to_owned());
        let (warnings, infos) = annotations.render("foo\n+ bar", 0);
        assert_eq!(warnings, ["PromQL warning: a (2:1)"]);
        assert_eq!(infos, ["PromQL info: b (2:5)"]);
    }

    #[test]
    fn merged_kinds_keep_the_first_position() {
        let mut annotations = Annotations::default();
        annotations.start_time_overlap(at(2), "m");
        annotations.start_time_overlap(at(5), "m");
        let (warnings, _) = annotations.render("rate(m[1m])", 0);
        assert_eq!(
            warnings,
            [
                "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \"m\" (2 occurrences) (1:3)"
            ]
        );
        let fix = |bound, t| MonotonicityFix {
            bucket_min: bound,
            bucket_max: bound,
            difference_max: 10.0,
            times: (t, t),
            count: 1,
        };
        annotations.monotonicity(at(1), "h", fix(5.0, 0));
        annotations.monotonicity(at(9), "h", fix(7.5, 60_000));
        let (_, infos) = annotations.render("rate(m[1m])", 0);
        assert!(infos[0].ends_with(
            "for metric name \"h\", from buckets 5 to 7.5, with a max diff of 10, over 2 samples from 1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z (1:2)"
        ), "{}", infos[0]);
    }

    #[test]
    fn long_lists_are_cut() {
        let mut annotations = Annotations::default();
        for text in ["a", "b", "c"] {
            annotations.info(at(0), text.to_owned());
        }
        let (_, infos) = annotations.render("x", 1);
        assert_eq!(infos, ["PromQL info: a (1:1)", "2 more info annotations omitted"]);
    }
}
