//! The HTTP API as Grafana's data source calls it: both servers hold the same samples, and answer the same.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::compare::same_result;
use super::exporter::{Page, serve};
use super::http::{Answer, form, request};
use super::server::{Server, Subject, free_port, peers, start_prometheus, wait_until};
use super::shape::same_shape;
use super::wire::{Protocol, Written, compress, encode};

/// How two answers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    /// Status and JSON are the same; the order of a vector's series counts only where the query sorts.
    Same,
    /// Status is the same, and so are names and types of all that is in the JSON.
    Shape,
    /// Status, content type and body are the same, byte for byte.
    Text,
}

use Compare::{Same, Shape, Text};

/// One call. `$end` stands for the last moment in seconds, `$start` for ten minutes before it.
struct Call {
    method: &'static str,
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
    compare: Compare,
}

const fn get(path: &'static str, fields: &'static [(&'static str, &'static str)], compare: Compare) -> Call {
    Call { method: "GET", path, fields, compare }
}

const fn post(path: &'static str, fields: &'static [(&'static str, &'static str)], compare: Compare) -> Call {
    Call { method: "POST", path, fields, compare }
}

const SPAN: [(&str, &str); 2] = [("start", "$start"), ("end", "$end")];

const CALLS: &[Call] = &[
    // Save and test.
    get("/api/v1/status/buildinfo", &[], Shape),
    post("/api/v1/query", &[("query", "1+1"), ("time", "$end")], Same),
    get("/-/healthy", &[], Text),
    get("/-/ready", &[], Text),
    // Explore and dashboards.
    post("/api/v1/query_range", &[("query", "written"), SPAN[0], SPAN[1], ("step", "15")], Same),
    get("/api/v1/query_range", &[("query", "rate(written[1m])"), SPAN[0], SPAN[1], ("step", "15s")], Same),
    post(
        "/api/v1/query_range",
        &[("query", "sum by (zone) (written)"), SPAN[0], SPAN[1], ("step", "60")],
        Same,
    ),
    post("/api/v1/query_range", &[("query", "nothing_there"), SPAN[0], SPAN[1], ("step", "60")], Same),
    post("/api/v1/query_range", &[("query", "5"), SPAN[0], SPAN[1], ("step", "300")], Same),
    post("/api/v1/query", &[("query", "written"), ("time", "$end")], Same),
    post("/api/v1/query", &[("query", "written[1m]"), ("time", "$end")], Same),
    post("/api/v1/query", &[("query", "\"text\""), ("time", "$end")], Same),
    post("/api/v1/query", &[("query", "written"), ("time", "$end"), ("limit", "2")], Shape),
    post("/api/v1/query", &[("query", "written / 0"), ("time", "$end")], Same),
    post("/api/v1/query", &[("query", "-written / 0 or written * NaN"), ("time", "$end")], Same),
    post("/api/v1/query", &[("query", "written"), ("time", "$end"), ("stats", "all")], Shape),
    post("/api/v1/query", &[("query", "written"), ("time", "$end"), ("lookback_delta", "1s")], Same),
    post("/api/v1/query", &[("query", "rate(written_gauge[1m])"), ("time", "$end")], Same),
    post("/api/v1/query", &[("query", "quantile(2, written)"), ("time", "$end")], Same),
    post("/api/v1/query", &[("query", "sort_desc(written)"), ("time", "$end")], Same),
    post("/api/v1/query_exemplars", &[("query", "exposed_total"), SPAN[0], SPAN[1]], Same),
    post("/api/v1/query_exemplars", &[("query", "nothing_there"), SPAN[0], SPAN[1]], Same),
    // Variables and completion.
    get("/api/v1/labels", &[("match[]", "written"), SPAN[0], SPAN[1]], Same),
    post("/api/v1/labels", &[("match[]", "written"), SPAN[0], SPAN[1]], Same),
    get("/api/v1/labels", &[("match[]", "written"), ("limit", "1")], Same),
    get("/api/v1/label/zone/values", &[SPAN[0], SPAN[1]], Same),
    get("/api/v1/label/zone/values", &[("match[]", "written{zone!=\"b\"}"), SPAN[0], SPAN[1]], Same),
    get("/api/v1/label/zone/values", &[("limit", "1")], Same),
    get("/api/v1/label/__name__/values", &[("match[]", "{zone=~\".+\"}")], Same),
    get("/api/v1/label/U__zone_2e_of/values", &[], Same),
    get("/api/v1/label/no_such_label/values", &[], Same),
    get("/api/v1/series", &[("match[]", "written"), SPAN[0], SPAN[1]], Same),
    post("/api/v1/series", &[("match[]", "written"), ("match[]", "written_gauge"), SPAN[0], SPAN[1]], Same),
    get("/api/v1/series", &[("match[]", "written"), ("limit", "1")], Same),
    get("/api/v1/series", &[("match[]", "written"), ("start", "0"), ("end", "1")], Same),
    get("/api/v1/metadata", &[("metric", "exposed")], Same),
    get("/api/v1/metadata", &[("metric", "exposed_gauge")], Same),
    get("/api/v1/metadata", &[("limit", "1"), ("metric", "exposed_gauge")], Same),
    get("/api/v1/metadata", &[("metric", "no_such_metric")], Same),
    // Rules, alerts, and the pages of the server itself.
    get("/api/v1/rules", &[], Same),
    get("/api/v1/alerts", &[], Same),
    get("/api/v1/alertmanagers", &[], Same),
    get("/api/v1/format_query", &[("query", "sum(written)by(zone)>1")], Same),
    post("/api/v1/format_query", &[("query", "rate(written[5m])")], Same),
    get(
        "/api/v1/parse_query",
        &[("query", "sum by (zone) (rate(written{zone=\"a\"}[5m] offset 1m))")],
        Shape,
    ),
    get("/api/v1/targets", &[], Shape),
    get("/api/v1/targets", &[("state", "dropped")], Shape),
    get("/api/v1/scrape_pools", &[], Same),
    get("/api/v1/status/config", &[], Shape),
    get("/api/v1/status/flags", &[], Compare::Shape),
    get("/api/v1/status/runtimeinfo", &[], Shape),
    get("/api/v1/status/tsdb", &[], Shape),
    // What cannot be answered.
    post("/api/v1/query", &[("query", "sum(written"), ("time", "$end")], Same),
    // The words of the regular expression's error are those of the engine that refuses it.
    post("/api/v1/query", &[("query", "written{zone=~\"(\"}"), ("time", "$end")], Shape),
    post("/api/v1/query", &[("query", "rate(written)"), ("time", "$end")], Same),
    post("/api/v1/query", &[("query", "written"), ("time", "soon")], Same),
    // Which two of the series are named is chance.
    post("/api/v1/query", &[("query", "written * on () written"), ("time", "$end")], Shape),
    post(
        "/api/v1/query_range",
        &[("query", "written"), ("start", "$end"), ("end", "$start"), ("step", "1")],
        Same,
    ),
    post("/api/v1/query_range", &[("query", "written"), SPAN[0], SPAN[1], ("step", "0")], Same),
    post(
        "/api/v1/query_range",
        &[("query", "written"), ("start", "0"), ("end", "$end"), ("step", "1")],
        Same,
    ),
    get("/api/v1/series", &[], Same),
    get("/api/v1/label/zone/values", &[("match[]", "rate(written[5m])")], Same),
];

#[test]
fn grafana_calls_are_answered_alike() {
    let Some(peers) = peers("api") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let now = now_s();
    let configuration = configuration(serve(vec![page(now)]));
    let subject = Subject::new(&folder.path().join("subject")).start(&configuration);
    let prometheus = start_prometheus(&peers, &folder.path().join("prometheus"), free_port(), &configuration);
    let end = now - now % 15;
    for server in [&subject, &prometheus] {
        write(server, end);
        wait_until("the exporter has been scraped", Duration::from_secs(30), || {
            server
                .get("/api/v1/query", &[("query", "exposed_gauge")])
                .is_ok_and(|answer| answer.text().contains("value"))
        });
    }
    let failures: Vec<String> =
        CALLS.iter().filter_map(|call| call.compare(&prometheus, &subject, end).err()).collect();
    assert!(
        failures.is_empty(),
        "{} of {} calls differ:\n{}",
        failures.len(),
        CALLS.len(),
        failures.join("\n")
    );
    same_headers(&prometheus, &subject);
    println!("api: {} of {} calls agree", CALLS.len(), CALLS.len());
}

impl Call {
    fn compare(&self, expected: &Server, actual: &Server, end: i64) -> Result<(), String> {
        let (expected, actual) = (self.send(expected, end), self.send(actual, end));
        let verdict = match self.compare {
            _ if expected.status != actual.status => {
                Err(format!("status {} is not {}", actual.status, expected.status))
            }
            Text if expected.body == actual.body => Ok(()),
            Text => Err("the text differs".to_owned()),
            _ if expected.header("content-type") != actual.header("content-type") => {
                Err("the content type differs".to_owned())
            }
            Same => self.same(&expected.json(), &actual.json()),
            Shape => same_shape(&expected.json(), &actual.json()),
        };
        verdict.map_err(|error| {
            let [expected, actual] =
                [&expected, &actual].map(|answer| answer.text().chars().take(400).collect::<String>());
            format!(
                "{} {} {:?}: {error}\n   expected: {expected}\n     actual: {actual}",
                self.method, self.path, self.fields
            )
        })
    }

    fn same(&self, expected: &Value, actual: &Value) -> Result<(), String> {
        let is_vector =
            expected["data"]["resultType"] == "vector" && actual["data"]["resultType"] == "vector";
        let sorts = self.fields.iter().any(|(_, value)| value.contains("sort"));
        if is_vector && !sorts {
            same_result(&expected["data"], &actual["data"], false)?;
            let rest =
                |json: &Value| [json["status"].clone(), json["warnings"].clone(), json["infos"].clone()];
            return if rest(expected) == rest(actual) {
                Ok(())
            } else {
                Err("annotations differ".to_owned())
            };
        }
        if expected == actual { Ok(()) } else { Err("the JSON differs".to_owned()) }
    }

    fn send(&self, server: &Server, end: i64) -> Answer {
        let start = (end - 600).to_string();
        let fields: Vec<(&str, String)> = self
            .fields
            .iter()
            .map(|(name, value)| (*name, value.replace("$end", &end.to_string()).replace("$start", &start)))
            .collect();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = match self.method {
            "GET" => server.get(self.path, &fields),
            _ => server.post(self.path, &fields),
        };
        answer.unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path))
    }
}

/// Compression, and what a browser's page from elsewhere may do.
fn same_headers(expected: &Server, actual: &Server) {
    let target = format!("/api/v1/label/__name__/values?{}", form(&[("match[]", "{__name__=~\".+\"}")]));
    let headers = [("Accept-Encoding", "gzip"), ("Origin", "http://grafana.example")];
    let [expected, actual] = [expected, actual]
        .map(|server| request(server.port, "GET", &target, &headers, b"").expect("the server answers"));
    for name in [
        "content-encoding",
        "access-control-allow-origin",
        "access-control-allow-methods",
        "access-control-allow-headers",
    ] {
        let [expected, actual] =
            [&expected, &actual].map(|answer| answer.header(name).map(str::to_lowercase));
        assert_eq!(actual, expected, "{name}");
    }
}

fn configuration(port: u16) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: exposed\n    \
         metrics_path: /0\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    )
}

/// An exposition with metadata, and exemplars that have a time of their own.
fn page(now: i64) -> Page {
    let body = format!(
        "# TYPE exposed counter\n# HELP exposed Counts \\\"things\\\".\n\
         exposed_total{{path=\"/\"}} 17 # {{trace_id=\"abc\"}} 0.5 {now}.250\nexposed_total{{path=\"/x\"}} 3\n\
         # TYPE exposed_gauge gauge\n# HELP exposed_gauge Shows things.\nexposed_gauge 2.5\n# EOF\n"
    );
    Page {
        content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
        body: body.into_bytes(),
    }
}

/// The same ten minutes of samples into both servers.
fn write(server: &Server, end: i64) {
    let series = |name: &str, zone: &str, value: &dyn Fn(i64) -> f64| Written {
        labels: [("__name__", name), ("zone", zone), ("zone.of", name)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        samples: (0..=40).map(|step| ((end - 600 + step * 15) * 1_000, value(step))).collect(),
        ..Written::default()
    };
    let all = [
        series("written", "a", &|step| step as f64),
        series("written", "b", &|step| step as f64 * 1e9 + 0.1),
        series("written", "ü \"c\"\\", &|step| 1.0 / (step as f64 + 3.0)),
        series("written_gauge", "a", &|step| if step % 2 == 0 { 1e-300 } else { f64::INFINITY }),
    ];
    let body = compress(&encode(Protocol::V1, &all));
    let answer = request(server.port, "POST", "/api/v1/write", &Protocol::V1.headers(), &body);
    assert_eq!(answer.expect("the server answers").status, 204);
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_secs()).expect("seconds fit")
}

#[test]
fn calls_are_told_apart() {
    let one: Value = serde_json::json!({"status": "success", "data": [1]});
    assert!(same_shape(&one, &serde_json::json!({"status": "success", "data": ["1"]})).is_err());
}
