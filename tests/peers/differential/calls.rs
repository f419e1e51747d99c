//! Calls of functions.

use super::catalog;
use super::data::{FAMILIES, Kind};
use super::generate::{Generator, Vector};
use super::select::label_name;

impl Generator {
    /// A call of the function with arguments that suit it.
    pub(super) fn call(&mut self, name: &'static str, depth: usize) -> Vector {
        let depth = depth.max(1);
        if catalog::OVER_RANGE.contains(&name) {
            let kind = match self.random.below(10) {
                0 => Kind::Histogram,
                1 => Kind::Mixed,
                _ => Kind::Float,
            };
            let range = self.range(kind, depth - 1);
            return self.apply(name, range);
        }
        if catalog::ELEMENTWISE.contains(&name) {
            let inner = self.anything(depth - 1);
            return self.apply(name, inner);
        }
        if catalog::DATE.contains(&name) {
            return self.date(name, depth);
        }
        if catalog::OF_HISTOGRAMS.contains(&name) {
            return self.of_histogram(name, depth);
        }
        self.particular(name, depth)
    }

    /// `name(inner)`; series of the result have no name.
    pub(super) fn apply(&mut self, name: &'static str, inner: Vector) -> Vector {
        self.function(name);
        let keeps = catalog::HISTOGRAMS_OVER_RANGE.contains(&name);
        let kind = if keeps { inner.kind } else { Kind::Float };
        Vector { text: format!("{name}({})", inner.text), kind, top: name, loose: false, ..inner }
    }

    /// `name(before, inner, after)` with scalars beside the vector.
    fn apply_with(
        &mut self,
        name: &'static str,
        before: &[String],
        inner: Vector,
        after: &[String],
    ) -> Vector {
        self.function(name);
        let arguments = [before, std::slice::from_ref(&inner.text), after].concat().join(", ");
        Vector { text: format!("{name}({arguments})"), kind: Kind::Float, top: name, loose: false, ..inner }
    }

    /// A call that stands alone.
    fn alone(&mut self, name: &'static str, text: String) -> Vector {
        self.function(name);
        Vector { text, labels: Vec::new(), kind: Kind::Float, top: name, loose: false }
    }

    fn date(&mut self, name: &'static str, depth: usize) -> Vector {
        match self.random.below(10) {
            0 => self.alone(name, format!("{name}()")),
            1..=6 => {
                let clock =
                    FAMILIES.iter().find(|family| family.name == "clock_seconds").expect("there is a clock");
                let inner = self.select(clock);
                self.apply(name, inner)
            }
            _ => {
                let inner = self.anything(depth - 1);
                self.apply(name, inner)
            }
        }
    }

    fn of_histogram(&mut self, name: &'static str, depth: usize) -> Vector {
        let classic = matches!(name, "histogram_quantile" | "histogram_fraction");
        let mut inner = match self.random.below(10) {
            0 => self.anything(depth - 1),
            1..=5 if classic => self.buckets(),
            _ => self.histograms(depth - 1),
        };
        inner.labels.retain(|label| *label != "le");
        let bound = |random: &mut super::random::Random| {
            random.pick(&["-Inf", "0", "0.3", "0.5", "1", "2.5", "7", "+Inf", "NaN"]).to_string()
        };
        let before = match name {
            "histogram_quantile" => {
                let quantile = self
                    .random
                    .pick(&["0", "0.05", "0.5", "0.9", "0.99", "1", "-1", "1.2", "NaN"])
                    .to_string();
                vec![quantile]
            }
            "histogram_fraction" => vec![bound(&mut self.random), bound(&mut self.random)],
            _ => Vec::new(),
        };
        self.apply_with(name, &before, inner, &[])
    }

    /// Classic buckets, as they are, as rates, or summed.
    fn buckets(&mut self) -> Vector {
        match self.random.below(3) {
            0 => self.select_kind(Kind::Buckets),
            1 => {
                let range = self.range(Kind::Buckets, 0);
                self.apply("rate", range)
            }
            _ => {
                let range = self.range(Kind::Buckets, 0);
                let rates = self.apply("rate", range);
                self.saw("aggregation:sum");
                self.saw("aggregation by");
                Vector { text: format!("sum by (le, job) ({})", rates.text), labels: vec!["job"], ..rates }
            }
        }
    }

    fn particular(&mut self, name: &'static str, depth: usize) -> Vector {
        match name {
            "absent" | "sort" | "sort_desc" | "timestamp" => {
                let inner = self.anything(depth - 1);
                let kind = if name == "timestamp" || name == "absent" { Kind::Float } else { inner.kind };
                Vector { kind, ..self.apply(name, inner) }
            }
            "absent_over_time" => {
                let range = self.range(Kind::Float, depth - 1);
                self.apply(name, range)
            }
            "clamp" | "clamp_max" | "clamp_min" | "round" => self.limited(name, depth),
            "double_exponential_smoothing" => {
                let range = self.range(Kind::Float, depth - 1);
                let factors =
                    self.random.pick(&[["0.5", "0.1"], ["0.01", "0.9"], ["0.3", "1"]]).map(str::to_owned);
                self.apply_with(name, &[], range, &factors)
            }
            "predict_linear" => {
                let range = self.range(Kind::Float, depth - 1);
                let ahead = self.scalar(1);
                self.apply_with(name, &[], range, &[ahead])
            }
            "quantile_over_time" => {
                let range = self.range(Kind::Float, depth - 1);
                let quantile = self.random.pick(&["0", "0.25", "0.5", "0.99", "1", "-0.1", "2"]).to_string();
                self.apply_with(name, &[quantile], range, &[])
            }
            "info" => self.info(),
            "label_join" | "label_replace" => self.labelled(name, depth),
            "sort_by_label" | "sort_by_label_desc" => {
                let inner = self.anything(depth - 1);
                let labels =
                    self.random.pick(&["\"instance\"", "\"job\", \"instance\"", "\"code\", \"instance\""]);
                let (labels, kind) = ((*labels).to_owned(), inner.kind);
                Vector { kind, ..self.apply_with(name, &[], inner, &[labels]) }
            }
            "pi" | "time" => self.alone(name, format!("{name}()")),
            "scalar" => {
                let inner = self.anything(depth - 1);
                let inner = if self.random.chance(70) { format!("max({})", inner.text) } else { inner.text };
                self.alone(name, format!("scalar({inner})"))
            }
            "vector" => {
                let inner = self.scalar(depth - 1);
                self.alone(name, format!("vector({inner})"))
            }
            other => unreachable!("{other} is in no list"),
        }
    }

    fn limited(&mut self, name: &'static str, depth: usize) -> Vector {
        let inner = self.anything(depth - 1);
        let arguments = match name {
            "clamp" => {
                self.random.pick(&[&["0", "10"][..], &["-1", "1"], &["5", "-5"], &["NaN", "1"]]).to_vec()
            }
            "round" => self.random.pick(&[&[][..], &["0.5"], &["10"], &["0"], &["-3"], &["0.001"]]).to_vec(),
            _ => vec![*self.random.pick(&["0", "3.5", "1e2", "NaN", "-Inf"])],
        };
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        self.apply_with(name, &[], inner, &arguments)
    }

    fn info(&mut self) -> Vector {
        let inner = self.floats(1);
        let chosen =
            *self.random.pick(&["", "{version=~\".+\"}", "{version=\"1.2\"}", "{__name__=\"build_info\"}"]);
        self.function("info");
        let text = match chosen {
            "" => format!("info({})", inner.text),
            _ => format!("info({}, {chosen})", inner.text),
        };
        Vector { text, top: "info", loose: false, ..inner }
    }

    fn labelled(&mut self, name: &'static str, depth: usize) -> Vector {
        let inner = self.anything(depth - 1);
        self.function(name);
        let kind = inner.kind;
        let (arguments, new) = if name == "label_join" {
            self.random
                .pick(&[
                    ("\"both\", \"-\", \"job\", \"instance\"", "both"),
                    ("\"new.label\", \"\", \"instance\"", "new.label"),
                    ("\"instance\", \"/\", \"instance\", \"job\"", ""),
                ])
                .to_owned()
        } else {
            self.random
                .pick(&[
                    ("\"short\", \"$1\", \"instance\", \"(.*):.*\"", "short"),
                    ("\"named\", \"<${letter}>\", \"instance\", \"(?P<letter>[a-z]).*\"", "named"),
                    ("\"added\", \"value\", \"\", \"\"", "added"),
                    ("\"added\", \"x$1\", \"nosuch\", \"\"", "added"),
                    ("\"zone\", \"\", \"zone\", \".*\"", ""),
                ])
                .to_owned()
        };
        let mut labels = inner.labels.clone();
        labels.extend(Some(new).filter(|new| !new.is_empty() && !inner.labels.contains(new)));
        let text = format!("{name}({}, {arguments})", inner.text);
        Vector { text, labels, kind, top: name, loose: false }
    }

    /// Some of a vector's labels.
    pub(super) fn some_labels(&mut self, of: &[&'static str]) -> Vec<&'static str> {
        of.iter().copied().filter(|_| self.random.chance(50)).collect()
    }
}

/// A list of labels in parentheses.
pub(super) fn label_list(labels: &[&str]) -> String {
    let names: Vec<String> = labels.iter().map(|label| label_name(label)).collect();
    format!("({})", names.join(", "))
}
