//! The rule files of ML teams and thirty of our own, evaluated by perdura and by a real Prometheus side by side.
//!
//! Prometheus scrapes a story that the trial tells (`story`) and a real node_exporter, and writes all of it into perdura
//! but the results of its own rules. Both evaluate the same files, with durations shortened (`scale`), once a second and
//! five seconds behind, so that perdura has received what it looks at. A real Alertmanager with the teams' routing hears
//! of perdura's alerts and calls the trial's webhooks. perdura is killed in the middle and started again.
//!
//! Two minutes by default. `PERDURA_TRIAL_MINUTES=30 cargo test --test peers rules_trial` tells the story over and over,
//! with a kill in every cycle.

mod alerts;
mod answers;
mod ask;
mod cast;
mod files;
mod messages;
mod recorded;
mod scale;
mod stage;
mod story;

use std::time::Duration;

use super::server::peers;
use cast::Cast;

/// Seconds that one cycle is told for by default: to the end of what it has to show.
const DEFAULT_S: f64 = 122.0;
/// When both servers' answers are compared, in seconds of the first cycle: much is pending or firing then.
const COMPARE_S: f64 = 64.0;

#[test]
fn rules_of_ml_teams_do_what_they_do_in_prometheus() {
    let Some(peers) = peers("rules_trial") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let length_s = length_s();
    let mut cast = Cast::start(&peers, folder.path());

    cast.watch_until(COMPARE_S);
    let differences = answers::compare(&cast.prometheus, &cast.subject);
    let mut kill_s = story::KILL_S;
    while kill_s < length_s {
        cast.watch_until(kill_s);
        cast.kill_and_restart();
        kill_s += story::CYCLE_S;
    }
    cast.watch_until(length_s);

    let until_ms = stage::now_ms();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    recorded::check(&cast, until_ms);
    alerts::check(&cast, until_ms);
    messages::check(&cast, until_ms);
}

/// How long the trial lasts, in seconds.
fn length_s() -> f64 {
    match std::env::var("PERDURA_TRIAL_MINUTES") {
        Ok(minutes) => 60.0 * minutes.parse::<f64>().expect("PERDURA_TRIAL_MINUTES is a number"),
        Err(_) => DEFAULT_S,
    }
}

/// How far behind rules are evaluated.
const QUERY_OFFSET: Duration = Duration::from_secs(5);

/// The same in milliseconds.
fn query_offset_ms() -> i64 {
    i64::try_from(QUERY_OFFSET.as_millis()).expect("a few seconds")
}
