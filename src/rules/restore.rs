//! After a restart: alerts go on where they were, by what `ALERTS` and `ALERTS_FOR_STATE` say of them.
//!
//! Three things are restored, if the server was away for no longer than is tolerated:
//! - an alert that was firing fires again at once, if its condition still holds;
//! - one that was pending has waited as long as it had before; one that waits for the grace period or longer does
//!   not fire before that has passed since the restart;
//! - one that was firing, whose condition is gone and whose rule has `keep_firing_for`, fires until that has passed
//!   since its condition held last.
//!
//! The first is upstream's only for alerts that wait for the grace period or longer, and so is the second; the third
//! is not upstream's.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::{Labels, METRIC_NAME, Matcher, TimeSpan, Timestamp, is_stale};
use crate::promql::Prepared;
use crate::storage::{Columns, SelectError, SelectRequest, SymbolTable};

use super::alerting::{ALERT_NAME, ALERT_STATE, ALERTS, ALERTS_FOR_STATE, Alert, AlertingRule};
use super::environment::Environment;
use super::error::EvaluationError;
use super::rule::{Moment, ask};
use super::status::AlertState;

/// Most evaluations in the past that are made to learn when a condition held last.
const EVALUATIONS_MAX: i64 = 100;

/// What is stored of one alert: when it was written last, and the value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stored {
    t: Timestamp,
    value: f64,
}

/// Restores the alerts of a rule. What cannot be read is logged, and the alerts start anew.
pub(super) fn restore(rule: &mut AlertingRule, query: &Prepared, moment: &Moment<'_>) {
    let restored =
        stored(rule, ALERTS_FOR_STATE, None, moment).map_err(EvaluationError::from).and_then(|since| {
            restore_active(rule, &since, moment);
            restore_lingering(rule, query, &since, moment)
        });
    if let Err(error) = restored {
        tracing::error!(alert = rule.name, %error, "Failed to restore 'for' state");
    }
}

/// Alerts whose condition holds.
fn restore_active(rule: &mut AlertingRule, since: &HashMap<Labels, Stored>, moment: &Moment<'_>) {
    let grace_ms = moment.environment.grace_period_ms;
    let mut active = std::mem::take(&mut rule.active);
    for (labels, alert) in &mut active {
        if let Some(stored) = since.get(&rule.since_series(labels)) {
            alert.active_at = active_at(stored, rule.hold_ms, grace_ms, moment);
            tracing::debug!(alert = rule.name, %labels, active_at = alert.active_at, "'for' state restored");
        }
    }
    rule.active = active;
}

/// Since when an alert counts as active that was seen last when `stored` was written.
fn active_at(stored: &Stored, hold_ms: i64, grace_ms: i64, moment: &Moment<'_>) -> Timestamp {
    let since = millis(stored.value);
    let down_at = moment.evaluated_at(stored.t);
    let remaining_ms = hold_ms.saturating_sub(down_at.saturating_sub(since));
    if remaining_ms <= 0 {
        since
    } else if remaining_ms < grace_ms && hold_ms >= grace_ms {
        moment.at.saturating_add(grace_ms).saturating_sub(hold_ms)
    } else {
        // The outage does not count.
        since.saturating_add(moment.at.saturating_sub(down_at))
    }
}

/// Alerts that fired and whose condition is gone: the evaluations before the outage tell since when.
fn restore_lingering(
    rule: &mut AlertingRule,
    query: &Prepared,
    since: &HashMap<Labels, Stored>,
    moment: &Moment<'_>,
) -> Result<(), EvaluationError> {
    if rule.keep_firing_for_ms <= 0 {
        return Ok(());
    }
    let fired = stored(rule, ALERTS, Some(AlertState::Firing), moment)?;
    let Some(down_at) = fired.values().map(|stored| moment.evaluated_at(stored.t)).max() else {
        return Ok(());
    };
    let firing_series = |rule: &AlertingRule, labels: &Labels| rule.state_series(labels, AlertState::Firing);
    let mut wanted: HashSet<&Labels> = fired.keys().collect();
    rule.active.keys().for_each(|labels| {
        wanted.remove(&firing_series(rule, labels));
    });
    for step in 0..EVALUATIONS_MAX {
        let at = down_at.saturating_sub(step.saturating_mul(moment.interval_ms));
        let missed_at = at.saturating_add(moment.interval_ms);
        if wanted.is_empty() || moment.at.saturating_sub(missed_at) >= rule.keep_firing_for_ms {
            break;
        }
        let then = Moment { at, query_at: moment.queried_at(at), ..*moment };
        for (labels, found) in rule.found(ask(query, &then)?, at, moment.environment, moment.globals)? {
            let was_wanted = wanted.remove(&firing_series(rule, &labels));
            let Some(stored) = since.get(&rule.since_series(&labels)).filter(|_| was_wanted) else {
                continue;
            };
            let active_at = millis(stored.value);
            let alert = Alert {
                state: AlertState::Firing,
                fired_at: Some(active_at.saturating_add(rule.hold_ms)),
                keep_firing_since: Some(missed_at),
                ..Alert::pending(found, active_at)
            };
            rule.active.insert(labels, alert);
        }
    }
    Ok(())
}

fn millis(seconds: f64) -> Timestamp {
    // Saturates, which is as far away as it can be.
    (seconds * 1_000.0) as Timestamp
}

/// What was stored of a rule's alerts within the tolerated outage and did not end, by series.
fn stored(
    rule: &AlertingRule,
    metric: &str,
    state: Option<AlertState>,
    moment: &Moment<'_>,
) -> Result<HashMap<Labels, Stored>, SelectError> {
    let Environment { select, tenant, outage_tolerance_ms, .. } = moment.environment;
    // Labels with templates differ from alert to alert.
    let mut known: BTreeMap<&str, &str> =
        rule.label_texts().filter(|(_, text)| !text.contains("{{")).collect();
    known.extend([(METRIC_NAME, metric), (ALERT_NAME, rule.name.as_str())]);
    known.extend(state.map(|state| (ALERT_STATE, state.as_str())));
    let matchers: Vec<Matcher> = known.into_iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    let span = TimeSpan::new(moment.at.saturating_sub(*outage_tolerance_ms), moment.at);
    let mut symbols = SymbolTable::default();
    let selection = select.select(tenant, &SelectRequest::samples(&matchers, span), &mut symbols)?;
    let mut found = HashMap::new();
    for row in 0..selection.len() {
        let mut columns = Columns::default();
        selection.read(row..row + 1, &mut columns)?;
        let samples = columns.row(0);
        if let (Some(t), Some(value)) = (samples.timestamps.last(), samples.values.last())
            && !is_stale(*value)
        {
            found.insert(selection.labels(row, &symbols), Stored { t: *t, value: *value });
        }
    }
    Ok(found)
}
