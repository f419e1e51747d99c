//! OpenMetrics text: one blank between tokens, no free comments, times in seconds, and a last line that proves that
//! nothing was cut off.

use crate::model::{MetricType, Timestamp};

use super::ExpositionError;
use super::cursor::Part;
use super::parser::{Found, LabelsOf, Number, Parser};

/// What begins an exemplar.
const EXEMPLAR_START: &[u8] = b" # {";

impl<'a> Parser<'a> {
    pub(super) fn next_open_metrics(&mut self) -> Result<Found<'a>, ExpositionError> {
        self.cursor.entry = self.cursor.at;
        match self.cursor.peek() {
            None => Err(ExpositionError::MissingEof { line: self.cursor.line() }),
            Some(b'#') => self.open_metrics_metadata(),
            Some(_) => self.open_metrics_sample(),
        }
    }

    fn open_metrics_metadata(&mut self) -> Result<Found<'a>, ExpositionError> {
        if self.cursor.eat_all(b"# HELP ") {
            let metric = self.metadata_name("expected metric name after HELP")?;
            let part = self.open_metrics_text("expected text in HELP")?;
            return Ok(Found::Help { metric, text: self.text_of(part, "help text")? });
        }
        if self.cursor.eat_all(b"# TYPE ") {
            let metric = self.metadata_name("expected metric name after TYPE")?;
            let part = self.open_metrics_text("expected text in TYPE")?;
            self.metric_type = self.open_metrics_type(part)?;
            return Ok(Found::Type { metric });
        }
        if self.cursor.eat_all(b"# UNIT ") {
            let metric = self.metadata_name("expected metric name after UNIT")?;
            let part = self.open_metrics_text("expected text in UNIT")?;
            let unit = self.text_of(part, "unit")?;
            let is_suffix = metric.strip_suffix(unit).is_some_and(|front| front.ends_with('_'));
            if !unit.is_empty() && !is_suffix {
                return Err(self.cursor.content(format!("unit {unit:?} not a suffix of metric {metric:?}")));
            }
            return Ok(Found::Unit { metric, unit });
        }
        if self.cursor.eat_all(b"# EOF") {
            self.cursor.eat(b'\n');
            return match self.cursor.peek() {
                None => {
                    // Stays before its end, so that asking again answers the same.
                    self.cursor.at = self.cursor.entry;
                    Ok(Found::End)
                }
                Some(_) => Err(ExpositionError::AfterEof { line: self.cursor.line() }),
            };
        }
        Err(self.cursor.expected("expected a valid start token"))
    }

    /// What follows the name of metadata: one blank, the text, the end of the line.
    fn open_metrics_text(&mut self, expected: &'static str) -> Result<Part, ExpositionError> {
        if !self.cursor.eat(b' ') {
            return Err(self.cursor.expected(expected));
        }
        let part = self.cursor.rest_of_line();
        if !self.cursor.eat(b'\n') {
            return Err(ExpositionError::MissingEof { line: self.cursor.line() });
        }
        Ok(part)
    }

    fn open_metrics_type(&self, part: Part) -> Result<MetricType, ExpositionError> {
        let name = self.text_of(part, "metric type")?;
        MetricType::ALL
            .into_iter()
            .find(|metric_type| metric_type.as_str() == name)
            .ok_or_else(|| self.cursor.content(format!("invalid metric type {name:?}")))
    }

    fn open_metrics_sample(&mut self) -> Result<Found<'a>, ExpositionError> {
        let start = self.cursor.at;
        let mut metric = self.metric_name();
        if metric.is_none() && self.cursor.peek() != Some(b'{') {
            return Err(self.cursor.expected("expected a valid start token"));
        }
        if self.cursor.eat(b'{') {
            metric = self.labels_in_braces(metric, LabelsOf::OpenMetricsSample)?;
        }
        let Some(metric) = metric else {
            return Err(self.cursor.content("metric name not set".to_owned()));
        };
        let series = Part { start, end: self.cursor.at };
        let value = self.open_metrics_float("expected value after metric", "value")?;
        let timestamp = self.open_metrics_timestamp("timestamp")?;
        let exemplar = if self.cursor.eat_all(EXEMPLAR_START) { Some(self.exemplar()?) } else { None };
        if !self.cursor.eat(b'\n') {
            return Err(match self.cursor.peek() {
                None => ExpositionError::MissingEof { line: self.cursor.line() },
                Some(_) => self.cursor.expected("expected next entry after timestamp"),
            });
        }
        Ok(Found::Sample { series, metric, number: Number { value, timestamp }, exemplar })
    }

    fn exemplar(&mut self) -> Result<Number, ExpositionError> {
        self.labels_in_braces(None, LabelsOf::Exemplar)?;
        let value = self.open_metrics_float("expected value after exemplar labels", "exemplar value")?;
        let timestamp = self.open_metrics_timestamp("exemplar timestamp")?;
        Ok(Number { value, timestamp })
    }

    /// A blank and a float.
    fn open_metrics_float(&mut self, expected: &'static str, what: &str) -> Result<f64, ExpositionError> {
        let here = self.cursor.at;
        let is_blank = self.cursor.eat(b' ');
        let part = self.cursor.take_while(|c| c != b' ' && c != b'\n');
        if !is_blank || part.start == part.end {
            self.cursor.at = here;
            return Err(self.cursor.expected(expected));
        }
        self.float_of(part, what)
    }

    /// A blank and seconds, if they stand here and not an exemplar or the end of the line.
    fn open_metrics_timestamp(&mut self, what: &str) -> Result<Option<Timestamp>, ExpositionError> {
        let rest = &self.cursor.body[self.cursor.at..];
        if !rest.starts_with(b" ") || rest.starts_with(EXEMPLAR_START) {
            return Ok(None);
        }
        let seconds = self.open_metrics_float("expected timestamp or comment", what)?;
        if !seconds.is_finite() {
            return Err(self.cursor.content(format!("invalid {what} {seconds}")));
        }
        // Cut off towards zero, as upstream does; beyond 64 bits it stays at the end.
        Ok(Some((seconds * 1000.0) as Timestamp))
    }
}
