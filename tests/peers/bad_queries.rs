//! Queries that cannot be answered, and how the API says so.

use super::http::Answer;

/// A call that must be refused.
pub(crate) struct BadQuery {
    pub(crate) path: &'static str,
    pub(crate) fields: &'static [(&'static str, &'static str)],
    status: u16,
    error_type: &'static str,
    /// Part of the message.
    says: &'static str,
}

const INSTANT: &str = "/api/v1/query";
const RANGE: &str = "/api/v1/query_range";

const fn bad(
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
    status: u16,
    error_type: &'static str,
    says: &'static str,
) -> BadQuery {
    BadQuery { path, fields, status, error_type, says }
}

const fn parse(fields: &'static [(&'static str, &'static str)], says: &'static str) -> BadQuery {
    bad(INSTANT, fields, 400, "bad_data", says)
}

/// Every refused call.
pub(crate) const QUERIES: &[BadQuery] = &[
    parse(&[], r#"invalid parameter "query": "#),
    parse(&[("query", "")], r#"invalid parameter "query": "#),
    parse(&[("query", "sum(")], "1:5: parse error: unclosed left parenthesis"),
    parse(&[("query", "up{job=\"a\"")], "1:11: parse error: unexpected end of input inside braces"),
    parse(&[("query", "up{job=~\"(\"}")], "parse error: error parsing regexp: "),
    parse(&[("query", "up{job=\"a}")], "unterminated quoted string"),
    parse(
        &[("query", "rate(up)")],
        "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
    ),
    parse(&[("query", "nosuch(up)")], "1:1: parse error: unknown function with name \"nosuch\""),
    parse(&[("query", "up[5m")], "parse error: "),
    parse(&[("query", "up[5x]")], "parse error: "),
    parse(&[("query", "up +")], "1:5: parse error: unexpected end of input"),
    parse(&[("query", "{}")], "parse error: vector selector must contain at least one non-empty matcher"),
    parse(&[("query", "sum by (up")], "parse error: "),
    parse(&[("query", "up @ now")], "parse error: "),
    parse(
        &[("query", "1 and up")],
        "parse error: set operator \"and\" not allowed in binary scalar expression",
    ),
    parse(&[("query", "up{job=\"\u{0}\u{1}\"} )")], "parse error: "),
    parse(&[("query", "up"), ("time", "yesterday")], r#"cannot parse "yesterday" to a valid timestamp"#),
    parse(&[("query", "up"), ("timeout", "soon")], r#"invalid parameter "timeout": "#),
    bad(RANGE, &[("query", "up")], 400, "bad_data", r#"invalid parameter "start": "#),
    bad(
        RANGE,
        &[("query", "up"), ("start", "10"), ("end", "0"), ("step", "1")],
        400,
        "bad_data",
        "end timestamp must not be before start time",
    ),
    bad(
        RANGE,
        &[("query", "up"), ("start", "0"), ("end", "10"), ("step", "0")],
        400,
        "bad_data",
        "zero or negative query resolution step widths are not accepted",
    ),
    bad(
        RANGE,
        &[("query", "up"), ("start", "0"), ("end", "10"), ("step", "-1")],
        400,
        "bad_data",
        "zero or negative query resolution step widths are not accepted",
    ),
    bad(
        RANGE,
        &[("query", "up"), ("start", "0"), ("end", "11001"), ("step", "1")],
        400,
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries",
    ),
    bad(
        RANGE,
        &[("query", "up[5m]"), ("start", "0"), ("end", "10"), ("step", "1")],
        400,
        "bad_data",
        "range vector",
    ),
    bad(
        INSTANT,
        &[("query", "label_replace(stored, \"1\", \"x\", \"job\", \"(\")")],
        422,
        "execution",
        "invalid regular expression in label_replace(): (",
    ),
    bad(
        INSTANT,
        &[("query", "stored * on() stored")],
        422,
        "execution",
        "found duplicate series for the match group {}",
    ),
    bad("/api/v1/series", &[], 400, "bad_data", "no match[] parameter provided"),
    bad(
        "/api/v1/series",
        &[("match[]", "{}")],
        400,
        "bad_data",
        "match[] must contain at least one non-empty matcher",
    ),
    bad("/api/v1/labels", &[("match[]", "sum(up)")], 400, "bad_data", "1:4: parse error: "),
    bad("/api/v1/labels", &[("limit", "many")], 400, "bad_data", "limit"),
    bad("/api/v1/label/a%00b/values", &[("start", "x")], 400, "bad_data", r#"invalid parameter "start": "#),
    bad(
        "/api/v1/query_exemplars",
        &[("query", "sum(")],
        400,
        "bad_data",
        "parse error: unclosed left parenthesis",
    ),
    bad(
        "/api/v1/format_query",
        &[("query", "sum(")],
        400,
        "bad_data",
        "parse error: unclosed left parenthesis",
    ),
];

impl BadQuery {
    /// Whether the answer is the documented one.
    pub(crate) fn judge(&self, answer: &Answer) -> Result<(), String> {
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let right = answer.status == self.status
            && json["status"] == "error"
            && json["errorType"] == self.error_type
            && json["error"].as_str().is_some_and(|text| text.contains(self.says));
        if right {
            return Ok(());
        }
        let expected = format!("status {}, {}, {:?}", self.status, self.error_type, self.says);
        Err(format!(
            "{} {:?}: expected {expected}, got {}: {}",
            self.path,
            self.fields,
            answer.status,
            answer.text()
        ))
    }
}
