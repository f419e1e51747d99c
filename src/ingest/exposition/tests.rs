//! Bodies as targets send them, sound and not.

use std::fmt::Write;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// One line for each entry.
fn read(format: Format, body: &[u8]) -> Result<Vec<String>, ExpositionError> {
    let mut parser = Parser::new(format, body);
    let mut lines = Vec::new();
    while let Some(entry) = parser.next_entry()? {
        lines.push(match entry {
            Entry::Help { metric, help } => format!("help {metric:?} {help:?}"),
            Entry::Type { metric, metric_type } => format!("type {metric:?} {metric_type}"),
            Entry::Unit { metric, unit } => format!("unit {metric:?} {unit:?}"),
            Entry::Comment => "comment".to_owned(),
            Entry::Sample(sample) => show(&sample),
        });
    }
    assert_eq!(parser.next_entry(), Ok(None), "the end stays the end");
    Ok(lines)
}

fn show(sample: &SampleEntry<'_>) -> String {
    let labels = match sample.labels() {
        Ok(labels) => labels.to_string(),
        Err(error) => error.to_string(),
    };
    let mut line = format!("{labels} {}", sample.value);
    if let Some(timestamp) = sample.timestamp {
        write!(line, " @{timestamp}").expect("a string takes all");
    }
    if let Some(exemplar) = &sample.exemplar {
        let exemplar = exemplar.exemplar(-1).expect("exemplars here have labels that are a set");
        write!(line, " # {} {} @{}", exemplar.labels, exemplar.value, exemplar.timestamp)
            .expect("a string takes all");
    }
    line
}

#[test]
fn text_of_every_shape_is_read() {
    let body = b"# HELP go_gc_duration_seconds A summary of\\nthe \\\\ \\\" pauses.
# TYPE go_gc_duration_seconds summary
go_gc_duration_seconds{quantile=\"0\"} 4.9351e-05
go_gc_duration_seconds{quantile=\"0.25\",} 7.424100000000001e-05
go_gc_duration_seconds{ quantile = \"1\", a=\"b\" ,}\t8.3835e-05
go_gc_duration_seconds_count 99

# HELP nohelp
# HELP blankhelp \n#HELP no metadata
# TYPE
   \t
# A comment\xff
#
# TYPE some:histogram histogram
some:histogram_bucket{le=\"1\"} 10 123456789000
some:histogram_bucket{le=\"+Inf\"} +Inf
some:histogram_bucket {a=\"1\" le=\"1e7\"}12
# TYPE testmetric untyped
testmetric{label=\"\\\"bar\\\"\\n\\\\ and \\z\"} 1
testmetric{le=\"1\"} NaN
{\"http.status\", \"exported job\"=\"a b\", le=\"1\"} 2 1
{a=\"b\",\"quoted\"} -Inf
{\"only\"}3
crossing{a=\"two
lines\"} 1
empty{} 0x
";
    let read_to_error = read(Format::Text, body);
    assert_eq!(
        read_to_error.map_err(|error| error.to_string()),
        Err("line 27: value \"0x\": invalid number while parsing: \"empty{} 0x\"".to_owned())
    );
    let sound = &body[..body.len() - 2];
    let sound = [&sound[..sound.len()], b"\n# TYPE x counter\nlast 5"].concat();
    assert_eq!(
        read(Format::Text, &sound).expect("sound"),
        [
            r#"help "go_gc_duration_seconds" "A summary of\nthe \\ \\\" pauses.""#,
            r#"type "go_gc_duration_seconds" summary"#,
            r#"{__name__="go_gc_duration_seconds", quantile="0.0"} 0.000049351"#,
            r#"{__name__="go_gc_duration_seconds", quantile="0.25"} 0.00007424100000000001"#,
            r#"{__name__="go_gc_duration_seconds", a="b", quantile="1.0"} 0.000083835"#,
            r#"{__name__="go_gc_duration_seconds_count"} 99"#,
            r#"help "nohelp" """#,
            r#"help "blankhelp" """#,
            "comment",
            "comment",
            "comment",
            "comment",
            r#"type "some:histogram" histogram"#,
            r#"{__name__="some:histogram_bucket", le="1.0"} 10 @123456789000"#,
            r#"{__name__="some:histogram_bucket", le="+Inf"} inf"#,
            r#"{__name__="some:histogram_bucket", a="1", le="1e+07"} 12"#,
            r#"type "testmetric" unknown"#,
            r#"{__name__="testmetric", label="\"bar\"\n\\ and \\z"} 1"#,
            r#"{__name__="testmetric", le="1"} NaN"#,
            r#"{__name__="http.status", "exported job"="a b", le="1"} 2 @1"#,
            r#"{__name__="quoted", a="b"} -inf"#,
            r#"{__name__="only"} 3"#,
            r#"{__name__="crossing", a="two\nlines"} 1"#,
            r#"{__name__="empty"} 0"#,
            r#"type "x" counter"#,
            r#"{__name__="last"} 5"#,
        ]
    );
}

#[test]
fn open_metrics_of_every_shape_is_read() {
    let body = b"# TYPE a_seconds counter
# UNIT a_seconds seconds
# HELP a_seconds quoted \\\" and \\n broken
a_seconds_total{b=\"c\"} 1.5 1.25 # {trace_id=\"x,\\\"y\"} 0.5 1.5
a_seconds_total 2 # {} 1
a_seconds_created{b=\"c\"} 1520872607.123
# TYPE hh histogram
hh_bucket{le=\"1\",} 1 # {id=\"a\",\"b c\"=\"d\"} 4
hh_bucket{le=\"+Inf\"} 1
# TYPE g gaugehistogram
# TYPE i info
i_info{a=\"b\"} 1
# TYPE s stateset
# TYPE u unknown
# HELP \"with space\" x
# TYPE \"with space\" gauge
{\"with space\",a=\"\\n\"} -1 -0.001
# UNIT unitless 
u 1e3
# EOF";
    assert_eq!(
        read(Format::OpenMetrics, body).expect("sound"),
        [
            r#"type "a_seconds" counter"#,
            r#"unit "a_seconds" "seconds""#,
            r#"help "a_seconds" "quoted \" and \n broken""#,
            r#"{__name__="a_seconds_total", b="c"} 1.5 @1250 # {trace_id="x,\"y"} 0.5 @1500"#,
            r#"{__name__="a_seconds_total"} 2 # {} 1 @-1"#,
            r#"{__name__="a_seconds_created", b="c"} 1520872607.123"#,
            r#"type "hh" histogram"#,
            r#"{__name__="hh_bucket", le="1.0"} 1 # {"b c"="d", id="a"} 4 @-1"#,
            r#"{__name__="hh_bucket", le="+Inf"} 1"#,
            r#"type "g" gaugehistogram"#,
            r#"type "i" info"#,
            r#"{__name__="i_info", a="b"} 1"#,
            r#"type "s" stateset"#,
            r#"type "u" unknown"#,
            r#"help "with space" "x""#,
            r#"type "with space" gauge"#,
            r#"{__name__="with space", a="\n"} -1 @-1"#,
            r#"unit "unitless" """#,
            r#"{__name__="u"} 1000"#,
        ]
    );
    assert_eq!(read(Format::OpenMetrics, b"# EOF\n"), Ok(Vec::new()));
}

#[test]
fn stale_markers_cannot_be_sent_as_text() {
    let mut parser = Parser::new(Format::Text, b"a NaN\n");
    let Ok(Some(Entry::Sample(sample))) = parser.next_entry() else { panic!("a sample comes first") };
    assert!(sample.value.is_nan() && !crate::model::is_stale(sample.value));
}

#[test]
fn repeated_labels_are_the_callers_to_judge() {
    assert_eq!(
        read(Format::Text, b"a{b=\"1\",b=\"2\"} 1\n"),
        Ok(vec![r#"label name "b" is not unique: invalid sample 1"#.to_owned()])
    );
}

#[test]
fn malformed_text_names_line_and_reason() {
    for (body, says) in [
        (
            &b"good 1\nvalueless\n"[..],
            "line 2: expected value after metric, got \"\\n\" while parsing: \"valueless\"",
        ),
        (b"a", "line 1: expected value after metric"),
        (b"a one\n", "line 1: value \"one\": invalid number"),
        (b"a 1_000\n", "value \"1_000\": invalid number"),
        (b"a 0x1p-2\n", "value \"0x1p-2\": invalid number"),
        (b"a 1e999\n", "value \"1e999\": number out of range"),
        (b"a\n1\n", "line 1: expected value after metric"),
        (b"1 1\n", "line 1: expected a valid start token, got \"1\""),
        (b"9a 1\n", "expected a valid start token"),
        (b"\xff 1\n", "expected a valid start token"),
        (b"a\x00{b=\"c\"} 1\n", "value \"\\0\": invalid number"),
        (b"\x00 1\n", "expected a valid start token, got \"\\0\""),
        (b"a{b=\"c\x00\xff\"} 1\n", "line 1: invalid UTF-8 label value"),
        (b"good 1\n{b=\"\xff\"} 1\n", "line 2: invalid UTF-8 label value"),
        (b"{\"\xff\"} 1\n", "invalid UTF-8 label name"),
        (b"a{b=\"c} 1\n", "expected label value, got \"\\\"c}\""),
        (b"a{b=c} 1\n", "expected label value, got \"c}\""),
        (b"a{b} 1\n", "expected equal, got \"}\""),
        (b"a{b:c=\"d\"} 1\n", "expected equal, got \":c=\\\"d\\\"}\""),
        (b"a{=\"d\"} 1\n", "expected label name"),
        (b"a{,} 1\n", "expected label name"),
        (b"a{b=\"c\",,} 1\n", "expected label name"),
        (b"a{b=\"c\"\n", "line 1: expected label name, got \"\\n\""),
        (b"a{b=\"c\"", "expected label name, got \"\""),
        (b"a{b=\"c\\\"} 1\n", "expected label value"),
        (b"a{b=\"\\", "expected label value"),
        (b"a{\"b\"} 1\n", "metric name already set"),
        (b"{\"a\",\"b\"} 1\n", "metric name already set"),
        (b"{} 1\n", "metric name not set"),
        (b"{b=\"c\"} 1\n", "metric name not set"),
        (b"{9=\"a\"} 1\n", "expected label name"),
        (b"a 1 yesterday\n", "expected timestamp or new record, got \"yesterday\""),
        (b"a 1 -5\n", "expected timestamp or new record, got \"-5\""),
        (b"a 1 1.5\n", "expected next entry after timestamp, got \".5\""),
        (b"a 1 1 1\n", "expected next entry after timestamp, got \"1\""),
        (b"a 1{b=\"c\"}\n", "expected timestamp or new record, got \"{b="),
        (b"a 1 99999999999999999999\n", "timestamp \"99999999999999999999\" does not fit 64 bits"),
        (b"a 1 # {b=\"c\"} 1\n", "expected timestamp or new record, got \"#\""),
        (b"# TYPE a thermometer\n", "line 1: invalid metric type \"thermometer\""),
        (b"# TYPE a unknown\n", "invalid metric type \"unknown\""),
        (b"# TYPE a\n", "invalid metric type \"\""),
        (b"# TYPE a gauge \n", "invalid metric type \"gauge \""),
        (b"# TYPE 1 gauge\n", "expected metric name after TYPE, got \"1\""),
        (b"# HELP \n", "expected metric name after HELP"),
        (b"# HELP a \xff\n", "invalid UTF-8 help text"),
    ] {
        let error = read(Format::Text, body).expect_err(&String::from_utf8_lossy(body)).to_string();
        assert!(error.contains(says), "{:?}: {error}", String::from_utf8_lossy(body));
    }
}

#[test]
fn malformed_open_metrics_names_line_and_reason() {
    for (body, says) in [
        (&b""[..], "line 1: data does not end with # EOF"),
        (b"a 1\n", "line 2: data does not end with # EOF"),
        (b"a 1", "line 1: data does not end with # EOF"),
        (b"# EOF\na 1\n", "line 2: unexpected data after # EOF"),
        (b"# EOF\n\n", "line 2: unexpected data after # EOF"),
        (b"a 1\n\n# EOF\n", "line 2: expected a valid start token, got \"\\n\""),
        (b"# a comment\n# EOF\n", "expected a valid start token, got \"#\""),
        (b"#TYPE a gauge\n# EOF\n", "expected a valid start token"),
        (b" a 1\n# EOF\n", "expected a valid start token"),
        (b"a  1\n# EOF\n", "expected value after metric"),
        (b"a\t1\n# EOF\n", "expected value after metric"),
        (b"a 1 \n# EOF\n", "expected timestamp or comment"),
        (b"a 1 1 1\n# EOF\n", "expected next entry after timestamp"),
        (b"a 1 NaN\n# EOF\n", "invalid timestamp NaN"),
        (b"a 1 Inf\n# EOF\n", "invalid timestamp inf"),
        (b"a 1 x\n# EOF\n", "timestamp \"x\": invalid number"),
        (b"a {b=\"c\"} 1\n# EOF\n", "value \"{b=\\\"c\\\"}\": invalid number"),
        (b"a{b=\"c\" ,d=\"e\"} 1\n# EOF\n", "expected comma or brace close"),
        (b"a{b=\"c\" d=\"e\"} 1\n# EOF\n", "expected comma or brace close"),
        (b"a{b=\"c\nd\"} 1\n# EOF\n", "expected label value"),
        (b"a{b=\"c\"}1\n# EOF\n", "expected value after metric, got \"1\""),
        (b"a 1 # {b=\"c\" 1\n# EOF\n", "expected comma or brace close"),
        (b"a 1 # {\"b\"} 1\n# EOF\n", "expected equal"),
        (b"a 1 # {b=\"c\"}\n# EOF\n", "expected value after exemplar labels"),
        (b"a 1 # {b=\"c\"} x\n# EOF\n", "exemplar value \"x\": invalid number"),
        (b"a 1 # {b=\"c\"} 1 NaN\n# EOF\n", "invalid exemplar timestamp NaN"),
        (b"a 1 # {b=\"c\"} 1 1 1\n# EOF\n", "expected next entry after timestamp"),
        (b"a 1 # {b=\"c\"} 1", "data does not end with # EOF"),
        (b"# TYPE a untyped\n# EOF\n", "invalid metric type \"untyped\""),
        (b"# TYPE a  gauge\n# EOF\n", "invalid metric type \" gauge\""),
        (b"# TYPE a\n# EOF\n", "expected text in TYPE"),
        (b"# HELP a", "expected text in HELP"),
        (b"# HELP a b", "data does not end with # EOF"),
        (b"# UNIT a_seconds bytes\n# EOF\n", "unit \"bytes\" not a suffix of metric \"a_seconds\""),
        (b"# UNIT seconds seconds\n# EOF\n", "not a suffix"),
        (b"# UNIT aseconds seconds\n# EOF\n", "not a suffix"),
        (b"\x00\x01\x02\n# EOF\n", "line 1: expected a valid start token"),
    ] {
        let error = read(Format::OpenMetrics, body).expect_err(&String::from_utf8_lossy(body)).to_string();
        assert!(error.contains(says), "{:?}: {error}", String::from_utf8_lossy(body));
    }
}

/// A value as the text format escapes it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read(
        names in vec("\\PC{1,8}", 1..4),
        values in vec("\\PC{0,8}|[\\n\"\\\\]{1,3}", 4),
        number in any::<f64>(),
        timestamp in proptest::option::of(0..i64::MAX),
    ) {
        let mut body = format!("{{\"{}\"", escaped(&names[0]));
        for (name, value) in names[1..].iter().zip(&values) {
            write!(body, ",\"{}\"=\"{}\"", escaped(name), escaped(value)).expect("a string takes all");
        }
        write!(body, "}} {number:e}").expect("a string takes all");
        if let Some(timestamp) = timestamp {
            write!(body, " {timestamp}").expect("a string takes all");
        }
        body.push('\n');
        let mut parser = Parser::new(Format::Text, body.as_bytes());
        let entry = parser.next_entry();
        let Ok(Some(Entry::Sample(sample))) = entry else { panic!("{body:?}: {entry:?}") };
        let mut builder = crate::model::LabelsBuilder::default();
        sample.push_labels(&mut builder);
        let mut expected = vec![("__name__", names[0].as_str())];
        expected.extend(names[1..].iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_str())));
        prop_assert_eq!(builder.pairs().collect::<Vec<_>>(), expected);
        prop_assert!(sample.value == number || (sample.value.is_nan() && number.is_nan()));
        prop_assert_eq!(sample.timestamp, timestamp);
    }

    #[test]
    fn no_bytes_cause_a_panic_or_go_on_for_ever(
        pieces in vec(prop_oneof![
            vec(any::<u8>(), 0..6),
            prop::sample::select(vec![
                &b"# TYPE "[..], b"# HELP ", b"# UNIT ", b"# EOF", b"a_total", b"{", b"}", b"\"", b"=", b",",
                b" ", b"\n", b" # {", b"\\", b"1", b"NaN", b"gauge", b"x=\"y\"",
            ]).prop_map(<[u8]>::to_vec),
        ], 0..40),
    ) {
        let body = pieces.concat();
        for format in [Format::Text, Format::OpenMetrics] {
            let mut parser = Parser::new(format, &body);
            let mut entries = 0;
            while let Ok(Some(entry)) = parser.next_entry() {
                if let Entry::Sample(sample) = entry {
                    let _ = (sample.labels(), sample.exemplar.map(|exemplar| exemplar.exemplar(0)));
                }
                entries += 1;
                prop_assert!(entries <= body.len());
            }
        }
    }
}
