//! Answers of the API, byte for byte.

use crate::server::{NOW, TestServer, options, start};

fn success(data: &str) -> String {
    format!("{{\"status\":\"success\",\"data\":{data}}}")
}

fn check(server: &TestServer, path: &str, data: &str) {
    let reply = server.get(path);
    assert_eq!((reply.status, reply.text()), (200, success(data).as_str()), "{path}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{path}");
}

#[test]
fn queries_are_answered() {
    let server = start(options());
    check(
        &server,
        &format!("/api/v1/query?query=sum(m)&time={NOW}"),
        &format!(r#"{{"resultType":"vector","result":[{{"metric":{{}},"value":[{NOW},"27"]}}]}}"#),
    );
    check(
        &server,
        "/api/v1/query?query=1e-7",
        &format!(r#"{{"resultType":"scalar","result":[{NOW},"0.0000001"]}}"#),
    );
    check(
        &server,
        "/api/v1/query?query=%22a%3Cb%22&time=1.5",
        r#"{"resultType":"string","result":[1.5,"a\u003cb"]}"#,
    );
    check(
        &server,
        &format!("/api/v1/query_range?query=m%7Bjob%3D%22c%22%7D&start={}&end={NOW}&step=15", NOW - 15),
        &format!(
            r#"{{"resultType":"matrix","result":[{{"metric":{{"__name__":"m","http.status":"ok","job":"c"}},"values":[[{},"16"],[{NOW},"18"]]}}]}}"#,
            NOW - 15
        ),
    );
    check(&server, "/api/v1/query?query=nothing", r#"{"resultType":"vector","result":[]}"#);
}

#[test]
fn forms_count_like_query_strings_and_before_them() {
    let server = start(options());
    let expected = success(&format!(r#"{{"resultType":"scalar","result":[{NOW},"2"]}}"#));
    let reply = server.post_form("/api/v1/query?query=1", "query=2");
    assert_eq!((reply.status, reply.text()), (200, expected.as_str()));
    let no_form = server.request("POST", "/api/v1/query?query=2", "Content-Type: text/plain\r\n", b"query=3");
    assert_eq!(no_form.text(), expected);
    for path in ["/api/v1/series", "/api/v1/labels", "/api/v1/query_exemplars", "/api/v1/format_query"] {
        let form = format!("match[]=m&query=m&start={}&end={NOW}", NOW - 200);
        let from_form = server.post_form(path, &form);
        let from_url = server.get(&format!("{path}?{form}"));
        assert_eq!((from_form.status, from_form.text()), (200, from_url.text()), "{path}");
    }
}

#[test]
fn labels_series_and_metadata_are_answered() {
    let server = start(options());
    check(&server, "/api/v1/labels", r#"["__name__","http.status","job"]"#);
    check(&server, "/api/v1/label/job/values", r#"["a\u003cb","c"]"#);
    check(&server, "/api/v1/label/U__http_2e_status/values", r#"["ok"]"#);
    check(&server, "/api/v1/label/http.status/values?match[]=m%7Bjob%3D%22nope%22%7D", "[]");
    check(&server, "/api/v1/labels?start=0&end=10", "[]");
    check(
        &server,
        "/api/v1/series?match[]=m%7Bjob%3D%22c%22%7D&match[]=m%7Bjob!%3D%22x%22%7D",
        r#"[{"__name__":"m","http.status":"ok","job":"a<b"},{"__name__":"m","http.status":"ok","job":"c"}]"#,
    );
    check(&server, "/api/v1/series?match[]=m&start=0&end=10", "[]");
    check(
        &server,
        "/api/v1/metadata",
        r#"{"m":[{"type":"counter","unit":"","help":"Things \u0026 more."}]}"#,
    );
    check(&server, "/api/v1/metadata?metric=other", "{}");
    check(
        &server,
        "/api/v1/query_exemplars?query=rate(m%5B1m%5D)",
        &format!(
            r#"[{{"seriesLabels":{{"__name__":"m","http.status":"ok","job":"c"}},"exemplars":[{{"labels":{{"trace_id":"x"}},"value":"0.5","timestamp":{}.500}}]}}]"#,
            NOW - 1
        ),
    );
    assert_eq!(server.get("/api/v1/query_exemplars?query=1").status, 204);
}

#[test]
fn limits_cut_and_say_so() {
    let server = start(options());
    for (path, data) in [
        ("/api/v1/labels?limit=1", r#"["__name__"]"#),
        ("/api/v1/label/job/values?limit=1", r#"["a\u003cb"]"#),
    ] {
        let expected = format!(
            "{{\"status\":\"success\",\"data\":{data},\"warnings\":[\"results truncated due to limit\"]}}"
        );
        assert_eq!(server.get(path).text(), expected);
    }
    let query = server.get("/api/v1/query?query=m&limit=1");
    assert_eq!(query.text().matches("\"metric\"").count(), 1);
    assert!(query.text().ends_with(r#""warnings":["results truncated due to limit"]}"#));
    check(&server, "/api/v1/label/job/values?limit=2", r#"["a\u003cb","c"]"#);
}

#[test]
fn remarks_and_stats_are_added() {
    let server = start(options());
    let rate = server.get("/api/v1/query?query=rate(m%5B1m%5D)");
    assert!(
        rate.text().contains(r#""infos":["PromQL info: metric might not be a counter"#),
        "{}",
        rate.text()
    );
    let stats = server.get("/api/v1/query?query=m&stats=all");
    for field in ["execTotalTime", "totalQueryableSamples", "samplesRead", "peakSamples"] {
        assert!(stats.text().contains(&format!("\"{field}\":")), "{}", stats.text());
    }
    let odd = server.get("/api/v1/query?query=m&stats=yes");
    assert!(odd.text().contains(r#"value \"yes\" for parameter \"stats\" is deprecated"#), "{}", odd.text());
}

#[test]
fn calls_on_texts_are_answered() {
    let server = start(options());
    check(&server, "/api/v1/format_query?query=a%2Bb%3E1", r#""a + b \u003e 1""#);
    let tree = server.get("/api/v1/parse_query?query=-a");
    assert!(tree.text().contains(r#""type":"unaryExpr""#), "{}", tree.text());
}

#[test]
fn a_server_without_rules_answers_like_one() {
    let server = start(options());
    check(&server, "/api/v1/rules", r#"{"groups":[]}"#);
    check(&server, "/api/v1/alerts", r#"{"alerts":[]}"#);
    check(&server, "/api/v1/alertmanagers", r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#);
    check(&server, "/api/v1/targets", r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}"#);
    check(&server, "/api/v1/targets/metadata", "[]");
    check(&server, "/api/v1/scrape_pools", r#"{"scrapePools":[]}"#);
}

#[test]
fn status_is_shown() {
    let server = start(options());
    check(&server, "/api/v1/status/flags", r#"{"web.enable-lifecycle":"true"}"#);
    check(&server, "/api/v1/status/config", r#"{"yaml":""}"#);
    let build = server.get("/api/v1/status/buildinfo");
    assert!(build.text().contains(r#""version":"3.14.0""#), "{}", build.text());
    // Either field makes Grafana take the server for another product.
    assert!(!build.text().contains("application") && !build.text().contains("features"));
    let runtime = server.get("/api/v1/status/runtimeinfo");
    assert!(runtime.text().contains(r#""serverTime":"2023-11-14T22:13:20Z""#), "{}", runtime.text());
    let metrics = server.get("/metrics");
    let counted = r#"prometheus_http_requests_total{code="200",handler="/api/v1/status/flags"} 1"#;
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

#[test]
fn long_answers_are_whole_and_compressed_where_asked() {
    let server = start(options());
    // About a megabyte: many pieces.
    let path = format!("/api/v1/query_range?query=m&start={}&end={NOW}&step=0.05", NOW - 500);
    let plain = server.get(&path);
    assert_eq!(plain.status, 200);
    assert!(plain.header("content-length").is_none() && plain.body.len() > 100_000);
    let parsed: serde_json::Value = serde_json::from_slice(&plain.body).expect("the answer is JSON");
    let series = parsed["data"]["result"].as_array().expect("a list of series");
    assert_eq!(series.len(), 2);
    assert!(
        series.iter().all(|series| series["values"].as_array().is_some_and(|values| values.len() == 2_701))
    );
    let compressed = server.request("GET", &path, "Accept-Encoding: gzip\r\n", b"");
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    assert!(compressed.body.starts_with(&[0x1f, 0x8b]) && compressed.body.len() * 4 < plain.body.len());
}
