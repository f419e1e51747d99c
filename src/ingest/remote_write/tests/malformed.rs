//! Requests that break a rule each: status, what the answer says, and that nothing else changes.

use super::*;

struct Bad {
    what: &'static str,
    protocol: Protocol,
    body: Vec<u8>,
    status: u16,
    says: &'static str,
}

fn packed(what: &'static str, protocol: Protocol, plain: &[u8], says: &'static str) -> Bad {
    Bad { what, protocol, body: compress(plain).expect("compresses"), status: 400, says }
}

fn raw(what: &'static str, protocol: Protocol, body: Vec<u8>, status: u16, says: &'static str) -> Bad {
    Bad { what, protocol, body, status, says }
}

/// A varint and so many zeros.
fn declaring(length: &[u8], len: usize) -> Vec<u8> {
    let mut body = length.to_vec();
    body.resize(len, 0);
    body
}

fn framing() -> Vec<Bad> {
    let sound = compress(&request_v1([series(&[("__name__", "bad")])])).expect("compresses");
    let gigabytes = || declaring(&[0x80, 0xf2, 0x8b, 0xa8, 0x09], 47);
    vec![
        raw("empty body", Protocol::V1, Vec::new(), 400, "snappy: body is empty"),
        raw("truncated snappy", Protocol::V1, sound[..sound.len() - 3].to_vec(), 400, "snappy: "),
        raw("only the length", Protocol::V1, sound[..1].to_vec(), 400, "snappy: "),
        raw(
            "47 bytes that declare gigabytes",
            Protocol::V1,
            gigabytes(),
            400,
            "snappy: declared decompressed length 2500000000 exceeds limit 33554432",
        ),
        raw("the same under 2.0", Protocol::V2, gigabytes(), 400, "2500000000 exceeds limit 33554432"),
        raw(
            "a length within the limit that the body cannot hold",
            Protocol::V1,
            declaring(&[0x80, 0x80, 0x80, 0x08], 47),
            400,
            "snappy: declared decompressed length 16777216 cannot come from a body of 47 bytes",
        ),
        raw(
            "a length of 64 bits",
            Protocol::V1,
            declaring(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 47),
            400,
            "snappy: declared decompressed length 9223372036854775807 exceeds limit",
        ),
        raw(
            "a length that never ends",
            Protocol::V1,
            vec![0xff; 60],
            400,
            "snappy: length in front is cut off",
        ),
        raw("text", Protocol::V1, b"up 1\nnode_load1 0.5\n".to_vec(), 400, "snappy: "),
        raw(
            "more than any acceptable body",
            Protocol::V1,
            vec![0; snap::raw::max_compress_len(32 << 20) + 1],
            413,
            "exceeds limit",
        ),
    ]
}

fn protobuf() -> Vec<Bad> {
    let sound = request_v1([series(&[("__name__", "bad")])]);
    vec![
        packed("a message cut off", Protocol::V1, &sound[..sound.len() - 1], "timeseries: length"),
        packed(
            "a label longer than its series",
            Protocol::V1,
            b"\x0a\x04\x0a\x20xx",
            "timeseries.labels: length 32 reaches beyond the message at byte 3",
        ),
        packed(
            "a value of four bytes",
            Protocol::V1,
            b"\x0a\x04\x12\x02\x0d\x01",
            "timeseries.samples.value: wire type 5 does not fit the field at byte 5",
        ),
        packed(
            "series as a number",
            Protocol::V1,
            b"\x08\x01",
            "timeseries: wire type 0 does not fit the field at byte 1",
        ),
        packed("field 0", Protocol::V1, b"\x02\x01\x00", "field number 0 does not exist at byte 0"),
        packed("wire type 7", Protocol::V2, b"\x27", "wire type 7 does not exist at byte 0"),
        packed(
            "an endless number",
            Protocol::V2,
            &[0x22, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            "varint is longer than 64 bits",
        ),
        packed(
            "a group that never ends",
            Protocol::V1,
            b"\x13\x13\x13",
            "group does not begin and end in pairs",
        ),
        packed("text", Protocol::V2, b"up 1\nnode_load1 0.5\n", "at byte"),
    ]
}

fn labels_v1() -> Vec<Bad> {
    let one =
        |what, labels: &[(&str, &str)], says| packed(what, Protocol::V1, &request_v1([series(labels)]), says);
    // __name__="bad", place="a\xff"
    let mut not_utf8 = request_v1([series(&[("__name__", "bad"), ("place", "a~")])]);
    let at = not_utf8.iter().position(|&byte| byte == b'~').expect("the mark is there");
    not_utf8[at] = 0xff;
    vec![
        one("no metric name", &[("job", "bad")], r#"invalid metric name or labels, got {job="bad"}"#),
        one(
            "an empty metric name",
            &[("__name__", "")],
            r#"invalid metric name or labels, got {__name__=""}"#,
        ),
        one("no labels", &[], "invalid metric name or labels, got {} (series at byte 2)"),
        one("a label without a name", &[("", "x"), ("__name__", "bad")], "invalid metric name or labels"),
        one(
            "a label twice",
            &[("__name__", "bad"), ("twice", "1"), ("other", "2"), ("twice", "3")],
            r#"labels {__name__="bad", other="2", twice="1", twice="3"}, duplicated label twice"#,
        ),
        one(
            "a label twice, once empty",
            &[("__name__", "bad"), ("twice", "1"), ("twice", "")],
            "duplicated label twice",
        ),
        packed(
            "a value that is not UTF-8",
            Protocol::V1,
            &not_utf8,
            "invalid label \"place\": timeseries.labels.value: text is not UTF-8 at byte",
        ),
    ]
}

fn references_v2() -> Vec<Bad> {
    let one = |what, labels_refs: &[u32], says| {
        packed(what, Protocol::V2, &request_v2([series_v2(labels_refs)]), says)
    };
    let with_symbols = |symbols: &[&str]| {
        let symbols = symbols.iter().map(|&symbol| symbol.to_owned()).collect();
        v2::Request { symbols, timeseries: vec![series_v2(&[1, 2])] }.encode_to_vec()
    };
    let changed = |change: &dyn Fn(&mut v2::TimeSeries)| {
        let mut series = series_v2(&[1, 2]);
        change(&mut series);
        request_v2([series])
    };
    vec![
        one(
            "a reference past the symbols",
            &[1, 99],
            "parsing labels for series [1 99]: labelRefs 1 (name) = 99 (value) outside of symbols table (size 7)",
        ),
        one("an odd number of references", &[1, 2, 3], "series [1 2 3]: invalid labelRefs length 3"),
        one("no metric name", &[3, 4], r#"invalid metric name or labels, got {job="node"}"#),
        one("an empty label name", &[0, 4, 1, 2], "invalid metric name or labels"),
        one("a label twice", &[1, 2, 3, 4, 3, 2], "duplicated label job"),
        one("no labels", &[], "invalid metric name or labels, got {}"),
        packed(
            "a first symbol that is not empty",
            Protocol::V2,
            &with_symbols(&["__name__", "up", "job"]),
            "symbols[0] must be the empty string, got \"__name__\"",
        ),
        packed(
            "no symbols",
            Protocol::V2,
            &with_symbols(&[]),
            "symbols[0] must be the empty string, got no symbols at all",
        ),
        packed(
            "a series without samples",
            Protocol::V2,
            &changed(&|series| series.samples.clear()),
            r#"TimeSeries must contain at least one sample or histogram for series {__name__="up"}"#,
        ),
        packed(
            "a help text past the symbols",
            Protocol::V2,
            &changed(&|series| {
                series.metadata = Some(v2::Metadata { r#type: 1, help_ref: 70, unit_ref: 0 });
            }),
            "parsing metadata for series [1 2]: metadata help_ref 70 outside of symbols table (size 7)",
        ),
    ]
}

fn histograms() -> Vec<Bad> {
    let one = |what, change: &dyn Fn(&mut prompb::Histogram), says| {
        let mut changed = histogram();
        change(&mut changed);
        packed(what, Protocol::V1, &request_v1([histogram_series(changed)]), says)
    };
    vec![
        one(
            "a total that the buckets contradict",
            &|h| h.count = Some(HistogramCount::Int(7)),
            "6 observations found in buckets, but the Count field is 7",
        ),
        one(
            "a span that goes back",
            &|h| h.positive_spans[1].offset = -2,
            "positive side: span number 2 with offset -2",
        ),
        one(
            "more buckets than spans say",
            &|h| h.positive_deltas.push(0),
            "positive side: spans need 3 buckets, have 4 buckets",
        ),
        one(
            "spans for billions of buckets",
            &|h| h.positive_spans[0].length = u32::MAX,
            "positive side: spans need 4294967296 buckets, have 3 buckets",
        ),
        one(
            "a bucket below zero",
            &|h| h.positive_deltas = vec![1, -2, 6],
            "positive side: bucket number 2 has observation count of -1",
        ),
        one("schema 53", &|h| h.schema = 53, "got schema 53 for series {__name__=\"h\"}"),
        one("schema -5", &|h| h.schema = -5, "got schema -5"),
        one(
            "custom bounds with a usual schema",
            &|h| h.custom_values = vec![1.0],
            "must not have custom bounds",
        ),
        one("a custom schema with a zero bucket", &|h| h.schema = -53, "must not have a zero bucket"),
    ]
}

fn times() -> Vec<Bad> {
    let one = |what, timestamp, says| {
        let mut series = series(&[("__name__", "bad")]);
        series.samples[0].timestamp = timestamp;
        packed(what, Protocol::V1, &request_v1([series]), says)
    };
    vec![
        one(
            "eleven minutes ahead",
            NOW + 11 * 60_000,
            "out of bounds: timestamp is too far in the future for series {__name__=\"bad\"} at timestamp 17000",
        ),
        one("the largest time", i64::MAX, "out of bounds"),
        one("older than retention", NOW - RETENTION_MS - 1, "too old sample for series {__name__=\"bad\"}"),
        one("the smallest time", i64::MIN, "too old sample"),
    ]
}

#[test]
fn each_is_answered_with_its_status_and_a_reason_and_changes_nothing() {
    let store = MemoryStore::default();
    assert_eq!(send(&store, Protocol::V1, &request_v1([series(&[("__name__", "good")])])).status, 204);
    let before = dump(&store);
    let mut count = 0;
    for bad in
        [framing(), protobuf(), labels_v1(), references_v2(), histograms(), times()].into_iter().flatten()
    {
        let reply = send_body(&store, bad.protocol, &bad.body);
        assert_eq!(reply.status, bad.status, "{}: {}", bad.what, reply.message);
        assert!(reply.message.contains(bad.says), "{}: {}", bad.what, reply.message);
        assert_eq!(reply.written, Written::default(), "{}", bad.what);
        assert_eq!(dump(&store), before, "{}", bad.what);
        count += 1;
    }
    assert!(count >= 45, "only {count}");
}

#[test]
fn hostile_repetition_is_bounded_in_memory_and_words() {
    let store = MemoryStore::default();
    // Empty entries, two bytes each: the body is small once compressed, what it asks for is not.
    for (what, unit, protocol) in [
        ("symbols", &b"\x22\x00"[..], Protocol::V2),
        ("metadata entries", &b"\x1a\x03\x12\x01x"[..], Protocol::V1),
    ] {
        let reply = send(&store, protocol, &unit.repeat((9 << 20) / unit.len()));
        assert_eq!(reply.status, 400, "{what}");
        assert!(reply.message.contains(what), "{}", reply.message);
    }
    let mut samples = vec![0x0a, 0x80, 0x80, 0x80, 0x08];
    samples.extend(b"\x12\x00".repeat(8 << 20));
    assert!(send(&store, Protocol::V1, &samples).message.contains("more than 4194304 samples"));
    let mut histograms = vec![0x0a, 0x80, 0x80, 0x80, 0x08];
    histograms.extend(b"\x22\x00".repeat(8 << 20));
    assert!(send(&store, Protocol::V1, &histograms).message.contains("more than 1048576 histograms"));
    // A million unsound series: a hundred are told.
    let reply = send(&store, Protocol::V1, &b"\x0a\x00".repeat(1 << 20));
    assert!(reply.message.ends_with("and 1048476 more"), "{}", reply.message.len());
    assert!(reply.message.len() < 20_000);
}
