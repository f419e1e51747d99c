//! The Prometheus text format: blanks between any two tokens, free comments, times in milliseconds.

use crate::model::{MetricType, Timestamp};

use super::ExpositionError;
use super::cursor::Part;
use super::parser::{Found, LabelsOf, Number, Parser};

impl<'a> Parser<'a> {
    pub(super) fn next_text(&mut self) -> Result<Found<'a>, ExpositionError> {
        loop {
            self.cursor.skip_blanks();
            self.cursor.entry = self.cursor.at;
            match self.cursor.peek() {
                None => return Ok(Found::End),
                Some(b'\n') => self.cursor.at += 1,
                Some(b'#') => return self.text_comment(),
                Some(_) => return self.text_sample(),
            }
        }
    }

    /// A line that begins with `#`: metadata, or a comment.
    fn text_comment(&mut self) -> Result<Found<'a>, ExpositionError> {
        self.cursor.eat(b'#');
        if matches!(self.cursor.peek(), Some(b' ' | b'\t')) {
            self.cursor.skip_blanks();
            if self.text_keyword(b"HELP") {
                let metric = self.metadata_name("expected metric name after HELP")?;
                let part = self.text_metadata();
                let text = self.text_of(part, "help text")?;
                self.text_end_of_line("linebreak expected after metadata")?;
                return Ok(Found::Help { metric, text });
            }
            if self.text_keyword(b"TYPE") {
                let metric = self.metadata_name("expected metric name after TYPE")?;
                let part = self.text_metadata();
                self.metric_type = self.text_type(part)?;
                self.text_end_of_line("linebreak expected after metadata")?;
                return Ok(Found::Type { metric });
            }
        }
        self.cursor.rest_of_line();
        self.text_end_of_line("linebreak expected after comment")?;
        Ok(Found::Comment)
    }

    /// Steps over `word` and the blanks behind it, if both stand here.
    fn text_keyword(&mut self, word: &[u8]) -> bool {
        let behind = self.cursor.body.get(self.cursor.at + word.len());
        let here = matches!(behind, Some(b' ' | b'\t')) && self.cursor.eat_all(word);
        if here {
            self.cursor.skip_blanks();
        }
        here
    }

    /// What follows the name of metadata: one blank, and the text up to the end of the line.
    fn text_metadata(&mut self) -> Part {
        let part = self.cursor.rest_of_line();
        Part { start: (part.start + 1).min(part.end), end: part.end }
    }

    fn text_type(&self, part: Part) -> Result<MetricType, ExpositionError> {
        match self.text_of(part, "metric type")? {
            "counter" => Ok(MetricType::Counter),
            "gauge" => Ok(MetricType::Gauge),
            "histogram" => Ok(MetricType::Histogram),
            "summary" => Ok(MetricType::Summary),
            "untyped" => Ok(MetricType::Unknown),
            other => Err(self.cursor.content(format!("invalid metric type {other:?}"))),
        }
    }

    fn text_sample(&mut self) -> Result<Found<'a>, ExpositionError> {
        let start = self.cursor.at;
        let mut metric = self.metric_name();
        if metric.is_none() && self.cursor.peek() != Some(b'{') {
            return Err(self.cursor.expected("expected a valid start token"));
        }
        let mut end = self.cursor.at;
        self.cursor.skip_blanks();
        if self.cursor.eat(b'{') {
            metric = self.labels_in_braces(metric, LabelsOf::TextSample)?;
            end = self.cursor.at;
        }
        let Some(metric) = metric else {
            return Err(self.cursor.content("metric name not set".to_owned()));
        };
        self.cursor.skip_blanks();
        let value = self.cursor.take_while(|c| !matches!(c, b'{' | b' ' | b'\t' | b'\n'));
        if value.start == value.end {
            return Err(self.cursor.expected("expected value after metric"));
        }
        let value = self.float_of(value, "value")?;
        let timestamp = self.text_timestamp()?;
        let series = Part { start, end };
        Ok(Found::Sample { series, metric, number: Number { value, timestamp }, exemplar: None })
    }

    /// Milliseconds behind a value, and the end of the line.
    fn text_timestamp(&mut self) -> Result<Option<Timestamp>, ExpositionError> {
        self.cursor.skip_blanks();
        let digits = self.cursor.take_while(|c| c.is_ascii_digit());
        if digits.start == digits.end {
            self.text_end_of_line("expected timestamp or new record")?;
            return Ok(None);
        }
        let text = self.text_of(digits, "timestamp")?;
        let timestamp = text
            .parse()
            .map_err(|_| self.cursor.content(format!("timestamp {text:?} does not fit 64 bits")))?;
        self.text_end_of_line("expected next entry after timestamp")?;
        Ok(Some(timestamp))
    }

    /// Steps over the end of the line; the end of the body is one too.
    fn text_end_of_line(&mut self, expected: &'static str) -> Result<(), ExpositionError> {
        self.cursor.skip_blanks();
        if self.cursor.peek().is_none() || self.cursor.eat(b'\n') {
            Ok(())
        } else {
            Err(self.cursor.expected(expected))
        }
    }
}
