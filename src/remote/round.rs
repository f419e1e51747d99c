//! One round: what a receiver is sent at a time, as finished requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::config::{MESSAGES, RemoteWriteConfig};
use super::cursor::Cursor;
use super::metrics::{Kinds, ReceiverMetrics};
use super::outbox::{ForwardedLog, RemoteLogError};
use crate::ingest::remote_write::{Protocol, encode_v1, encode_v2};
use crate::model::{Labels, METRIC_NAME, Metadata, Timestamp};
use crate::relabel;
use crate::storage::Batch;

/// Most samples of a round, however many shards there are: what a receiver may cost in memory.
const ROUND_SAMPLES_MAX: usize = 20_000;
/// Endings that the series of a family add to its name.
const SERIES_ENDINGS: [&str; 6] = ["_bucket", "_count", "_sum", "_total", "_created", "_info"];

/// One request, ready to be sent again and again.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) body: Bytes,
    pub(super) counts: Kinds<u64>,
    /// Families in a request of metadata alone.
    pub(super) metadata: u64,
    pub(super) newest: Timestamp,
}

/// What is sent at a time. The shards may be sent beside each other, the requests of each in their order.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) shards: Vec<Vec<Request>>,
    /// Everything up to here is in it, or was left out for good; `None` where nothing was read.
    pub(super) through: Option<u64>,
    pub(super) samples: usize,
    /// Whether there may be more.
    pub(super) is_full: bool,
}

/// How a receiver wants its samples.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wishes {
    pub(super) config: RemoteWriteConfig,
    pub(super) external_labels: Labels,
}

impl Wishes {
    pub(super) fn protocol(&self) -> Protocol {
        if self.config.own.protobuf_message == MESSAGES[1] { Protocol::V2 } else { Protocol::V1 }
    }

    pub(super) fn samples_per_send(&self) -> usize {
        usize::try_from(self.config.own.queue_config.max_samples_per_send).unwrap_or(usize::MAX)
    }

    /// Protocol 2.0 always carries native histograms.
    fn takes_histograms(&self) -> bool {
        self.config.own.send_native_histograms || self.protocol() == Protocol::V2
    }

    /// A series' labels as the receiver gets them; `None` where a rule drops it.
    fn labels(&self, logged: &[u8]) -> Option<Labels> {
        let labels = Labels::from_bytes(logged).expect("the log's reader has checked them");
        let rules = &self.config.own.write_relabel_configs;
        if rules.is_empty() && self.external_labels.is_empty() {
            return Some(labels);
        }
        let mut builder = labels.to_builder();
        for label in self.external_labels.iter().filter(|label| labels.get(label.name).is_none()) {
            builder.set(label.name, label.value);
        }
        let is_kept = relabel::apply(rules, &mut builder);
        builder.build().ok().filter(|labels| is_kept && !labels.is_empty())
    }
}

/// Makes rounds for one receiver. Blocks, on the disk.
#[derive(Debug)]
pub(super) struct RoundMaker {
    pub(super) wishes: Arc<Wishes>,
    pub(super) log: Arc<dyn ForwardedLog>,
    pub(super) cursor: Cursor,
    pub(super) metrics: Arc<ReceiverMetrics>,
}

impl RoundMaker {
    /// The next round, over so many shards. Whole batches of the log, so that a position can stand behind them.
    pub(super) fn next(&mut self, shards: usize, now: Timestamp) -> Result<Round, RemoteLogError> {
        let samples_max = shards.saturating_mul(self.wishes.samples_per_send()).min(ROUND_SAMPLES_MAX);
        let mut drafts: Vec<Draft> = (0..shards.max(1)).map(|_| Draft::default()).collect();
        let mut round = Round::default();
        loop {
            let seq = match self.cursor.peek() {
                Ok(Some(seq)) => seq,
                Ok(None) => break,
                // What was taken is sent all the same; the next round meets the error again.
                Err(_) if round.through.is_some() => break,
                Err(error) => return Err(error),
            };
            if round.samples >= samples_max {
                round.is_full = true;
                break;
            }
            round.through = Some(seq);
            let batch = self.cursor.take();
            round.samples += batch.sample_count();
            self.share_out(&batch, &mut drafts, now);
        }
        for draft in &mut drafts {
            self.finish(draft);
        }
        round.shards =
            drafts.into_iter().map(|draft| draft.requests).filter(|list| !list.is_empty()).collect();
        Ok(round)
    }

    /// All families that are known, as requests of protocol 1.0.
    pub(super) fn metadata_requests(&self) -> Vec<Request> {
        let per_send = usize::try_from(self.wishes.config.own.metadata_config.max_samples_per_send);
        let families = self.log.outbox().families();
        let families: Vec<_> = families.iter().collect();
        let requests = families.chunks(per_send.unwrap_or(usize::MAX).max(1)).filter_map(|families| {
            let mut batch = Batch::default();
            for (name, metadata) in families {
                batch.push_metadata(name, (*metadata).clone());
            }
            let body = encode_v1(&batch).ok()?;
            let metadata = families.len() as u64;
            Some(Request { body: body.into(), counts: Kinds::default(), metadata, newest: 0 })
        });
        requests.collect()
    }

    fn share_out(&self, batch: &Batch, drafts: &mut [Draft], now: Timestamp) {
        let age_limit = self.wishes.config.own.queue_config.sample_age_limit.0;
        let oldest = if age_limit > 0 { now.saturating_sub(age_limit) } else { Timestamp::MIN };
        for series in &batch.series {
            let count = Kinds {
                samples: series.floats.len() as u64,
                histograms: series.histograms.len() as u64,
                exemplars: series.exemplars.len() as u64,
            };
            let Some(labels) = self.wishes.labels(batch.labels_of(series)) else {
                self.metrics.dropped_series.add(count);
                continue;
            };
            let shard = (labels.hash64() % drafts.len() as u64) as usize;
            let mut too_old = Kinds::default();
            let mut place =
                Place { maker: self, draft: &mut drafts[shard], labels: &labels, is_begun: false };
            for entry in &batch.floats[series.floats.clone()] {
                if entry.timestamp < oldest {
                    too_old.samples += 1;
                    continue;
                }
                place.make_room(entry.timestamp).push_float(
                    entry.timestamp,
                    entry.start_timestamp,
                    entry.value,
                );
            }
            let histograms = &batch.histograms[series.histograms.clone()];
            for entry in histograms.iter().filter(|_| self.wishes.takes_histograms()) {
                if entry.timestamp < oldest {
                    too_old.histograms += 1;
                    continue;
                }
                let histogram = Arc::clone(&entry.histogram);
                place.make_room(entry.timestamp).push_histogram(
                    entry.timestamp,
                    entry.start_timestamp,
                    histogram,
                );
            }
            if self.wishes.config.own.send_exemplars && place.is_begun {
                // They go with the samples that they belong to: a receiver refuses a series without samples.
                let exemplars = &batch.exemplars[series.exemplars.clone()];
                exemplars.iter().for_each(|exemplar| place.draft.batch.push_exemplar(exemplar.clone()));
            }
            self.metrics.dropped_old.add(too_old);
        }
    }

    /// Makes a request of what a draft holds.
    fn finish(&self, draft: &mut Draft) {
        let mut batch = std::mem::take(&mut draft.batch);
        draft.count = 0;
        let newest = std::mem::take(&mut draft.newest);
        if batch.is_empty() {
            return;
        }
        let counts = Kinds {
            samples: batch.floats.len() as u64,
            histograms: batch.histograms.len() as u64,
            exemplars: batch.exemplars.len() as u64,
        };
        let encoded = match self.wishes.protocol() {
            Protocol::V1 => encode_v1(&batch),
            Protocol::V2 => {
                self.add_metadata(&mut batch);
                encode_v2(&batch)
            }
        };
        match encoded {
            Ok(body) => draft.requests.push(Request { body: body.into(), counts, metadata: 0, newest }),
            Err(error) => {
                self.metrics.failed.add(counts);
                tracing::error!(%error, "samples cannot be encoded and are not sent");
            }
        }
    }

    /// Protocol 2.0 says with each series what its family says of itself.
    fn add_metadata(&self, batch: &mut Batch) {
        if !self.wishes.config.own.metadata_config.send {
            return;
        }
        let families = self.log.outbox().families();
        let mut found: BTreeMap<String, Metadata> = BTreeMap::new();
        for series in &batch.series {
            let labels = Labels::from_bytes(batch.labels_of(series)).expect("they were built");
            let Some(name) = labels.get(METRIC_NAME) else { continue };
            if !found.contains_key(name)
                && let Some(metadata) = metadata_of(&families, name)
            {
                found.insert(name.to_owned(), metadata.clone());
            }
        }
        for (name, metadata) in found {
            batch.push_metadata(&name, metadata);
        }
    }
}

/// What the family of a series says of itself.
fn metadata_of<'a>(families: &'a BTreeMap<String, Metadata>, series: &str) -> Option<&'a Metadata> {
    families.get(series).or_else(|| {
        let names = SERIES_ENDINGS.iter().filter_map(|ending| series.strip_suffix(ending));
        names.filter_map(|name| families.get(name)).next()
    })
}

/// A request under way, and those before it.
#[derive(Debug, Default)]
struct Draft {
    batch: Batch,
    count: usize,
    newest: Timestamp,
    requests: Vec<Request>,
}

/// A series' place in the requests of its shard.
struct Place<'a> {
    maker: &'a RoundMaker,
    draft: &'a mut Draft,
    labels: &'a Labels,
    is_begun: bool,
}

impl Place<'_> {
    /// The batch that takes the next sample, with the series begun: a new one where the request is full.
    fn make_room(&mut self, timestamp: Timestamp) -> &mut Batch {
        if self.draft.count >= self.maker.wishes.samples_per_send() {
            self.maker.finish(self.draft);
            self.is_begun = false;
        }
        if !self.is_begun {
            self.draft.batch.begin_series(self.labels);
            self.is_begun = true;
        }
        self.draft.count += 1;
        self.draft.newest = self.draft.newest.max(timestamp);
        &mut self.draft.batch
    }
}
