//! From a request to its answer.

use std::cell::Cell;

use crate::ingest::snappy::{self, DECOMPRESSED_BYTES_MAX};
use crate::model::{Labels, TenantId, TimeSpan, Timestamp};
use crate::storage::{
    Acceptance, Append, AppendError, Batch, DuplicatePolicy, OutOfOrder, Outcome, RejectReason, Rejection,
    SampleKind,
};

use super::decode::{Decoded, decode, decode_with};
use super::problems::Problems;
use super::recall::Recall;
use super::{Protocol, WriteRequestError, negotiate};

/// How far ahead of the clock a sample may be, in milliseconds; upstream's bound.
pub const AHEAD_MS_MAX: i64 = 10 * 60 * 1_000;

/// How long a sender is asked to wait when too much is queued, in seconds.
const BUSY_RETRY_AFTER_S: u32 = 1;
/// How long a sender is asked to wait when the disk refuses, in seconds.
const UNAVAILABLE_RETRY_AFTER_S: u32 = 5;

/// What is accepted, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivePolicy<'a> {
    /// The clock.
    pub now_ms: Timestamp,
    /// How old a sample may be; 0: any age.
    pub retention_ms: i64,
    /// How far behind its series' newest sample it may be.
    pub out_of_order: OutOfOrder,
    /// What a second sample at the same time does.
    pub duplicate: DuplicatePolicy,
    /// Messages that are accepted.
    pub accepted: &'a [Protocol],
    /// Longest message before compression, in bytes.
    pub decompressed_bytes_max: usize,
}

impl ReceivePolicy<'_> {
    /// The default: any order, the last one wins, both protocols, 32 MiB.
    pub fn new(now_ms: Timestamp, retention_ms: i64) -> Self {
        Self {
            now_ms,
            retention_ms,
            out_of_order: OutOfOrder::Unlimited,
            duplicate: DuplicatePolicy::LastWins,
            accepted: &Protocol::ALL,
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
        }
    }

    /// The rules for the store.
    pub fn acceptance(&self) -> Acceptance {
        let start = match self.retention_ms {
            0 => Timestamp::MIN,
            retention_ms => self.now_ms.saturating_sub(retention_ms),
        };
        Acceptance {
            out_of_order: self.out_of_order,
            duplicate: self.duplicate,
            span: TimeSpan::new(start, self.now_ms.saturating_add(AHEAD_MS_MAX)),
        }
    }
}

/// The headers that matter. The method and the length of the body are the server's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteHeaders<'a> {
    /// `Content-Type`
    pub content_type: Option<&'a str>,
    /// `Content-Encoding`
    pub content_encoding: Option<&'a str>,
}

/// What was stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Floats.
    pub samples: usize,
    /// Native histograms.
    pub histograms: usize,
    /// Exemplars.
    pub exemplars: usize,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteReply {
    /// HTTP status.
    pub status: u16,
    /// Body, in plain text without an end of line; empty with 204.
    pub message: String,
    /// Protocol of the request; `None` where its headers do not say.
    pub protocol: Option<Protocol>,
    /// What was stored.
    pub written: Written,
    /// Value of `Retry-After`, in seconds.
    pub retry_after_s: Option<u32>,
    /// Samples of both kinds that were left out for their labels:
    /// `prometheus_api_remote_write_invalid_labels_samples_total`.
    pub samples_with_invalid_labels: u64,
    /// What is left out without the sender being told, for the log: exemplars that cannot be kept.
    pub notes: Problems,
}

impl WriteReply {
    /// The `-Written` headers. Protocol 2.0 wants them with every answer, errors too; 1.0 does not know them, and
    /// some senders take a zero for a loss.
    pub fn written_headers(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let headers = [
            ("X-Prometheus-Remote-Write-Samples-Written", self.written.samples),
            ("X-Prometheus-Remote-Write-Histograms-Written", self.written.histograms),
            ("X-Prometheus-Remote-Write-Exemplars-Written", self.written.exemplars),
        ];
        headers.into_iter().filter(|_| self.protocol != Some(Protocol::V1))
    }

    fn new(status: u16, message: String, protocol: Option<Protocol>) -> Self {
        Self {
            status,
            message,
            protocol,
            written: Written::default(),
            retry_after_s: None,
            samples_with_invalid_labels: 0,
            notes: Problems::default(),
        }
    }

    fn refused(error: &WriteRequestError, protocol: Option<Protocol>) -> Self {
        Self::new(error.status(), error.to_string(), protocol)
    }
}

/// Answers a request: reads its headers, then as [`receive`]. Blocks until the samples are durable.
pub fn answer(
    store: &dyn Append,
    tenant: &TenantId,
    headers: WriteHeaders<'_>,
    body: &[u8],
    policy: &ReceivePolicy<'_>,
) -> WriteReply {
    let protocol = match negotiate(headers.content_type, headers.content_encoding) {
        Ok(protocol) => protocol,
        Err(error) => return WriteReply::refused(&error.into(), None),
    };
    match protocol.ensure_accepted(policy.accepted) {
        Ok(()) => receive(store, tenant, protocol, body, policy),
        Err(error) => WriteReply::refused(&error.into(), Some(protocol)),
    }
}

/// Longest message whose memory a thread keeps for the next one, in bytes.
const KEPT_BYTES_MAX: usize = 4 << 20;

thread_local! {
    /// Where messages are decompressed: fresh memory would be given by the system, and zeroed, for each of them.
    static PLAIN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Stores the sound part of a compressed body and answers what became of the whole.
pub fn receive(
    store: &dyn Append,
    tenant: &TenantId,
    protocol: Protocol,
    body: &[u8],
    policy: &ReceivePolicy<'_>,
) -> WriteReply {
    let mut plain = PLAIN.take();
    let reply = receive_into(&mut plain, store, tenant, protocol, body, policy);
    if plain.capacity() <= KEPT_BYTES_MAX {
        PLAIN.set(plain);
    }
    reply
}

/// See [`receive`]; decompresses into `plain`.
fn receive_into(
    plain: &mut Vec<u8>,
    store: &dyn Append,
    tenant: &TenantId,
    protocol: Protocol,
    body: &[u8],
    policy: &ReceivePolicy<'_>,
) -> WriteReply {
    let unpacked = snappy::decompress(body, policy.decompressed_bytes_max, plain);
    let recall = Recall { store, tenant };
    let decoded =
        unpacked.map_err(WriteRequestError::from).and_then(|()| decode_with(protocol, plain, &recall));
    let mut decoded = match decoded {
        Ok(decoded) => decoded,
        Err(error) => return WriteReply::refused(&error, Some(protocol)),
    };
    let mut outcome = append(store, tenant, &mut decoded, policy);
    if outcome == Err(AppendError::Forgotten) {
        // Rare: series left the store while the body was read.
        decoded = match decode(protocol, plain) {
            Ok(decoded) => decoded,
            Err(error) => return WriteReply::refused(&error, Some(protocol)),
        };
        outcome = append(store, tenant, &mut decoded, policy);
    }
    let Decoded { mut problems, mut notes, samples_with_invalid_labels, .. } = decoded;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return failed(&error, protocol),
    };
    if !outcome.rejections.is_empty()
        && let Ok(again) = decode(protocol, plain)
    {
        // The store took the batch. Decoding it a second time is rare and gives the same places.
        for refusal in &outcome.refusals {
            problems.push(|| refusal.to_string());
        }
        explain(&outcome.rejections, &again.batch, protocol, &mut problems, &mut notes);
    }
    let status = if problems.is_empty() { 204 } else { 400 };
    WriteReply {
        written: Written {
            samples: outcome.floats,
            histograms: outcome.histograms,
            exemplars: outcome.exemplars,
        },
        samples_with_invalid_labels,
        notes,
        ..WriteReply::new(status, problems.to_string(), Some(protocol))
    }
}

/// Gives the batch to the store, where there is something in it.
fn append(
    store: &dyn Append,
    tenant: &TenantId,
    decoded: &mut Decoded,
    policy: &ReceivePolicy<'_>,
) -> Result<Outcome, AppendError> {
    let batch = std::mem::take(&mut decoded.batch);
    if batch.is_empty() {
        return Ok(Outcome::default());
    }
    store.append(tenant, batch, &policy.acceptance())
}

/// The answer when the store took nothing; worth trying again.
fn failed(error: &AppendError, protocol: Protocol) -> WriteReply {
    let (status, retry_after_s) = match error {
        // Not 429: senders give a batch up on 429 unless they are told otherwise, and on 5xx they never do.
        AppendError::Busy => (503, BUSY_RETRY_AFTER_S),
        _ => (503, UNAVAILABLE_RETRY_AFTER_S),
    };
    WriteReply {
        retry_after_s: Some(retry_after_s),
        ..WriteReply::new(status, error.to_string(), Some(protocol))
    }
}

/// Says of each refused sample why, and which it was. Limits on series were told of before, all their samples at once.
fn explain(
    rejections: &[Rejection],
    batch: &Batch,
    protocol: Protocol,
    problems: &mut Problems,
    notes: &mut Problems,
) {
    for rejection in rejections.iter().filter(|rejection| rejection.reason != RejectReason::Limit) {
        let (what, timestamp) = match rejection.kind {
            SampleKind::Float => ("", batch.floats[rejection.index].timestamp),
            SampleKind::Histogram => ("", batch.histograms[rejection.index].timestamp),
            SampleKind::Exemplar => ("exemplar: ", batch.exemplars[rejection.index].timestamp),
        };
        let reason = match rejection.reason {
            RejectReason::TooFarAhead => "out of bounds: timestamp is too far in the future".to_owned(),
            RejectReason::OutOfOrder if rejection.kind == SampleKind::Exemplar => {
                "out of order exemplar".to_owned()
            }
            reason => format!("{what}{reason}"),
        };
        // An exemplar is a service: only 2.0 is told, and only what a sender can put right.
        let is_told = rejection.kind != SampleKind::Exemplar
            || (protocol == Protocol::V2 && rejection.reason == RejectReason::OutOfOrder);
        let list = if is_told { &mut *problems } else { &mut *notes };
        list.push(|| {
            let labels = Labels::from_bytes(batch.labels_of(&batch.series[rejection.series]));
            let labels = labels.expect("the decoder writes canonical labels");
            format!("{reason} for series {labels} at timestamp {timestamp}")
        });
    }
}
