//! What wrong requests are answered with.

use crate::server::{NOW, options, start};

/// Path, status, type, message.
type Case<'a> = (&'a str, u16, &'a str, &'a str);

const TOO_MANY: &str = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
const NO_STEP: &str = "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer";

const CASES: &[Case<'_>] = &[
    (
        "/api/v1/query",
        400,
        "bad_data",
        "invalid parameter \"query\": unknown position: parse error: no expression found in input",
    ),
    (
        "/api/v1/query?query=sum(",
        400,
        "bad_data",
        "invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis",
    ),
    (
        "/api/v1/query?query=m%7B",
        400,
        "bad_data",
        "invalid parameter \"query\": 1:3: parse error: unexpected end of input inside braces",
    ),
    (
        "/api/v1/query?query=rate(m)",
        400,
        "bad_data",
        "invalid parameter \"query\": 1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
    ),
    (
        "/api/v1/query?query=nope(m)",
        400,
        "bad_data",
        "invalid parameter \"query\": 1:1: parse error: unknown function with name \"nope\"",
    ),
    (
        "/api/v1/query?query=m&time=x",
        400,
        "bad_data",
        "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp",
    ),
    (
        "/api/v1/query?query=m&timeout=x",
        400,
        "bad_data",
        "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration",
    ),
    (
        "/api/v1/query?query=m&timeout=1e30",
        400,
        "bad_data",
        "invalid parameter \"timeout\": cannot parse \"1e30\" to a valid duration. It overflows int64",
    ),
    (
        "/api/v1/query?query=m&limit=x",
        400,
        "bad_data",
        "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax",
    ),
    (
        "/api/v1/query?query=m&limit=-1",
        400,
        "bad_data",
        "invalid parameter \"limit\": limit must be non-negative",
    ),
    (
        "/api/v1/query?query=m&lookback_delta=x",
        400,
        "bad_data",
        "error parsing lookback delta duration: cannot parse \"x\" to a valid duration",
    ),
    ("/api/v1/query?query=m%20%2B%20on()%20m", 422, "execution", ""),
    ("/api/v1/query?query=label_replace(m,%22%22,%22%22,%22%22,%22%22)", 422, "execution", ""),
    (
        "/api/v1/query_range?query=m",
        400,
        "bad_data",
        "invalid parameter \"start\": cannot parse \"\" to a valid timestamp",
    ),
    (
        "/api/v1/query_range?query=m&start=1",
        400,
        "bad_data",
        "invalid parameter \"end\": cannot parse \"\" to a valid timestamp",
    ),
    (
        "/api/v1/query_range?query=m&start=1&end=2",
        400,
        "bad_data",
        "invalid parameter \"step\": cannot parse \"\" to a valid duration",
    ),
    ("/api/v1/query_range?query=m&start=1&end=2&step=0", 400, "bad_data", NO_STEP),
    ("/api/v1/query_range?query=m&start=1&end=2&step=-1", 400, "bad_data", NO_STEP),
    (
        "/api/v1/query_range?query=m&start=2&end=1&step=1",
        400,
        "bad_data",
        "invalid parameter \"end\": end timestamp must not be before start time",
    ),
    ("/api/v1/query_range?query=m&start=0&end=11001&step=1", 400, "bad_data", TOO_MANY),
    (
        "/api/v1/query_range?query=m%5B1m%5D&start=1&end=2&step=1",
        400,
        "bad_data",
        "invalid parameter \"query\": invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
    ),
    ("/api/v1/labels?match[]=%7B%7D", 400, "bad_data", "match[] must contain at least one non-empty matcher"),
    ("/api/v1/labels?match[]=m%5B5m%5D", 400, "bad_data", ""),
    (
        "/api/v1/labels?start=x",
        400,
        "bad_data",
        "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp",
    ),
    (
        "/api/v1/labels?limit=99999999999999999999",
        400,
        "bad_data",
        "invalid parameter \"limit\": strconv.Atoi: parsing \"99999999999999999999\": value out of range",
    ),
    (
        "/api/v1/label/job/values?match[]=%7Ba%3D%22%22%7D",
        400,
        "bad_data",
        "match[] must contain at least one non-empty matcher",
    ),
    ("/api/v1/series", 400, "bad_data", "no match[] parameter provided"),
    ("/api/v1/series?match[]=%zz", 400, "bad_data", "error parsing form values: invalid URL escape \"%zz\""),
    (
        "/api/v1/series?match[]=%7B%7D",
        400,
        "bad_data",
        "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher",
    ),
    ("/api/v1/metadata?limit=x", 400, "bad_data", "limit must be a number"),
    ("/api/v1/metadata?limit_per_metric=x", 400, "bad_data", "limit_per_metric must be a number"),
    ("/api/v1/targets/metadata?match_target=%7B", 400, "bad_data", ""),
    (
        "/api/v1/query_exemplars?query=m&start=2&end=1",
        400,
        "bad_data",
        "end timestamp must not be before start timestamp",
    ),
    (
        "/api/v1/query_exemplars?query=m%7B",
        400,
        "bad_data",
        "1:3: parse error: unexpected end of input inside braces",
    ),
    (
        "/api/v1/format_query?query=m%7B",
        400,
        "bad_data",
        "invalid parameter \"query\": 1:3: parse error: unexpected end of input inside braces",
    ),
    (
        "/api/v1/parse_query",
        400,
        "bad_data",
        "invalid parameter \"query\": unknown position: parse error: no expression found in input",
    ),
    ("/api/v1/rules?type=x", 400, "bad_data", "invalid parameter \"type\": not supported value \"x\""),
    ("/api/v1/status/tsdb?limit=0", 400, "bad_data", "limit must be a positive number"),
    ("/api/v1/status/tsdb?limit=10001", 400, "bad_data", "limit must not exceed 10000"),
];

#[test]
fn wrong_requests_get_upstreams_answers() {
    let server = start(options());
    for (path, status, kind, message) in CASES {
        let reply = server.get(path);
        assert_eq!(reply.status, *status, "{path}: {}", reply.text());
        let json: serde_json::Value = serde_json::from_slice(&reply.body).expect("an error is JSON");
        assert_eq!(
            (json["status"].as_str(), json["errorType"].as_str()),
            (Some("error"), Some(*kind)),
            "{path}"
        );
        let found = json["error"].as_str().expect("an error has a message");
        assert!(found == *message || (message.is_empty() && !found.is_empty()), "{path}: {found}");
    }
}

#[test]
fn errors_have_this_form_and_no_other() {
    let server = start(options());
    let reply = server.get("/api/v1/query?query=a%3E");
    assert_eq!(
        reply.text(),
        r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:3: parse error: unexpected end of input"}"#
    );
}

#[test]
fn what_takes_too_long_is_ended() {
    let server = start(options());
    let reply = server.get("/api/v1/query?query=m&timeout=0.000000001");
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(
        reply.text().contains("\"errorType\":\"timeout\",\"error\":\"query timed out in "),
        "{}",
        reply.text()
    );
}

#[test]
fn admin_calls_are_off_unless_enabled() {
    let server = start(options());
    for call in ["flush", "delete_series?match[]=m", "snapshot", "clean_tombstones"] {
        let reply = server.request("POST", &format!("/api/v1/admin/tsdb/{call}"), "", b"");
        let text = r#"{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}"#;
        assert_eq!((reply.status, reply.text()), (500, text), "{call}");
    }
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    let server = start(options());
    for path in ["/nope", "/api/v1/nope", "/api/v1/label/a/b/values"] {
        let reply = server.get(path);
        assert_eq!((reply.status, reply.text()), (404, "404 page not found\n"), "{path}");
    }
    let reply = server.request("DELETE", "/api/v1/query", "", b"");
    assert_eq!((reply.status, reply.text()), (405, "Method Not Allowed\n"));
    assert_eq!(server.get("/api/v1/write").status, 405);
    assert_eq!(server.get("/api/v1/admin/tsdb/flush").status, 405);
}

#[test]
fn bodies_have_bounds() {
    let server = start(options());
    // One byte too many, and no more: a server that closes before it has read all resets the connection, and the
    // client may lose the answer.
    let prefix = "query=";
    let form = format!("{prefix}{}", "x".repeat((10 << 20) + 1 - prefix.len()));
    let reply = server.post_form("/api/v1/query", &form);
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("http: POST too large"), "{}", reply.text());
}

#[test]
fn remote_write_meets_http() {
    let server = start(options());
    let write = |headers: &str, body: &[u8]| server.request("POST", "/api/v1/write", headers, body);
    assert_eq!(write("Content-Type: text/plain\r\n", b"x").status, 415);
    let broken = write("Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n", b"\xff\xff");
    assert_eq!(broken.status, 400, "{}", broken.text());
    // An empty message of protocol 2.0: its one symbol is the empty text.
    let v2 = "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\nContent-Encoding: snappy\r\n";
    let empty = write(v2, b"\x02\x04\x22\x00");
    assert_eq!((empty.status, empty.body.len()), (204, 0), "{}", empty.text());
    assert_eq!(empty.header("x-prometheus-remote-write-samples-written"), Some("0"));
    assert!(server.get(&format!("/api/v1/query?query=m&time={NOW}")).text().contains("\"success\""));
}
