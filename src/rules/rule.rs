//! One rule: its expression, what becomes of the results, and how the latest evaluation went.

use std::time::{Duration, Instant};

use crate::model::{Labels, Timestamp};
use crate::notify;
use crate::promql::{Engine, Prepared, SampleValue};

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
    /// Its labels with those of its group, as they were written.
    pub(super) labels: Labels,
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

/// When and where a rule is evaluated.
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
        let labels = group.labels.iter().chain(&config.labels);
        Ok(Self {
            text: query.expr().to_string(),
            query,
            labels: Labels::from_pairs(labels),
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
        let results = self.results(moment);
        self.took = began.elapsed();
        self.last_evaluation = Some(moment.began);
        match &results {
            Ok(_) => self.succeed(),
            Err(error) => self.fail(error.to_string()),
        }
        results
    }

    fn results(&mut self, moment: &Moment<'_>) -> Result<Results, EvaluationError> {
        let environment = moment.environment;
        let (store, options) = (environment.select.as_ref(), environment.query_options());
        let output = environment.engine.instant_prepared(
            store,
            &environment.tenant,
            &self.query,
            moment.query_at,
            &options,
        )?;
        for note in output.warnings.iter().chain(&output.infos) {
            tracing::debug!(rule = self.config.name(), %note, "a rule's query");
        }
        let samples = into_vector(output.value)?;
        match &mut self.body {
            RuleBody::Recording(rule) => rule.results(samples, moment.limit),
            RuleBody::Alerting(rule) => {
                let found = rule.found(samples, moment.at, environment, moment.globals)?;
                rule.advance(found, moment.at, moment.limit)?;
                let results = rule.results();
                let url = format!("{}{}", environment.external_url, table_link(&self.text));
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

    /// What is shown of it.
    pub(super) fn status(&self) -> RuleStatus {
        RuleStatus {
            name: self.config.name().to_owned(),
            query: self.text.clone(),
            labels: self.labels.clone(),
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
            annotations: Labels::from_pairs(&self.config.annotations),
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
