//! One rule: its expression, what becomes of the results, and how the latest evaluation went.

use std::time::{Duration, Instant};

use crate::model::{Labels, Timestamp};
use crate::notify;
use crate::promql::{Engine, Prepared, SampleValue, VectorSample};

use super::alerting::AlertingRule;
use super::config::{GroupConfig, RuleConfig};
use super::environment::{Environment, Globals, into_vector};
use super::error::EvaluationError;
use super::recording::RecordingRule;
use super::status::{AlertState, RuleHealth, RuleKind, RuleStatus};

/// What is recorded: labels and value, each series once, in the order of canonical bytes.
pub(super) type Results = Vec<(Labels, SampleValue)>;

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) config: RuleConfig,
    pub(super) query: Prepared,
    /// The expression as the parser prints it.
    text: String,
    /// Where the server shows the expression, behind its URL.
    link: String,
    /// Its labels with those of its group, as they were written, by name.
    labels: Vec<(String, String)>,
    pub(super) body: RuleBody,
    /// What the latest evaluation that worked recorded, in the order of canonical bytes.
    pub(super) series: Vec<Labels>,
    health: RuleHealth,
    last_error: String,
    pub(super) took: Duration,
    last_evaluation: Option<Timestamp>,
}

/// What only one kind of rules has.
#[derive(Debug)]
pub(super) enum RuleBody {
    Recording(RecordingRule),
    Alerting(AlertingRule),
}

/// Largest result of one rule, in bytes: it is written as one record of the log, with as many stale markers.
const RESULT_BYTES_MAX: usize = 256 << 20;

/// About how large results are once they are written, in bytes.
pub(super) fn bytes_of(results: &Results) -> usize {
    let value_bytes = |value: &SampleValue| match value {
        SampleValue::Float(_) => 16,
        SampleValue::Histogram(h) => 128 + 16 * (h.positive_buckets.len() + h.negative_buckets.len()),
    };
    results.iter().map(|(labels, value)| labels.as_bytes().len() + value_bytes(value)).sum()
}

fn bounded(results: Results) -> Result<Results, EvaluationError> {
    let bytes = bytes_of(&results);
    if bytes > RESULT_BYTES_MAX {
        return Err(EvaluationError::TooLarge { bytes, bytes_max: RESULT_BYTES_MAX });
    }
    Ok(results)
}

/// When and where a rule is evaluated.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) environment: &'a Environment,
    pub(super) globals: &'a Globals,
    /// The evaluation's slot.
    pub(super) at: Timestamp,
    /// The time of the query and of what is recorded.
    pub(super) query_at: Timestamp,
    /// What the clock showed when the group's evaluation began.
    pub(super) began: Timestamp,
    pub(super) limit: u64,
    pub(super) interval_ms: i64,
}

impl Moment<'_> {
    /// When the evaluation was that wrote samples of time `t`.
    pub(super) fn evaluated_at(&self, t: Timestamp) -> Timestamp {
        t.saturating_add(self.at.saturating_sub(self.query_at))
    }

    /// Which time an evaluation at `at` looks at.
    pub(super) fn queried_at(&self, at: Timestamp) -> Timestamp {
        at.saturating_sub(self.at.saturating_sub(self.query_at))
    }
}

/// What a rule's expression gives.
pub(super) fn ask(query: &Prepared, moment: &Moment<'_>) -> Result<Vec<VectorSample>, EvaluationError> {
    let environment = moment.environment;
    let output = environment.engine.instant_prepared(
        environment.select.as_ref(),
        &environment.tenant,
        query,
        moment.query_at,
        &environment.query_options(),
    )?;
    for note in output.warnings.iter().chain(&output.infos) {
        tracing::debug!(query = query.text(), %note, "the query of a rule");
    }
    into_vector(output.value)
}

impl Rule {
    /// Parses the expression and the templates; the error says what is wrong with them.
    pub(super) fn new(engine: &Engine, group: &GroupConfig, config: &RuleConfig) -> Result<Self, String> {
        let query =
            engine.prepare(&config.expr).map_err(|error| format!("could not parse expression: {error}"))?;
        let body = if config.alert.is_empty() {
            RuleBody::Recording(RecordingRule::new(group, config))
        } else {
            RuleBody::Alerting(AlertingRule::new(group, config)?)
        };
        let mut labels = group.labels.clone();
        labels.extend(config.labels.clone());
        let text = query.expr().to_string();
        Ok(Self {
            link: table_link(&text),
            text,
            query,
            labels: labels.into_iter().collect(),
            config: config.clone(),
            body,
            series: Vec::new(),
            health: RuleHealth::Unknown,
            last_error: String::new(),
            took: Duration::ZERO,
            last_evaluation: None,
        })
    }

    /// Evaluates it and sends its alerts; answers what is to be recorded.
    pub(super) fn evaluate(&mut self, moment: &Moment<'_>) -> Result<Results, EvaluationError> {
        let began = Instant::now();
        let results = self.results(moment).and_then(bounded);
        self.took = began.elapsed();
        self.last_evaluation = Some(moment.began);
        match &results {
            Ok(_) => self.succeed(),
            Err(error) => self.fail(error.to_string()),
        }
        results
    }

    fn results(&mut self, moment: &Moment<'_>) -> Result<Results, EvaluationError> {
        let samples = ask(&self.query, moment)?;
        let environment = moment.environment;
        match &mut self.body {
            RuleBody::Recording(rule) => rule.results(samples, moment.limit),
            RuleBody::Alerting(rule) => {
                let found = rule.found(samples, moment.at, environment, moment.globals)?;
                rule.advance(found, moment.at, moment.limit)?;
                let results = rule.results();
                let url = format!("{}{}", environment.external_url, self.link);
                let alerts: Vec<notify::Alert> =
                    rule.take_due(moment.at, environment.resend_delay_ms, moment.interval_ms, &url);
                if !alerts.is_empty() {
                    (environment.notify)(alerts);
                }
                Ok(results)
            }
        }
    }

    fn succeed(&mut self) {
        self.health = RuleHealth::Good;
        self.last_error.clear();
    }

    /// The evaluation failed, or what it recorded was refused.
    pub(super) fn fail(&mut self, error: String) {
        self.health = RuleHealth::Bad;
        self.last_error = error;
    }

    /// Whether both say the same; where they stand does not matter.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (own, its) = (&self.config, &other.config);
        self.continues(other)
            && self.text == other.text
            && (own.hold, own.keep_firing_for, &own.annotations)
                == (its.hold, its.keep_firing_for, &its.annotations)
    }

    /// Whether its alerts and series are those of `before`, which stood in the same group before a reload.
    pub(super) fn continues(&self, before: &Self) -> bool {
        self.config.name() == before.config.name()
            && self.config.alert.is_empty() == before.config.alert.is_empty()
            && self.labels == before.labels
    }

    /// Goes on with the alerts and series of `before`.
    pub(super) fn take_over(&mut self, before: Self) {
        self.series = before.series;
        if let (RuleBody::Alerting(own), RuleBody::Alerting(before)) = (&mut self.body, before.body) {
            own.active = before.active;
        }
    }

    /// What is shown of it.
    pub(super) fn status(&self) -> RuleStatus {
        RuleStatus {
            name: self.config.name().to_owned(),
            query: self.text.clone(),
            labels: self.labels.iter().cloned().collect(),
            health: self.health,
            last_error: self.last_error.clone(),
            evaluation_seconds: self.took.as_secs_f64(),
            last_evaluation: self.last_evaluation,
            kind: self.kind(),
        }
    }

    fn kind(&self) -> RuleKind {
        let RuleBody::Alerting(rule) = &self.body else { return RuleKind::Recording };
        RuleKind::Alerting {
            state: if self.last_evaluation.is_some() { rule.state() } else { AlertState::Unknown },
            hold_ms: rule.hold_ms,
            keep_firing_for_ms: rule.keep_firing_for_ms,
            annotations: self.config.annotations.clone(),
            alerts: rule.active_alerts(),
        }
    }
}

/// Where the server shows an expression as a table, behind its URL.
fn table_link(expr: &str) -> String {
    let mut link = String::from("/graph?g0.expr=");
    for byte in expr.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                link.push(char::from(byte))
            }
            b' ' => link.push('+'),
            _ => link.push_str(&format!("%{byte:02X}")),
        }
    }
    link.push_str("&g0.tab=1");
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_stand_in_links() {
        assert_eq!(
            table_link("sum by (job) (up{a=\"é\"}) > 1.5"),
            "/graph?g0.expr=sum+by+%28job%29+%28up%7Ba%3D%22%C3%A9%22%7D%29+%3E+1.5&g0.tab=1"
        );
    }
}
