use std::collections::BTreeMap;

use super::*;
use crate::model::{Matcher, is_stale};
use crate::scrape::ScrapeDefaults;
use crate::storage::{Columns, MemoryStore, Select, SelectRequest, SymbolTable};

/// A target whose answers are given by hand.
struct Bench {
    store: Arc<MemoryStore>,
    writer: TargetWriter,
}

impl Bench {
    fn new(settings: &str) -> Self {
        let mut config: ScrapeConfig =
            serde_saphyr::from_str(&format!("job_name: j\n{settings}")).expect("job is sound");
        config.validate(&ScrapeDefaults::default()).expect("job is sound");
        let store = Arc::new(MemoryStore::default());
        let append = Arc::clone(&store) as Arc<dyn Append>;
        let sink = Sink { append, tenant: TenantId::default(), metrics: Arc::default() };
        let target = Labels::from_pairs([("instance", "i"), ("job", "j")]);
        let timeout = config.own.scrape_timeout;
        let writer = TargetWriter::new(sink, Arc::new(config), target, timeout, Arc::default());
        Self { store, writer }
    }

    fn scrape(&mut self, time: Timestamp, body: &str) -> Option<String> {
        self.answer(time, Some("text/plain; version=0.0.4"), body)
    }

    fn answer(&mut self, time: Timestamp, content_type: Option<&str>, body: &str) -> Option<String> {
        let answer = Answer { content_type: content_type.map(str::to_owned), body: body.as_bytes().to_vec() };
        self.write(time, Ok(answer))
    }

    fn write(&mut self, time: Timestamp, answer: Result<Answer, ScrapeError>) -> Option<String> {
        let at = ScrapeTime { time, now: time, started: Instant::now() };
        self.writer.write(at, answer).1.map(|error| error.to_string())
    }

    /// All stored samples: by series, each as `time:value`, a marker as `time:stale`. Own series are left out.
    fn stored(&self) -> BTreeMap<String, String> {
        self.read(&[])
            .into_iter()
            .filter(|(name, _)| !name.contains("\"up\"") && !name.contains("\"scrape_"))
            .collect()
    }

    /// Samples of one of the target's own series.
    fn own(&self, name: &str) -> String {
        let found = self.read(&[Matcher::equal("__name__", name)]);
        assert!(found.len() <= 1, "{found:?}");
        found.into_values().next().unwrap_or_default()
    }

    fn read(&self, matchers: &[Matcher]) -> BTreeMap<String, String> {
        let mut symbols = SymbolTable::default();
        let request = SelectRequest::samples(matchers, TimeSpan::ALL);
        let selection =
            self.store.select(&TenantId::default(), &request, &mut symbols).expect("memory does not fail");
        let mut columns = Columns::default();
        selection.read(0..selection.len(), &mut columns).expect("memory does not fail");
        let row = |row: usize| {
            let data = columns.row(row);
            let samples = data.timestamps.iter().zip(data.values).map(|(time, value)| {
                if is_stale(*value) { format!("{time}:stale") } else { format!("{time}:{value}") }
            });
            (selection.labels(row, &symbols).to_string(), samples.collect::<Vec<_>>().join(" "))
        };
        (0..selection.len()).map(row).collect()
    }
}

fn series(name: &str) -> String {
    format!("{{__name__=\"{name}\", instance=\"i\", job=\"j\"}}")
}

#[test]
fn samples_and_report_are_stored_at_one_time() {
    let mut bench = Bench::new("extra_scrape_metrics: true\nsample_limit: 10");
    let body = "# TYPE a counter\na 1\nb{x=\"y\"} 2\n";
    assert_eq!(bench.scrape(1_000, body), None);
    assert_eq!(bench.scrape(2_000, body), None);
    let stored = bench.stored();
    assert_eq!(stored[&series("a")], "1000:1 2000:1");
    assert_eq!(stored["{__name__=\"b\", instance=\"i\", job=\"j\", x=\"y\"}"], "1000:2 2000:2");
    assert_eq!(stored.len(), 2);
    assert_eq!(bench.own("up"), "1000:1 2000:1");
    assert_eq!(bench.own("scrape_samples_scraped"), "1000:2 2000:2");
    assert_eq!(bench.own("scrape_samples_post_metric_relabeling"), "1000:2 2000:2");
    assert_eq!(bench.own("scrape_series_added"), "1000:2 2000:0");
    assert_eq!(bench.own("scrape_timeout_seconds"), "1000:10 2000:10");
    assert_eq!(bench.own("scrape_sample_limit"), "1000:10 2000:10");
    assert_eq!(bench.own("scrape_body_size_bytes"), "1000:32 2000:32");
}

#[test]
fn vanished_series_are_marked_once() {
    let mut bench = Bench::new("");
    bench.scrape(1_000, "a 1\nb 1\n");
    bench.scrape(2_000, "a 2\n");
    bench.scrape(3_000, "a 3\n");
    bench.scrape(4_000, "a 4\nb 4\n");
    assert_eq!(bench.stored()[&series("a")], "1000:1 2000:2 3000:3 4000:4");
    assert_eq!(bench.stored()[&series("b")], "1000:1 2000:stale 4000:4");
}

#[test]
fn failures_mark_everything_and_bring_the_target_down() {
    for failure in ["timeout", "empty", "broken", "half"] {
        let mut bench = Bench::new("");
        bench.scrape(1_000, "a 1\nb 1\n");
        let error = match failure {
            "timeout" => bench.write(2_000, Err(ScrapeError::Timeout("u".into()))),
            "empty" => bench.scrape(2_000, ""),
            "broken" => bench.scrape(2_000, "a{ 1\n"),
            // What came before the break is not stored either.
            _ => bench.scrape(2_000, "a 2\nnew 2\nb{ 1\n"),
        };
        assert_eq!(error.is_none(), failure == "empty", "{failure}");
        bench.scrape(3_000, "a 3\nb 3\n");
        let stored = bench.stored();
        assert_eq!(stored[&series("a")], "1000:1 2000:stale 3000:3", "{failure}");
        assert_eq!(stored[&series("b")], "1000:1 2000:stale 3000:3", "{failure}");
        assert_eq!(stored.len(), 2, "{failure}");
        let up = if failure == "empty" { "1000:1 2000:1 3000:1" } else { "1000:1 2000:0 3000:1" };
        assert_eq!(bench.own("up"), up, "{failure}");
    }
}

#[test]
fn samples_with_their_own_time_are_not_marked_unless_asked() {
    let mut bench = Bench::new("");
    bench.scrape(1_000, "a 1 500\n");
    bench.scrape(2_000, "");
    assert_eq!(bench.stored()[&series("a")], "500:1");
    let mut bench = Bench::new("track_timestamps_staleness: true");
    bench.scrape(1_000, "a 1 500\n");
    bench.scrape(2_000, "");
    assert_eq!(bench.stored()[&series("a")], "500:1 2000:stale");
    let mut bench = Bench::new("honor_timestamps: false");
    bench.scrape(1_000, "a 1 500\n");
    bench.scrape(2_000, "");
    assert_eq!(bench.stored()[&series("a")], "1000:1 2000:stale");
}

#[test]
fn samples_too_far_ahead_are_refused_alone() {
    let mut bench = Bench::new("");
    assert_eq!(bench.scrape(1_000, "a 1 600999\na 2 601001\nb 1\n"), None);
    assert_eq!(bench.stored()[&series("a")], "600999:1");
    assert_eq!(bench.stored()[&series("b")], "1000:1");
    assert_eq!(bench.writer.sink.metrics.sample_out_of_bounds.get(), 1);
}

#[test]
fn of_repeated_samples_the_first_counts() {
    let mut bench = Bench::new("metric_relabel_configs: [{regex: x, action: labeldrop}]");
    bench.scrape(1_000, "a 1\na 2\nb{x=\"1\"} 3\nb{x=\"2\"} 4\nc{x=\"1\"} 5\nc{x=\"2\"} 5\n");
    let stored = bench.stored();
    assert_eq!((stored[&series("a")].as_str(), stored[&series("b")].as_str()), ("1000:1", "1000:3"));
    assert_eq!(stored[&series("c")], "1000:5");
    assert_eq!(bench.writer.sink.metrics.sample_duplicate_timestamp.get(), 2);
    assert_eq!(bench.own("scrape_samples_post_metric_relabeling"), "1000:6");
    bench.scrape(2_000, "a 1\nb{x=\"2\"} 4\n");
    assert_eq!(bench.stored()[&series("b")], "1000:3 2000:4");
    assert_eq!(bench.stored()[&series("c")], "1000:5 2000:stale");
}

#[test]
fn rules_drop_samples_before_the_limit_counts_them() {
    let settings = "sample_limit: 2
metric_relabel_configs: [{source_labels: [__name__], regex: drop.*, action: drop}]";
    let mut bench = Bench::new(settings);
    assert_eq!(bench.scrape(1_000, "a 1\ndrop1 1\nb 1\ndrop2 1\n"), None);
    assert_eq!(bench.own("scrape_samples_post_metric_relabeling"), "1000:2");
    let error = bench.scrape(2_000, "a 2\nb 2\nc 2\nd 2\n");
    assert_eq!(error.as_deref(), Some("sample limit exceeded"));
    assert_eq!(bench.stored()[&series("a")], "1000:1 2000:stale");
    assert_eq!(bench.stored().len(), 2);
    assert_eq!(bench.own("scrape_samples_scraped"), "1000:4 2000:4");
    assert_eq!(bench.own("scrape_samples_post_metric_relabeling"), "1000:2 2000:4");
    assert_eq!(bench.writer.sink.metrics.exceeded_sample_limit.get(), 1);
}

#[test]
fn label_limits_fail_the_scrape() {
    let mut bench = Bench::new("label_limit: 3");
    bench.scrape(1_000, "a 1\n");
    let error = bench.scrape(2_000, "a 2\nb{x=\"1\"} 2\n").expect("one label too many");
    assert_eq!(error, "label_limit exceeded (metric: b, number of labels: 4, limit: 3)");
    assert_eq!(bench.stored()[&series("a")], "1000:1 2000:stale");
    assert_eq!(bench.writer.sink.metrics.exceeded_label_limits.get(), 1);
    let mut bench = Bench::new("");
    let error = bench.scrape(1_000, "a{x=\"1\",x=\"2\"} 1\n").expect("a name comes twice");
    assert_eq!(error, "label name \"x\" is not unique: invalid sample");
}

#[test]
fn formats_are_told_by_content_type() {
    let mut bench = Bench::new("");
    let error = bench.answer(1_000, Some("text/html"), "a 1\n").expect("HTML is no format");
    assert!(error.contains("received unsupported Content-Type \"text/html\""), "{error}");
    assert!(bench.answer(2_000, None, "a 1\n").expect("it says nothing").contains("blank Content-Type"));
    let open_metrics = "application/openmetrics-text; version=1.0.0";
    assert!(bench.answer(3_000, Some(open_metrics), "a 1\n").is_some());
    assert_eq!(bench.answer(4_000, Some(open_metrics), "a 1\n# EOF\n"), None);
    let mut bench = Bench::new("fallback_scrape_protocol: PrometheusText0.0.4");
    assert_eq!(bench.answer(1_000, Some("text/html"), "a 1\n"), None);
}

#[test]
fn exemplars_and_metadata_are_stored() {
    let mut bench = Bench::new("");
    let body =
        "# TYPE a counter\n# UNIT a seconds\n# HELP a Says a.\na_total 1 # {trace_id=\"t\"} 0.5 0.9\n# EOF\n";
    let body = body.replace("a_total", "a_seconds_total").replace(" a ", " a_seconds ");
    assert_eq!(bench.answer(1_000, Some("application/openmetrics-text"), &body), None);
    let tenant = TenantId::default();
    let exemplars = bench.store.exemplars(&tenant, &[], TimeSpan::ALL).expect("memory does not fail");
    let exemplar = &exemplars[0].exemplars[0];
    assert_eq!((exemplar.value, exemplar.timestamp, exemplar.labels.get("trace_id")), (0.5, 900, Some("t")));
    let metadata = bench.store.metadata(&tenant, "").expect("memory does not fail");
    assert_eq!(metadata.len(), 1);
    assert_eq!((metadata[0].0.as_str(), metadata[0].1[0].help.as_str()), ("a_seconds", "Says a."));
    assert_eq!(bench.writer.families.list()[0].1.unit, "seconds");
}

#[test]
fn the_end_marks_everything_that_no_other_loop_wrote() {
    let mut bench = Bench::new("");
    bench.scrape(1_000, "a 1\nb 1\n");
    let mut batch = Batch::default();
    batch.begin_series(&Labels::from_pairs([("__name__", "b"), ("instance", "i"), ("job", "j")]));
    batch.push_float(3_000, 0, 7.0);
    bench.store.append(&TenantId::default(), batch, &Acceptance::EVERYTHING).expect("memory does not fail");
    bench.writer.write_end(2_000);
    assert_eq!(bench.stored()[&series("a")], "1000:1 2000:stale");
    assert_eq!(bench.stored()[&series("b")], "1000:1 3000:7");
    assert_eq!(bench.own("up"), "1000:1 2000:stale");
}

/// Takes everything, and remembers which series must not be refused.
#[derive(Default)]
struct Exempt(std::sync::Mutex<Vec<String>>);

impl Append for Exempt {
    fn append(
        &self,
        _: &TenantId,
        batch: Batch,
        _: &Acceptance,
    ) -> Result<Outcome, crate::storage::AppendError> {
        let exempt = (0..batch.series.len()).filter(|at| batch.is_exempt(*at));
        let name = |at: usize| {
            let labels =
                Labels::from_bytes(batch.labels_of(&batch.series[at])).expect("labels are canonical");
            labels.metric_name().to_owned()
        };
        *crate::lock::lock(&self.0) = exempt.map(name).collect();
        Ok(Outcome::default())
    }
}

#[test]
fn limits_on_series_spare_the_report() {
    let mut bench = Bench::new("");
    let store = Arc::new(Exempt::default());
    bench.writer.sink.append = Arc::clone(&store) as Arc<dyn Append>;
    let expected = super::super::report::NAMES.map(str::to_owned);
    assert_eq!(bench.scrape(1_000, "a 1\nb 2\n"), None);
    assert_eq!(*crate::lock::lock(&store.0), expected);
    bench.writer.write_end(2_000);
    assert_eq!(*crate::lock::lock(&store.0), expected);
}
