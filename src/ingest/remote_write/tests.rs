//! Whole requests against the plain store.

use super::*;
use crate::model::{Labels, TenantId};
use crate::storage::{Batch, MemoryStore};

const NOW: i64 = 1_700_000_000_000;

fn send(store: &MemoryStore, protocol: Protocol, body: &[u8]) -> WriteReply {
    let headers =
        WriteHeaders { content_type: Some(protocol.content_type()), content_encoding: Some("snappy") };
    answer(store, &TenantId::default(), headers, body, &ReceivePolicy::new(NOW, 15 * 86_400_000))
}

fn small_batch() -> Batch {
    let mut batch = Batch::default();
    batch.begin_series(&Labels::from_pairs([("__name__", "up"), ("job", "node")]));
    batch.push_float(NOW, 0, 1.0);
    batch
}

#[test]
fn both_protocols_store_a_sample() {
    for (protocol, body) in [
        (Protocol::V1, encode_v1(&small_batch()).expect("encodes")),
        (Protocol::V2, encode_v2(&small_batch()).expect("encodes")),
    ] {
        let reply = send(&MemoryStore::default(), protocol, &body);
        assert_eq!((reply.status, reply.message.as_str()), (204, ""));
        assert_eq!(reply.written, Written { samples: 1, histograms: 0, exemplars: 0 });
    }
}
