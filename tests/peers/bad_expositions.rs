//! Expositions that break their format.

use super::exporter::{Page, serve};

/// What one target answers.
pub(crate) struct Exposition {
    pub(crate) name: &'static str,
    content_type: &'static str,
    body: &'static [u8],
    /// Words that `lastError` must hold, in lower case; `None`: this one is well-formed and must be stored.
    pub(crate) says: Option<&'static [&'static str]>,
    /// More settings of its job.
    pub(crate) settings: &'static str,
}

const TEXT: &str = "text/plain; version=0.0.4";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

const fn bad(
    name: &'static str,
    content_type: &'static str,
    body: &'static [u8],
    says: &'static [&'static str],
) -> Exposition {
    Exposition { name, content_type, body, says: Some(says), settings: "" }
}

/// Served at `/0`, `/1` and so on.
pub(crate) const EXPOSITIONS: &[Exposition] = &[
    Exposition { name: "a good one", content_type: TEXT, body: b"good 1\n", says: None, settings: "" },
    bad("no value", TEXT, b"good 1\nvalueless\n", &["line 2", "expected value after metric"]),
    bad("a value that is no number", TEXT, b"good 1\nbad one\n", &["line 2", "one"]),
    bad("an open label value", TEXT, b"bad{a=\"b 1\n", &["line 1"]),
    bad("a label without quotes", TEXT, b"good 1\nbad{a=b} 1\n", &["line 2", "b"]),
    bad("a label twice", TEXT, b"bad{a=\"1\",a=\"2\"} 1\n", &["a"]),
    bad("a timestamp that is no number", TEXT, b"bad 1 yesterday\n", &["line 1", "timestamp"]),
    bad("bytes that are not UTF-8", TEXT, b"bad{a=\"\xff\xfe\"} 1\n", &["utf"]),
    bad("an unknown type", TEXT, b"# TYPE bad thermometer\nbad 1\n", &["thermometer"]),
    Exposition {
        name: "a good one without end of line",
        content_type: TEXT,
        body: b"good 1",
        says: None,
        settings: "",
    },
    bad("OpenMetrics without its end", OPEN_METRICS, b"# TYPE bad gauge\nbad 1\n", &["eof"]),
    bad("OpenMetrics with something behind its end", OPEN_METRICS, b"bad 1\n# EOF\nmore 1\n", &["eof"]),
    bad("OpenMetrics with an empty line", OPEN_METRICS, b"bad 1\n\n# EOF\n", &["line 2"]),
    bad(
        "OpenMetrics with an exemplar on a gauge's open brace",
        OPEN_METRICS,
        b"# TYPE bad counter\nbad_total 1 # {a=\"b\" 1\n# EOF\n",
        &["line 2"],
    ),
    bad("OpenMetrics text that is binary", OPEN_METRICS, b"\x00\x01\x02\x03\n# EOF\n", &["line 1"]),
    bad("an HTML page", "text/html", b"<html><body>not found</body></html>\n", &["text/html"]),
    bad(
        "no content type that is known",
        "application/octet-stream",
        b"bad 1\n",
        &["application/octet-stream"],
    ),
    Exposition {
        name: "more samples than the limit",
        content_type: TEXT,
        body: b"bad{a=\"1\"} 1\nbad{a=\"2\"} 1\nbad{a=\"3\"} 1\n",
        says: Some(&["sample", "limit"]),
        settings: "sample_limit: 2",
    },
    Exposition {
        name: "a longer body than the limit",
        content_type: TEXT,
        body: b"bad{a=\"0123456789012345678901234567890123456789\"} 1\n",
        says: Some(&["body size limit"]),
        settings: "body_size_limit: 30B",
    },
    Exposition {
        name: "a longer label value than the limit",
        content_type: TEXT,
        body: b"bad{a=\"0123456789012345678901234567890123456789\"} 1\n",
        says: Some(&["label"]),
        settings: "label_value_length_limit: 30",
    },
];

/// Serves the expositions on loopback; returns the port.
pub(crate) fn serve_all() -> u16 {
    let pages =
        EXPOSITIONS.iter().map(|one| Page { content_type: one.content_type, body: one.body.to_vec() });
    serve(pages.collect())
}
