//! The receiver's rules, one test each. Defined by: the remote write specifications 1.0 and 2.0.

use super::*;
use crate::model::{STALE_NAN_BITS, stale_nan};
use crate::storage::{
    Acceptance, AppendError, DuplicatePolicy, OutOfOrder, Outcome, RejectReason, Rejection, SampleKind,
};

fn sample(labels_refs: &[u32], value: f64, timestamp: i64) -> v2::TimeSeries {
    v2::TimeSeries {
        samples: vec![v2::Sample { value, timestamp, start_timestamp: 0 }],
        ..series_v2(labels_refs)
    }
}

fn headers_of(reply: &WriteReply) -> Vec<(&'static str, usize)> {
    reply.written_headers().collect()
}

#[test]
fn content_type_and_encoding_decide_before_the_body_is_read() {
    let store = MemoryStore::default();
    for (content_type, content_encoding, status) in [
        (Some("application/json"), Some("snappy"), 415),
        (Some("image/png"), Some("snappy"), 415),
        (Some("application/x-protobuf;proto=other.Message"), Some("snappy"), 415),
        (Some("application/x-protobuf"), Some("gzip"), 415),
        (Some("application/x-protobuf"), Some("deflate"), 415),
        (Some("application/x-protobuf"), Some("snappy"), 400),
        (None, None, 400),
    ] {
        let headers = WriteHeaders { content_type, content_encoding };
        let reply = answer(&store, &TenantId::default(), headers, b"0garbage", &ReceivePolicy::new(NOW, 0));
        assert_eq!(reply.status, status, "{content_type:?} {content_encoding:?}");
        assert!(!reply.message.is_empty());
    }
}

#[test]
fn a_protocol_can_be_left_out() {
    let store = MemoryStore::default();
    let policy = ReceivePolicy { accepted: &[Protocol::V1], ..ReceivePolicy::new(NOW, 0) };
    let headers = WriteHeaders { content_type: Some(Protocol::V2.content_type()), content_encoding: None };
    let reply = answer(&store, &TenantId::default(), headers, &[], &policy);
    assert_eq!(reply.status, 415);
    assert_eq!(headers_of(&reply).len(), 3);
}

#[test]
fn success_is_204_with_an_empty_body() {
    for (protocol, plain) in [
        (Protocol::V1, request_v1([series(&[("__name__", "up"), ("job", "node")])])),
        (Protocol::V2, request_v2([series_v2(&[1, 2, 3, 4])])),
    ] {
        let store = MemoryStore::default();
        let reply = send(&store, protocol, &plain);
        assert_eq!((reply.status, reply.message.as_str()), (204, ""));
        assert_eq!(dump(&store), [format!(r#"{{__name__="up", job="node"}} {NOW} 1"#)]);
    }
}

#[test]
fn an_empty_request_is_no_error() {
    let store = MemoryStore::default();
    for protocol in Protocol::ALL {
        assert_eq!(send(&store, protocol, &[]).status, 204);
    }
    // A 1.0 message that came as 2.0 has no field in common with it.
    let reply = send(&store, Protocol::V2, &request_v1([series(&[("__name__", "up")])]));
    assert_eq!((reply.status, reply.written), (204, Written::default()));
}

#[test]
fn written_headers_come_with_every_answer_of_2_0_and_none_of_1_0() {
    let store = MemoryStore::default();
    let full = v2::TimeSeries {
        histograms: vec![histogram()],
        exemplars: vec![v2::Exemplar { labels_refs: vec![5, 6], value: 1.0, timestamp: NOW }],
        ..series_v2(&[1, 2])
    };
    let full = v2::TimeSeries {
        samples: vec![v2::Sample { value: 1.0, timestamp: NOW - 1, start_timestamp: 0 }],
        ..full
    };
    let reply = send(&store, Protocol::V2, &request_v2([full]));
    assert_eq!(
        headers_of(&reply),
        [
            ("X-Prometheus-Remote-Write-Samples-Written", 1),
            ("X-Prometheus-Remote-Write-Histograms-Written", 1),
            ("X-Prometheus-Remote-Write-Exemplars-Written", 1)
        ]
    );
    let reply = send_body(&store, Protocol::V2, b"garbage");
    assert_eq!(headers_of(&reply).iter().map(|(_, count)| count).sum::<usize>(), 0);
    assert_eq!(headers_of(&reply).len(), 3);
    let reply = send(&store, Protocol::V1, &request_v1([series(&[("__name__", "up")])]));
    assert_eq!(headers_of(&reply), []);
}

#[test]
fn under_1_0_the_sound_part_is_stored_and_the_rest_told() {
    let store = MemoryStore::default();
    let mut ahead = series(&[("__name__", "ahead")]);
    ahead.samples[0].timestamp = NOW + AHEAD_MS_MAX + 1;
    let mut broken = histogram();
    broken.positive_deltas.clear();
    let reply = send(
        &store,
        Protocol::V1,
        &request_v1([
            series(&[("__name__", "first")]),
            ahead,
            series(&[("job", "nameless")]),
            histogram_series(broken),
            series(&[("__name__", "last")]),
        ]),
    );
    assert_eq!(reply.status, 400);
    for says in ["out of bounds", r#"{job="nameless"}"#, "spans need 3 buckets, have 0"] {
        assert!(reply.message.contains(says), "{}", reply.message);
    }
    assert_eq!(reply.samples_with_invalid_labels, 1);
    assert_eq!(reply.written.samples, 2);
    assert_eq!(
        dump(&store),
        [format!(r#"{{__name__="first"}} {NOW} 1"#), format!(r#"{{__name__="last"}} {NOW} 1"#)]
    );
}

#[test]
fn under_2_0_writes_are_partial_and_counted() {
    let store = MemoryStore::default();
    let mut broken = histogram();
    broken.count = Some(HistogramCount::Int(600));
    let reply = send(
        &store,
        Protocol::V2,
        &request_v2([
            series_v2(&[1, 2]),
            series_v2(&[3, 4]),
            series_v2(&[1, 77]),
            sample(&[1, 6], 1.0, NOW + AHEAD_MS_MAX + 1),
            sample(&[1, 4], 1.0, NOW - RETENTION_MS - 1),
            v2::TimeSeries { histograms: vec![broken, histogram()], ..sample(&[1, 5], 2.0, NOW - 1) },
        ]),
    );
    assert_eq!(reply.status, 400);
    assert_eq!(reply.written, Written { samples: 2, histograms: 1, exemplars: 0 });
    let lines: Vec<&str> = reply.message.lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    for says in [r#"got {job="node"}"#, "(size 7)", "is 600", "too far in the future", "too old sample"] {
        assert_eq!(lines.iter().filter(|line| line.contains(says)).count(), 1, "{says}: {lines:?}");
    }
    assert_eq!(
        dump(&store),
        [
            format!(r#"{{__name__="trace_id"}} {} 2, {NOW} count:6 sum:11.5"#, NOW - 1),
            format!(r#"{{__name__="up"}} {NOW} 1"#)
        ]
    );
}

/// A store that answers what it is told to.
struct Stubborn(Result<Outcome, AppendError>);

impl Append for Stubborn {
    fn append(&self, _: &TenantId, _: Batch, _: &Acceptance) -> Result<Outcome, AppendError> {
        self.0.clone()
    }
}

fn send_to(store: &dyn Append, protocol: Protocol, plain: &[u8]) -> WriteReply {
    let body = compress(plain).expect("compresses");
    receive(store, &TenantId::default(), protocol, &body, &ReceivePolicy::new(NOW, 0))
}

#[test]
fn what_can_be_tried_again_is_503_with_nothing_written() {
    let broken = v2::TimeSeries { labels_refs: vec![3, 4], ..series_v2(&[]) };
    let plain = request_v2([series_v2(&[1, 2]), broken]);
    for (error, status) in [
        (AppendError::Unavailable("cannot sync: disk full".to_owned()), 503),
        (AppendError::Closed, 503),
        (AppendError::Busy, 503),
    ] {
        let message = error.to_string();
        let reply = send_to(&Stubborn(Err(error)), Protocol::V2, &plain);
        assert_eq!((reply.status, reply.message), (status, message));
        assert_eq!(reply.written, Written::default());
        assert!(reply.retry_after_s.is_some_and(|seconds| seconds >= 1));
    }
}

#[test]
fn out_of_order_exemplars_are_told_under_2_0_only() {
    let rejection = |reason| Rejection { kind: SampleKind::Exemplar, index: 0, series: 0, reason };
    let outcome = |reason| Outcome { rejections: vec![rejection(reason)], floats: 1, ..Outcome::default() };
    let exemplar = v2::Exemplar { labels_refs: vec![5, 6], value: 1.0, timestamp: NOW };
    let second = request_v2([v2::TimeSeries { exemplars: vec![exemplar], ..series_v2(&[1, 2]) }]);
    let exemplar = v1::Exemplar { labels: vec![label("trace_id", "abc")], value: 1.0, timestamp: NOW };
    let first = request_v1([v1::TimeSeries { exemplars: vec![exemplar], ..series(&[("__name__", "up")]) }]);
    let reply = send_to(&Stubborn(Ok(outcome(RejectReason::OutOfOrder))), Protocol::V2, &second);
    assert_eq!(reply.status, 400);
    assert!(reply.message.starts_with(r#"out of order exemplar for series {__name__="up"}"#));
    assert_eq!(reply.written.samples, 1);
    let reply = send_to(&Stubborn(Ok(outcome(RejectReason::TooOld))), Protocol::V2, &second);
    assert_eq!(reply.status, 204);
    assert!(reply.notes.to_string().starts_with("exemplar: too old sample for series"), "{}", reply.notes);
    let reply = send_to(&Stubborn(Ok(outcome(RejectReason::OutOfOrder))), Protocol::V1, &first);
    assert_eq!((reply.status, reply.notes.len()), (204, 1));
}

#[test]
fn any_order_is_accepted_and_the_last_one_wins() {
    let store = MemoryStore::default();
    for (value, timestamp) in [(1.0, NOW), (2.0, NOW - 60_000), (3.0, NOW), (4.0, NOW + 1)] {
        assert_eq!(send(&store, Protocol::V2, &request_v2([sample(&[1, 2], value, timestamp)])).status, 204);
    }
    assert_eq!(dump(&store), [format!(r#"{{__name__="up"}} {} 2, {NOW} 3, {} 4"#, NOW - 60_000, NOW + 1)]);
}

#[test]
fn a_configured_window_and_refused_duplicates_are_told() {
    let store = MemoryStore::default();
    let policy = ReceivePolicy {
        out_of_order: OutOfOrder::Window(1_000),
        duplicate: DuplicatePolicy::Reject,
        ..ReceivePolicy::new(NOW, 0)
    };
    let send = |value, timestamp| {
        let body = compress(&request_v2([sample(&[1, 2], value, timestamp)])).expect("compresses");
        receive(&store, &TenantId::default(), Protocol::V2, &body, &policy)
    };
    assert_eq!(send(1.0, NOW).status, 204);
    assert_eq!(send(1.0, NOW).status, 204);
    assert_eq!(send(1.0, NOW - 1_000).status, 204);
    let reply = send(2.0, NOW);
    assert_eq!(reply.status, 400);
    assert!(reply.message.starts_with("duplicate sample for timestamp for series"), "{}", reply.message);
    let reply = send(1.0, NOW - 1_001);
    assert!(reply.message.starts_with("out of order sample for series"), "{}", reply.message);
    assert_eq!(reply.written.samples, 0);
}

#[test]
fn the_edges_of_the_accepted_times_are_inside() {
    let store = MemoryStore::default();
    for timestamp in [NOW + AHEAD_MS_MAX, NOW - RETENTION_MS] {
        assert_eq!(send(&store, Protocol::V2, &request_v2([sample(&[1, 2], 1.0, timestamp)])).status, 204);
    }
}

#[test]
fn histograms_finer_than_8_are_reduced_and_stored() {
    let store = MemoryStore::default();
    let fine = prompb::Histogram { schema: 10, ..histogram() };
    assert_eq!(send(&store, Protocol::V1, &request_v1([histogram_series(fine)])).status, 204);
    assert_eq!(dump(&store), [format!(r#"{{__name__="h"}} {NOW} count:6 sum:11.5"#)]);
}

#[test]
fn labels_are_sorted_and_empty_ones_left_out() {
    let store = MemoryStore::default();
    let unsorted = series(&[("zone", "a"), ("__name__", "up"), ("gone", ""), ("job", "node")]);
    assert_eq!(send(&store, Protocol::V1, &request_v1([unsorted])).status, 204);
    assert_eq!(send(&store, Protocol::V2, &request_v2([series_v2(&[3, 4, 1, 2])])).status, 204);
    assert_eq!(
        dump(&store),
        [
            format!(r#"{{__name__="up", job="node", zone="a"}} {NOW} 1"#),
            format!(r#"{{__name__="up", job="node"}} {NOW} 1"#)
        ]
    );
}

#[test]
fn names_may_be_any_utf_8() {
    let store = MemoryStore::default();
    let odd = series(&[("__name__", "resource cpu.usage"), ("job name", "a\nb"), ("ort", "Zürich")]);
    assert_eq!(send(&store, Protocol::V1, &request_v1([odd])).status, 204);
    assert!(dump(&store)[0].contains(r#""job name"="a\nb""#), "{:?}", dump(&store));
}

#[test]
fn stale_markers_and_odd_values_keep_their_bits() {
    let values = [stale_nan(), f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE / 2.0];
    let samples = values.iter().zip(NOW..).map(|(&value, timestamp)| v1::Sample { value, timestamp });
    let request = v1::TimeSeries { samples: samples.collect(), ..series(&[("__name__", "up")]) };
    let batch = decode_v1(&request_v1([request])).expect("a sound message").batch;
    let bits: Vec<u64> = batch.floats.iter().map(|entry| entry.value.to_bits()).collect();
    assert_eq!(bits, values.map(f64::to_bits));
    assert_eq!(bits[0], STALE_NAN_BITS);
    let stale = prompb::Histogram { sum: stale_nan(), timestamp: NOW, ..prompb::Histogram::default() };
    let batch = decode_v1(&request_v1([histogram_series(stale)])).expect("a sound message").batch;
    assert!(batch.histograms[0].histogram.is_stale());
}

#[test]
fn start_timestamps_of_both_generations_arrive() {
    let store = MemoryStore::default();
    let started = |start_timestamp| v2::Sample { value: 1.0, timestamp: NOW, start_timestamp };
    let current = v2::TimeSeries {
        samples: vec![started(NOW - 50)],
        histograms: vec![prompb::Histogram { start_timestamp: NOW - 40, timestamp: NOW + 1, ..histogram() }],
        ..series_v2(&[1, 2])
    };
    let earlier =
        v2::TimeSeries { samples: vec![started(0)], created_timestamp: NOW - 30, ..series_v2(&[1, 4]) };
    assert_eq!(send(&store, Protocol::V2, &request_v2([current, earlier])).status, 204);
    assert_eq!(
        dump(&store),
        [
            format!(r#"{{__name__="node"}} {NOW} since {} 1"#, NOW - 30),
            format!(
                r#"{{__name__="up"}} {NOW} since {} 1, {} since {} count:6 sum:11.5"#,
                NOW - 50,
                NOW + 1,
                NOW - 40
            )
        ]
    );
}

#[test]
fn exemplars_are_kept_or_dropped_as_upstream_does() {
    let store = MemoryStore::default();
    let exemplar = |labels_refs: &[u32], timestamp| v2::Exemplar {
        labels_refs: labels_refs.to_vec(),
        value: 7.0,
        timestamp,
    };
    // The second has no time of its own, the third labels that are no set, the fourth leads nowhere.
    let series = v2::TimeSeries {
        exemplars: vec![
            exemplar(&[5, 6], NOW - 1),
            exemplar(&[], 0),
            exemplar(&[5, 6, 5, 6], NOW),
            exemplar(&[5, 60], NOW),
        ],
        ..series_v2(&[1, 2])
    };
    let reply = send(&store, Protocol::V2, &request_v2([series]));
    assert_eq!((reply.status, reply.written.samples, reply.written.exemplars), (400, 1, 2));
    assert_eq!(reply.message.lines().count(), 2, "{}", reply.message);
    assert!(
        reply.message.lines().all(|line| line.starts_with("parsing exemplar for series {__name__=\"up\"}"))
    );
    let stored = store.exemplars(&TenantId::default(), &[], TimeSpan::ALL).expect("memory does not fail");
    let times: Vec<i64> = stored[0].exemplars.iter().map(|exemplar| exemplar.timestamp).collect();
    assert_eq!(times, [NOW - 1, NOW]);
    // Too long for an exemplar: dropped without a word.
    let long = "x".repeat(129);
    let exemplar = v1::Exemplar { labels: vec![label("trace_id", &long)], value: 1.0, timestamp: NOW };
    let series = v1::TimeSeries { exemplars: vec![exemplar], ..super::series(&[("__name__", "up")]) };
    let decoded = decode_v1(&request_v1([series])).expect("a sound message");
    assert_eq!((decoded.batch.exemplars.len(), decoded.exemplars_dropped), (0, 1));
    assert!(decoded.problems.is_empty());
    assert!(decoded.notes.to_string().ends_with("are longer than 128 characters"), "{}", decoded.notes);
}

#[test]
fn metadata_is_kept_by_family() {
    let store = MemoryStore::default();
    let symbols = ["", "__name__", "a_seconds_bucket", "a_seconds_sum", "le", "1", "helps", "seconds"];
    let metadata = Some(v2::Metadata { r#type: 3, help_ref: 6, unit_ref: 7 });
    let request = v2::Request {
        symbols: symbols.map(str::to_owned).to_vec(),
        timeseries: vec![
            v2::TimeSeries { metadata, ..series_v2(&[1, 2, 4, 5]) },
            v2::TimeSeries { metadata, ..series_v2(&[1, 3]) },
        ],
    };
    let batch = decode_v2(&request.encode_to_vec()).expect("a sound message").batch;
    assert_eq!(batch.metadata.len(), 1);
    assert_eq!(send(&store, Protocol::V2, &request.encode_to_vec()).status, 204);
    let pushed = v1::MetricMetadata {
        r#type: 1,
        metric_family_name: "b_total".to_owned(),
        help: "counts".to_owned(),
        unit: String::new(),
    };
    let request = v1::WriteRequest { timeseries: Vec::new(), metadata: vec![pushed] };
    assert_eq!(send(&store, Protocol::V1, &request.encode_to_vec()).status, 204);
    let known = store.metadata(&TenantId::default(), "").expect("memory does not fail");
    let known: Vec<_> = known
        .iter()
        .map(|(metric, all)| format!("{metric} {} {} {}", all[0].metric_type, all[0].help, all[0].unit))
        .collect();
    assert_eq!(known, ["a_seconds histogram helps seconds", "b_total counter counts "]);
}

#[test]
fn fields_may_come_in_any_order() {
    // The series before its symbols; in it, the sample before the references, which come one by one.
    let series = v2::TimeSeries { labels_refs: Vec::new(), ..series_v2(&[]) }.encode_to_vec();
    let mut plain = vec![0x2a, u8::try_from(series.len() + 4).expect("short")];
    plain.extend(&series);
    plain.extend([0x08, 1, 0x08, 2]);
    plain.extend(request_v2([]));
    let store = MemoryStore::default();
    assert_eq!(send(&store, Protocol::V2, &plain).status, 204);
    assert_eq!(dump(&store), [format!(r#"{{__name__="up"}} {NOW} 1"#)]);
}
