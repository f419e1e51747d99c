use super::*;
use crate::clock::SimulatedClock;
use crate::rules::group::tests::{Bench, alert, group, record};
use crate::rules::{AlertState, GroupConfig, RuleConfig, RuleHealth, RuleKind};
use crate::setting::DurationMs;

const MINUTE: i64 = 60_000;

/// A manager without threads on a simulated clock.
struct Trial {
    bench: Bench,
    hands: SimulatedClock,
    manager: RuleManager,
}

impl Trial {
    fn new() -> Self {
        let bench = Bench::new();
        let hands = SimulatedClock::at_ms(100 * MINUTE);
        let manager = RuleManager::new(bench.environment.clone(), Clock::Simulated(hands.clone()), 1);
        Self { bench, hands, manager }
    }

    fn load(&self, groups: Vec<GroupConfig>) {
        let file = RuleFile { path: "file".to_owned(), groups, ..RuleFile::default() };
        self.manager.commit(self.manager.prepare(&[file], MINUTE, Globals::default()).expect("it is sound"));
    }

    /// Lets the clock run for so many minutes.
    fn pass(&self, minutes: i64) {
        let end = Clock::Simulated(self.hands.clone()).now_ms() + minutes * MINUTE;
        while let Some(due) = self.manager.run_due().filter(|due| *due <= end) {
            self.hands.set_ms(due);
        }
        self.hands.set_ms(end);
        self.manager.run_due();
    }

    fn samples(&self, metric: &str) -> Vec<Option<f64>> {
        let series = self.bench.read(metric).into_iter().next();
        series.into_iter().flat_map(|(_, samples)| samples).map(|(_, value)| value).collect()
    }

    fn only_alert(&self) -> Option<(AlertState, i64)> {
        let group = self.manager.groups().remove(0);
        let RuleKind::Alerting { alerts, .. } = &group.rules[0].kind else { panic!("an alerting rule") };
        alerts.first().map(|alert| (alert.state, alert.active_at))
    }
}

fn named(name: &str, rules: Vec<RuleConfig>) -> GroupConfig {
    GroupConfig { name: name.to_owned(), ..group(rules) }
}

#[test]
fn groups_are_evaluated_once_an_interval() {
    let trial = Trial::new();
    let fast = GroupConfig { interval: DurationMs(MINUTE / 2), ..named("fast", vec![record("b", "2")]) };
    trial.load(vec![named("slow", vec![record("a", "1")]), fast]);
    trial.pass(3);
    assert_eq!(trial.samples("a"), [Some(1.0); 3]);
    assert_eq!(trial.samples("b"), [Some(2.0); 6]);
    let groups = trial.manager.groups();
    assert_eq!(groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["fast", "slow"]);
    assert!(groups.iter().all(|group| group.rules[0].health == RuleHealth::Good));
}

#[test]
fn unchanged_groups_go_on_undisturbed() {
    let trial = Trial::new();
    let config = named("g", vec![alert("A", "vector(1)", 5)]);
    trial.load(vec![config.clone()]);
    trial.pass(3);
    let before = trial.manager.groups();
    let mut moved = config;
    moved.rules[0].place.line = 7;
    moved.rules[0].expr = " vector( 1 )".to_owned();
    trial.load(vec![moved]);
    assert_eq!(trial.manager.groups(), before);
    assert_eq!(before[0].rules[0].health, RuleHealth::Good);
}

#[test]
fn changed_groups_take_over_alerts_and_series() {
    let trial = Trial::new();
    trial.load(vec![named("g", vec![alert("A", "vector(1)", 5), record("r", "1"), record("s", "1")])]);
    trial.pass(4);
    let before = trial.only_alert();
    assert!(matches!(before, Some((AlertState::Pending, _))));
    trial.load(vec![named("g", vec![alert("A", "vector(2)", 5), record("s", "2")])]);
    assert_eq!(trial.only_alert(), before);
    trial.pass(2);
    assert_eq!(trial.only_alert(), before.map(|(_, since)| (AlertState::Firing, since)));
    assert_eq!(trial.samples("r"), [Some(1.0), Some(1.0), Some(1.0), Some(1.0), None], "the rule is gone");
    assert_eq!(trial.samples("s")[3..], [Some(1.0), Some(2.0), Some(2.0)]);
}

#[test]
fn series_of_groups_that_go_end_after_two_intervals() {
    let trial = Trial::new();
    trial.load(vec![named("a", vec![record("r", "1"), record("s", "1")]), named("b", vec![])]);
    trial.pass(2);
    trial.load(vec![named("b", vec![]), named("c", vec![record("s", "2")])]);
    assert_eq!(trial.manager.groups().len(), 2);
    trial.pass(1);
    assert_eq!(trial.samples("r"), [Some(1.0); 2], "not yet");
    trial.pass(2);
    assert_eq!(trial.samples("r"), [Some(1.0), Some(1.0), None]);
    assert_eq!(
        trial.samples("s"),
        [Some(1.0), Some(1.0), Some(2.0), Some(2.0), Some(2.0)],
        "another goes on"
    );
}

#[test]
fn what_cannot_be_prepared_changes_nothing() {
    let trial = Trial::new();
    trial.load(vec![named("g", vec![record("r", "1")])]);
    let bad = named("g", vec![record("r", "1"), record("s", "sum(")]);
    let file = RuleFile { path: "f.yml".to_owned(), groups: vec![bad], ..RuleFile::default() };
    let errors = trial.manager.prepare(&[file], MINUTE, Globals::default()).expect_err("it is wrong");
    assert!(errors[0].to_string().starts_with("f.yml: 0:0: group \"g\", rule 2, \"s\": "), "{}", errors[0]);
    trial.pass(1);
    assert_eq!(trial.samples("r"), [Some(1.0)]);
}

#[test]
fn a_reload_waits_for_no_evaluation() {
    let trial = Trial::new();
    trial.load(vec![named("g", vec![record("r", "1")])]);
    trial.hands.advance_ms(MINUTE);
    let now = trial.manager.shared.clock.now_ms();
    let busy = trial.manager.shared.state().take(now).expect("it is due");
    trial.load(vec![named("g", vec![record("s", "1")])]);
    assert_eq!(trial.manager.groups()[0].rules[0].name, "r", "the evaluation goes on");
    trial.manager.shared.carry_out(busy);
    assert_eq!(trial.manager.groups()[0].rules[0].name, "s");
    trial.pass(1);
    assert_eq!((trial.samples("r"), trial.samples("s")), (vec![Some(1.0), None], vec![Some(1.0)]));
    trial.hands.advance_ms(MINUTE);
    let now = trial.manager.shared.clock.now_ms();
    let busy = trial.manager.shared.state().take(now).expect("it is due");
    trial.load(vec![]);
    trial.manager.shared.carry_out(busy);
    trial.pass(3);
    assert_eq!(trial.samples("s"), [Some(1.0), Some(1.0), None]);
}

#[test]
fn the_rules_of_the_start_restore_their_alerts() {
    let trial = Trial::new();
    trial.load(vec![named("g", vec![alert("A", "vector(1)", 30)])]);
    trial.pass(2);
    assert!(trial.samples("ALERTS").is_empty());
    trial.load(vec![
        named("g", vec![alert("A", "vector(1)", 30)]),
        named("h", vec![alert("B", "vector(1)", 30)]),
    ]);
    trial.pass(1);
    assert_eq!(trial.bench.read("ALERTS").len(), 2, "the one restored, the other new");
}

#[test]
fn groups_are_measured_as_long_as_they_are_there() {
    let trial = Trial::new();
    trial.load(vec![named("g", vec![record("r", "1"), record("s", "'a text is no vector'")])]);
    let exposed = || {
        let mut out = Exposition::default();
        trial.manager.expose(&mut out);
        out.into_text()
    };
    assert!(exposed().contains("prometheus_rule_evaluations_total{rule_group=\"file;g\"} 0\n"));
    trial.pass(2);
    trial.hands.advance_ms(3 * MINUTE);
    trial.manager.run_due();
    let text = exposed();
    for sample in [
        "evaluations_total{rule_group=\"file;g\"} 6",
        "evaluation_failures_total{rule_group=\"file;g\"} 3",
        "group_iterations_total{rule_group=\"file;g\"} 5",
        "group_iterations_missed_total{rule_group=\"file;g\"} 2",
        "group_last_evaluation_samples{rule_group=\"file;g\"} 1",
        "group_interval_seconds{rule_group=\"file;g\"} 60",
        "group_rules{rule_group=\"file;g\"} 2",
        "group_duration_seconds_count 3",
        "evaluation_duration_histogram_seconds_count 6",
    ] {
        assert!(text.contains(&format!("prometheus_rule_{sample}\n")), "{sample}: {text}");
    }
    trial.load(vec![named("g", vec![record("r", "1")])]);
    assert!(exposed().contains("prometheus_rule_evaluations_total{rule_group=\"file;g\"} 6\n"), "it goes on");
    trial.load(vec![]);
    assert!(!exposed().contains("rule_group="));
}

#[test]
fn expansions_of_templates_are_counted() {
    let trial = Trial::new();
    let mut rule = alert("A", "vector(1)", 0);
    rule.annotations = [("good", "{{ $value }}"), ("bad", "{{ index $labels 1 }}")]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
    trial.load(vec![named("g", vec![rule])]);
    trial.pass(2);
    let mut out = Exposition::default();
    trial.manager.expose(&mut out);
    let text = out.into_text();
    assert!(text.contains("prometheus_template_text_expansions_total 4\n"), "{text}");
    assert!(text.contains("prometheus_template_text_expansion_failures_total 2\n"), "{text}");
}

#[test]
fn threads_evaluate_and_end() {
    let bench = Bench::new();
    let environment = bench.environment.clone();
    let manager = RuleManager::new(environment, Clock::System, 3);
    let groups = (0..20).map(|number| GroupConfig {
        interval: DurationMs(10),
        ..named(&number.to_string(), vec![record(&format!("r{number}"), "1")])
    });
    let file = RuleFile { path: "file".to_owned(), groups: groups.collect(), ..RuleFile::default() };
    manager.commit(manager.prepare(&[file], MINUTE, Globals::default()).expect("it is sound"));
    manager.start();
    let evaluated = || manager.groups().iter().all(|group| group.last_evaluation.is_some());
    while !evaluated() {
        std::thread::yield_now();
    }
    manager.stop();
    assert_eq!(manager.shared.state().threads, 0);
    manager.start();
    assert_eq!(manager.shared.state().threads, 0, "what has ended does not begin again");
}

#[test]
fn a_slow_group_delays_no_other() {
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Mutex::new(blocked);
    let bench = Bench::with(|environment| {
        // Ends when the test lets go of its end.
        environment.notify = Box::new(move |_| {
            let _ = lock(&blocked).recv();
        });
    });
    let manager = RuleManager::new(bench.environment.clone(), Clock::System, 2);
    let groups = [("slow", alert("A", "vector(1)", 0)), ("fast", record("r", "1"))]
        .map(|(name, rule)| GroupConfig { interval: DurationMs(5), ..named(name, vec![rule]) });
    let file = RuleFile { path: "file".to_owned(), groups: groups.into(), ..RuleFile::default() };
    manager.commit(manager.prepare(&[file], MINUTE, Globals::default()).expect("it is sound"));
    manager.start();
    let evaluations = |name: &str| {
        let mut out = Exposition::default();
        manager.expose(&mut out);
        let text = out.into_text();
        let series = format!("prometheus_rule_evaluations_total{{rule_group=\"file;{name}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series)).expect("it is measured");
        line.parse::<u64>().expect("a number")
    };
    while evaluations("fast") < 20 {
        std::thread::yield_now();
    }
    assert_eq!(evaluations("slow"), 0);
    drop(release);
    manager.stop();
    assert_ne!(evaluations("slow"), 0);
}
