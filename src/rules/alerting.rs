//! Alerting rules: results become alerts, which wait, fire and are resolved.

use std::collections::BTreeMap;

use crate::model::{Label, Labels, METRIC_NAME, Timestamp};
use crate::notify;
use crate::promql::{SampleValue, VectorSample};
use crate::template::{Template, TemplateData, TemplateError};

use super::config::{GroupConfig, RuleConfig};
use super::environment::{Environment, Globals};
use super::error::EvaluationError;
use super::status::{ActiveAlert, AlertState};

/// Metric that shows which alerts there are.
pub(super) const ALERTS: &str = "ALERTS";
/// Metric that shows since when.
pub(super) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// Label that holds an alert's name.
pub(super) const ALERT_NAME: &str = "alertname";
/// Label that holds its state.
pub(super) const ALERT_STATE: &str = "alertstate";

/// How long a resolved alert is kept, and told of again and again: an Alertmanager may have missed it.
const RESOLVED_RETENTION_MS: i64 = 15 * 60_000;
/// So many resend delays or intervals may fail before an Alertmanager takes an alert for resolved.
const DELAYS_UNTIL_INVALID: i64 = 4;

/// An alerting rule and its alerts.
#[derive(Debug)]
pub(super) struct AlertingRule {
    pub(super) name: String,
    pub(super) hold_ms: i64,
    pub(super) keep_firing_for_ms: i64,
    /// The rule's labels as they were written, those of its group among them.
    label_texts: BTreeMap<String, String>,
    labels: Vec<(String, Template)>,
    annotations: Vec<(String, Template)>,
    /// Whether `ALERTS` and `ALERTS_FOR_STATE` are written: not before what they said last was restored.
    pub(super) restored: bool,
    pub(super) active: BTreeMap<Labels, Alert>,
}

/// One alert: the state of one label set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alert {
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) state: AlertState,
    pub(super) value: SampleValue,
    /// Since when its condition holds.
    pub(super) active_at: Timestamp,
    pub(super) fired_at: Option<Timestamp>,
    pub(super) resolved_at: Option<Timestamp>,
    pub(super) sent_at: Option<Timestamp>,
    pub(super) valid_until: Timestamp,
    /// Since when it fires only because of `keep_firing_for`.
    pub(super) keep_firing_since: Option<Timestamp>,
}

/// What an evaluation found for one label set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) value: SampleValue,
}

impl Alert {
    /// An alert that begins now.
    pub(super) fn pending(found: Found, at: Timestamp) -> Self {
        Self {
            annotations: found.annotations,
            state: AlertState::Pending,
            value: found.value,
            active_at: at,
            fired_at: None,
            resolved_at: None,
            sent_at: None,
            valid_until: at,
            keep_firing_since: None,
        }
    }

    /// Its condition holds at `at`; one that was resolved begins anew.
    fn hold_on(&mut self, found: Found, at: Timestamp) {
        if self.state == AlertState::Inactive {
            *self = Self::pending(found, at);
            return;
        }
        (self.value, self.annotations, self.keep_firing_since) = (found.value, found.annotations, None);
    }

    fn needs_sending(&self, at: Timestamp, resend_delay_ms: i64) -> bool {
        self.state != AlertState::Pending
            && (self.resolved_at > self.sent_at
                || self.sent_at.is_none_or(|sent| sent.saturating_add(resend_delay_ms) < at))
    }

    /// Moves all its times, as the clock was moved.
    fn shift(&mut self, by_ms: i64) {
        let times =
            [&mut self.fired_at, &mut self.resolved_at, &mut self.sent_at, &mut self.keep_firing_since];
        for time in times.into_iter().flatten().chain([&mut self.active_at, &mut self.valid_until]) {
            *time = time.saturating_add(by_ms);
        }
    }
}

impl AlertingRule {
    /// The error says which template cannot be read.
    pub(super) fn new(group: &GroupConfig, rule: &RuleConfig) -> Result<Self, String> {
        let mut label_texts = group.labels.clone();
        label_texts.extend(rule.labels.clone());
        let parse = |kind: &str, texts: &BTreeMap<String, String>| {
            let parse_one = |(name, text): (&String, &String)| match Template::parse(
                &format!("__alert_{}", rule.alert),
                text,
            ) {
                Ok(template) => Ok((name.clone(), template)),
                Err(error) => Err(format!("{kind} {name:?}: {error}")),
            };
            texts.iter().map(parse_one).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            name: rule.alert.clone(),
            hold_ms: rule.hold.0,
            keep_firing_for_ms: rule.keep_firing_for.0,
            labels: parse("label", &label_texts)?,
            annotations: parse("annotation", &rule.annotations)?,
            label_texts,
            restored: true,
            active: BTreeMap::new(),
        })
    }

    /// Labels and annotations of the alerts that `samples` make.
    pub(super) fn found(
        &self,
        samples: Vec<VectorSample>,
        at: Timestamp,
        environment: &Environment,
        globals: &Globals,
    ) -> Result<BTreeMap<Labels, Found>, EvaluationError> {
        let query = |text: &str, at| environment.ask(text, at).map_err(|error| error.to_string());
        let mut found = BTreeMap::new();
        for sample in samples {
            let data = TemplateData {
                labels: &sample.labels,
                external_labels: &globals.external_labels,
                external_url: &environment.external_url,
                value: &sample.value,
                at,
                query: &query,
            };
            let expand = |text: &Template| self.expand(text, &data, environment);
            let labels = self.labels_of(&sample.labels, expand);
            let annotations =
                self.annotations.iter().map(|(name, text)| (name.clone(), expand(text))).collect();
            if found.insert(labels, Found { annotations, value: sample.value }).is_some() {
                return Err(EvaluationError::DuplicateAlert);
            }
        }
        Ok(found)
    }

    fn labels_of(&self, sample: &Labels, expand: impl Fn(&Template) -> String) -> Labels {
        let mut labels = BTreeMap::from([(METRIC_NAME, String::new())]);
        for (name, text) in &self.labels {
            labels.insert(name, fitting(expand(text)));
        }
        labels.insert(ALERT_NAME, self.name.clone());
        sample.overridden(labels.iter().map(|(name, value)| Label { name, value }))
    }

    fn expand(&self, template: &Template, data: &TemplateData<'_>, environment: &Environment) -> String {
        environment.expansions.increment();
        template.expand(data).unwrap_or_else(|error: TemplateError| {
            environment.expansion_failures.increment();
            tracing::warn!(alert = %self.name, %error, labels = %data.labels, "Expanding alert template failed");
            format!("<error expanding template: {error}>")
        })
    }

    /// Carries the alerts on to `at`. `found`: what the expression found there.
    ///
    /// Answers how many alerts are pending or firing; with more than `limit`, all are forgotten.
    pub(super) fn advance(
        &mut self,
        mut found: BTreeMap<Labels, Found>,
        at: Timestamp,
        limit: u64,
    ) -> Result<(), EvaluationError> {
        let (hold_ms, keep_firing_for_ms) = (self.hold_ms, self.keep_firing_for_ms);
        self.active.retain(|labels, alert| {
            match found.remove(labels) {
                Some(found) => alert.hold_on(found, at),
                None if lingers(alert, at, keep_firing_for_ms) => {}
                None => return resolve(alert, at),
            }
            fire_or_wait(alert, at, hold_ms);
            true
        });
        for (labels, found) in found {
            let mut alert = Alert::pending(found, at);
            fire_or_wait(&mut alert, at, hold_ms);
            self.active.insert(labels, alert);
        }
        let count = self.active.values().filter(|alert| alert.state != AlertState::Inactive).count() as u64;
        if limit > 0 && count > limit {
            self.active.clear();
            return Err(EvaluationError::AlertLimit { limit, found: count });
        }
        Ok(())
    }

    /// What is recorded of the alerts that are pending or firing, in the order of canonical bytes.
    pub(super) fn results(&self) -> Vec<(Labels, SampleValue)> {
        if !self.restored {
            return Vec::new();
        }
        let mut results = Vec::new();
        for (labels, alert) in self.active.iter().filter(|(_, alert)| alert.state != AlertState::Inactive) {
            results.push((self.state_series(labels, alert.state), SampleValue::Float(1.0)));
            let since = alert.active_at.div_euclid(1_000) as f64;
            results.push((self.since_series(labels), SampleValue::Float(since)));
        }
        results.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        results
    }

    /// Labels of `ALERTS` for an alert of these labels.
    pub(super) fn state_series(&self, labels: &Labels, state: AlertState) -> Labels {
        self.series(labels, ALERTS, Some(state))
    }

    /// Labels of `ALERTS_FOR_STATE` for an alert of these labels.
    pub(super) fn since_series(&self, labels: &Labels) -> Labels {
        self.series(labels, ALERTS_FOR_STATE, None)
    }

    /// A label whose template gave nothing stands here as it was written, as upstream has it.
    fn series(&self, labels: &Labels, metric: &str, state: Option<AlertState>) -> Labels {
        let mut all: BTreeMap<&str, &str> = self.label_texts().collect();
        all.extend(labels.iter().map(|label| (label.name, label.value)));
        all.insert(METRIC_NAME, metric);
        all.insert(ALERT_NAME, &self.name);
        all.extend(state.map(|state| (ALERT_STATE, state.as_str())));
        Labels::default().overridden(all.into_iter().map(|(name, value)| Label { name, value }))
    }

    /// The alerts that somebody is to be told of now; they count as told.
    pub(super) fn take_due(
        &mut self,
        at: Timestamp,
        resend_delay_ms: i64,
        interval_ms: i64,
        generator_url: &str,
    ) -> Vec<notify::Alert> {
        let valid_ms = DELAYS_UNTIL_INVALID.saturating_mul(interval_ms.max(resend_delay_ms));
        let waiting = self.active.iter_mut().filter(|(_, alert)| alert.needs_sending(at, resend_delay_ms));
        waiting
            .map(|(labels, alert)| {
                alert.sent_at = Some(at);
                alert.valid_until = at.saturating_add(valid_ms);
                notify::Alert {
                    labels: labels.clone(),
                    annotations: alert.annotations.clone(),
                    starts_at: alert.fired_at.unwrap_or(alert.active_at),
                    ends_at: alert.resolved_at.unwrap_or(alert.valid_until),
                    generator_url: generator_url.to_owned(),
                }
            })
            .collect()
    }

    /// The rule's labels as they were written, those of its group among them.
    pub(super) fn label_texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.label_texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Moves all times of its alerts, as the clock was moved.
    pub(super) fn shift(&mut self, by_ms: i64) {
        self.active.values_mut().for_each(|alert| alert.shift(by_ms));
    }

    /// The highest state of its alerts.
    pub(super) fn state(&self) -> AlertState {
        self.active.values().map(|alert| alert.state).fold(AlertState::Inactive, AlertState::max)
    }

    /// The alerts that are pending or firing.
    pub(super) fn active_alerts(&self) -> Vec<ActiveAlert> {
        let active = self.active.iter().filter(|(_, alert)| alert.resolved_at.is_none());
        active
            .map(|(labels, alert)| ActiveAlert {
                labels: labels.clone(),
                annotations: alert.annotations.clone(),
                state: alert.state,
                active_at: alert.active_at,
                keep_firing_since: alert.keep_firing_since,
                value: alert.value.clone(),
            })
            .collect()
    }
}

/// Whether an alert whose condition is gone fires on.
fn lingers(alert: &mut Alert, at: Timestamp, keep_firing_for_ms: i64) -> bool {
    if alert.state != AlertState::Firing || keep_firing_for_ms <= 0 {
        return false;
    }
    at.saturating_sub(*alert.keep_firing_since.get_or_insert(at)) < keep_firing_for_ms
}

/// Ends an alert whose condition is gone; answers whether to keep it.
fn resolve(alert: &mut Alert, at: Timestamp) -> bool {
    let old = alert.resolved_at.is_some_and(|resolved| at.saturating_sub(resolved) > RESOLVED_RETENTION_MS);
    if alert.state == AlertState::Pending || old {
        return false;
    }
    if alert.state != AlertState::Inactive {
        alert.state = AlertState::Inactive;
        alert.resolved_at = Some(at);
    }
    true
}

/// An alert fires once its condition held for `hold_ms`, which a reload may have changed.
fn fire_or_wait(alert: &mut Alert, at: Timestamp, hold_ms: i64) {
    let held_long_enough = at.saturating_sub(alert.active_at) >= hold_ms;
    if alert.state == AlertState::Pending && held_long_enough {
        alert.state = AlertState::Firing;
        alert.fired_at = Some(at);
    } else if alert.state == AlertState::Firing && !held_long_enough {
        alert.state = AlertState::Pending;
        (alert.fired_at, alert.sent_at, alert.keep_firing_since) = (None, None, None);
    }
}

/// A label holds 16 MiB at most; a template that writes more is cut off.
fn fitting(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(crate::model::LABEL_TEXT_BYTES_MAX));
    text
}
