//! The seam's plainest implementer: sorted maps behind one lock. Tests compare the database with it, and PromQL
//! scripts may run on it. Nothing here is fast or durable.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, RwLock, RwLockReadGuard};

use crate::lock::{read, write};
use crate::model::{
    Exemplar, Fingerprint, Histogram, Labels, Matcher, Metadata, TenantId, TimeSpan, Timestamp,
};

use super::Columns;
use super::append::{Acceptance, Append, AppendError, Batch, Outcome, RejectReason, Rejection, SampleKind};
use super::select::{
    Estimate, LabelPair, LabelsRequest, Piece, ReadRows, Select, SelectError, SelectRequest, Selection,
    SeriesExemplars, SymbolTable,
};

/// Everything in memory, in sorted maps.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tenants: RwLock<BTreeMap<TenantId, Tenant>>,
}

#[derive(Clone, Debug, Default)]
struct Tenant {
    series: BTreeMap<Fingerprint, Series>,
    metadata: BTreeMap<String, Vec<Metadata>>,
}

#[derive(Clone, Debug, Default)]
struct Series {
    labels: Labels,
    samples: BTreeMap<Timestamp, StoredSample>,
    exemplars: BTreeMap<Timestamp, Exemplar>,
}

#[derive(Clone, Debug)]
struct StoredSample {
    start_timestamp: Timestamp,
    value: StoredValue,
}

#[derive(Clone, Debug)]
enum StoredValue {
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl StoredValue {
    /// Bit for bit: NaNs are equal to themselves.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => a == b,
            _ => false,
        }
    }
}

impl Series {
    fn write(
        &mut self,
        timestamp: Timestamp,
        sample: StoredSample,
        acceptance: &Acceptance,
    ) -> Result<(), RejectReason> {
        let newest = self.samples.last_key_value().map(|(t, _)| *t);
        let same_at_time = self.samples.get(&timestamp).map(|stored| stored.value.is_same(&sample.value));
        acceptance.judge(timestamp, newest, same_at_time)?;
        self.samples.insert(timestamp, sample);
        Ok(())
    }

    fn matches(&self, matchers: &[Matcher]) -> bool {
        matchers.iter().all(|matcher| matcher.matches_labels(&self.labels))
    }

    /// The series with its samples in `span` alone.
    fn part(&self, span: TimeSpan) -> Self {
        let samples = self.samples.range(span.start..=span.end).map(|(t, sample)| (*t, sample.clone()));
        Self { labels: self.labels.clone(), samples: samples.collect(), exemplars: BTreeMap::new() }
    }

    fn has_samples_in(&self, span: TimeSpan) -> bool {
        !span.is_empty() && self.samples.range(span.start..=span.end).next().is_some()
    }
}

impl MemoryStore {
    fn read_tenants(&self) -> RwLockReadGuard<'_, BTreeMap<TenantId, Tenant>> {
        read(&self.tenants)
    }

    fn matching<T>(
        &self,
        tenant: &TenantId,
        matcher_sets: &[Vec<Matcher>],
        span: TimeSpan,
        mut visit: impl FnMut(&Series) -> T,
    ) -> Vec<T> {
        let tenants = self.read_tenants();
        let Some(tenant) = tenants.get(tenant) else { return Vec::new() };
        tenant
            .series
            .values()
            .filter(|series| matcher_sets.is_empty() || matcher_sets.iter().any(|set| series.matches(set)))
            .filter(|series| series.has_samples_in(span))
            .map(&mut visit)
            .collect()
    }
}

impl MemoryStore {
    /// Deletes samples and exemplars within `span` of the series that pass one whole set of matchers.
    pub fn delete(&self, tenant: &TenantId, matcher_sets: &[Vec<Matcher>], span: TimeSpan) {
        let mut tenants = write(&self.tenants);
        for series in tenants.entry(tenant.clone()).or_default().series.values_mut() {
            if matcher_sets.iter().any(|set| series.matches(set)) {
                series.samples.retain(|t, _| !span.contains(*t));
                series.exemplars.retain(|t, _| !span.contains(*t));
            }
        }
    }
}

impl Append for MemoryStore {
    fn append(
        &self,
        tenant: &TenantId,
        batch: Batch,
        acceptance: &Acceptance,
    ) -> Result<Outcome, AppendError> {
        let mut tenants = write(&self.tenants);
        let tenant = tenants.entry(tenant.clone()).or_default();
        let mut outcome = Outcome::default();
        for (series_index, entry) in batch.series.iter().enumerate() {
            let labels = Labels::from_bytes(batch.labels_of(entry)).expect("a batch holds canonical labels");
            let series = tenant.series.entry(labels.fingerprint()).or_default();
            series.labels = labels;
            let mut reject = |kind, index, reason| {
                outcome.rejections.push(Rejection { kind, index, series: series_index, reason });
            };
            for index in entry.floats.clone() {
                let float = batch.floats[index];
                let sample = StoredSample {
                    start_timestamp: float.start_timestamp,
                    value: StoredValue::Float(float.value),
                };
                match series.write(float.timestamp, sample, acceptance) {
                    Ok(()) => outcome.floats += 1,
                    Err(reason) => reject(SampleKind::Float, index, reason),
                }
            }
            for index in entry.histograms.clone() {
                let entry = &batch.histograms[index];
                let value = StoredValue::Histogram(Arc::clone(&entry.histogram));
                let sample = StoredSample { start_timestamp: entry.start_timestamp, value };
                match series.write(entry.timestamp, sample, acceptance) {
                    Ok(()) => outcome.histograms += 1,
                    Err(reason) => reject(SampleKind::Histogram, index, reason),
                }
            }
            for index in entry.exemplars.clone() {
                let exemplar = batch.exemplars[index].clone();
                series.exemplars.insert(exemplar.timestamp, exemplar);
                outcome.exemplars += 1;
            }
        }
        tenant.series.retain(|_, series| !series.samples.is_empty() || !series.exemplars.is_empty());
        for entry in batch.metadata {
            let known = tenant.metadata.entry(entry.metric).or_default();
            if !known.contains(&entry.metadata) {
                known.push(entry.metadata);
            }
        }
        Ok(outcome)
    }
}

/// Rows of one selection, copied out when it was made, so that later writes do not show.
struct MemoryRows {
    rows: Vec<Series>,
    span: TimeSpan,
}

impl ReadRows for MemoryRows {
    fn read(&self, rows: Range<usize>, out: &mut Columns) -> Result<(), SelectError> {
        for series in &self.rows[rows] {
            out.begin_row();
            if self.span.is_empty() {
                continue;
            }
            for (timestamp, sample) in series.samples.range(self.span.start..=self.span.end) {
                match &sample.value {
                    StoredValue::Float(value) => out.push_float(*timestamp, sample.start_timestamp, *value),
                    StoredValue::Histogram(histogram) => {
                        out.push_histogram(*timestamp, sample.start_timestamp, Arc::clone(histogram));
                    }
                }
            }
        }
        Ok(())
    }

    fn pieces(&self, row: usize) -> Result<Vec<Piece>, SelectError> {
        let mut times = self.rows[row]
            .samples
            .range(self.span.start..=self.span.end.max(self.span.start))
            .map(|(t, _)| *t);
        let Some(first) = times.next() else { return Ok(Vec::new()) };
        let mut piece = Piece { span: TimeSpan::new(first, first), count: 1, statistics: None, sole: true };
        for t in times {
            piece.span.end = t;
            piece.count += 1;
        }
        Ok(vec![piece])
    }
}

impl Select for MemoryStore {
    fn select(
        &self,
        tenant: &TenantId,
        request: &SelectRequest<'_>,
        symbols: &mut SymbolTable,
    ) -> Result<Selection, SelectError> {
        let tenants = self.read_tenants();
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        let rows: Vec<Series> = tenants
            .get(tenant)
            .into_iter()
            .flat_map(|tenant| tenant.series.values())
            .filter(|series| series.matches(request.matchers) && series.has_samples_in(request.span))
            .take(limit)
            .map(|series| series.part(request.span))
            .collect();
        drop(tenants);
        let labels: Vec<Labels> = rows.iter().map(|series| series.labels.clone()).collect();
        let samples = rows.iter().map(|series| series.samples.len() as u64).sum();
        let mut selection = Selection::new(Box::new(MemoryRows { rows, span: request.span }));
        for labels in &labels {
            let needed = labels.iter().filter(|label| request.labels_needed.includes(label.name));
            let pairs: Vec<LabelPair> = needed
                .map(|label| LabelPair {
                    name: symbols.intern(label.name),
                    value: symbols.intern(label.value),
                })
                .collect();
            selection.push_row(labels.fingerprint(), pairs);
        }
        selection.estimate = Estimate { series: selection.len() as u64, samples, bytes: 0 };
        Ok(selection)
    }

    fn label_names(
        &self,
        tenant: &TenantId,
        request: &LabelsRequest<'_>,
    ) -> Result<Vec<String>, SelectError> {
        let names: BTreeSet<String> = self
            .matching(tenant, request.matcher_sets, request.span, |series| {
                series.labels.iter().map(|label| label.name.to_owned()).collect::<Vec<_>>()
            })
            .into_iter()
            .flatten()
            .collect();
        Ok(request.limited(names))
    }

    fn label_values(
        &self,
        tenant: &TenantId,
        name: &str,
        request: &LabelsRequest<'_>,
    ) -> Result<Vec<String>, SelectError> {
        let values: BTreeSet<String> = self
            .matching(tenant, request.matcher_sets, request.span, |series| {
                series.labels.get(name).map(str::to_owned)
            })
            .into_iter()
            .flatten()
            .collect();
        Ok(request.limited(values))
    }

    fn exemplars(
        &self,
        tenant: &TenantId,
        matcher_sets: &[Vec<Matcher>],
        span: TimeSpan,
    ) -> Result<Vec<SeriesExemplars>, SelectError> {
        let mut found = self.matching(tenant, matcher_sets, TimeSpan::ALL, |series| SeriesExemplars {
            labels: series.labels.clone(),
            exemplars: series.exemplars.values().filter(|e| span.contains(e.timestamp)).cloned().collect(),
        });
        found.retain(|series| !series.exemplars.is_empty());
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(found)
    }

    fn metadata(&self, tenant: &TenantId, metric: &str) -> Result<Vec<(String, Vec<Metadata>)>, SelectError> {
        let tenants = self.read_tenants();
        let families = tenants.get(tenant).into_iter().flat_map(|tenant| &tenant.metadata);
        Ok(families
            .filter(|(name, _)| metric.is_empty() || *name == metric)
            .map(|(name, known)| (name.clone(), known.clone()))
            .collect())
    }

    fn time_bounds(&self, tenant: &TenantId) -> Option<(Timestamp, Timestamp)> {
        let tenants = self.read_tenants();
        let series = tenants.get(tenant)?.series.values();
        series
            .filter_map(|s| Some((*s.samples.first_key_value()?.0, *s.samples.last_key_value()?.0)))
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MatchOp, stale_nan};

    fn series(pairs: &[(&str, &str)], samples: &[(Timestamp, f64)]) -> Batch {
        let mut batch = Batch::default();
        batch.begin_series(&Labels::from_pairs(pairs.iter().copied()));
        for (t, v) in samples {
            batch.push_float(*t, 0, *v);
        }
        batch
    }

    fn append(store: &MemoryStore, batch: Batch, acceptance: &Acceptance) -> Outcome {
        store.append(&TenantId::default(), batch, acceptance).expect("memory does not fail")
    }

    fn read_all(
        store: &MemoryStore,
        matchers: &[Matcher],
        span: TimeSpan,
    ) -> Vec<(String, Vec<(Timestamp, f64)>)> {
        let mut symbols = SymbolTable::default();
        let request = SelectRequest::samples(matchers, span);
        let selection =
            store.select(&TenantId::default(), &request, &mut symbols).expect("memory does not fail");
        let mut columns = Columns::default();
        selection.read(0..selection.len(), &mut columns).expect("memory does not fail");
        (0..selection.len())
            .map(|row| {
                let data = columns.row(row);
                let samples = data.timestamps.iter().copied().zip(data.values.iter().copied()).collect();
                (selection.labels(row, &symbols).to_string(), samples)
            })
            .collect()
    }

    #[test]
    fn late_and_repeated_samples_are_merged_and_the_last_wins() {
        let store = MemoryStore::default();
        append(&store, series(&[("__name__", "m")], &[(10, 1.0), (30, 3.0)]), &Acceptance::EVERYTHING);
        append(&store, series(&[("__name__", "m")], &[(20, 2.0), (30, 4.0)]), &Acceptance::EVERYTHING);
        let rows = read_all(&store, &[Matcher::equal("__name__", "m")], TimeSpan::new(10, 30));
        assert_eq!(rows, [(r#"{__name__="m"}"#.to_owned(), vec![(10, 1.0), (20, 2.0), (30, 4.0)])]);
    }

    #[test]
    fn in_order_acceptance_refuses_what_upstream_refuses() {
        let store = MemoryStore::default();
        append(&store, series(&[("a", "1")], &[(10, 1.0)]), &Acceptance::IN_ORDER);
        let outcome = append(
            &store,
            series(&[("a", "1")], &[(10, 1.0), (10, 2.0), (5, 1.0), (11, 3.0)]),
            &Acceptance::IN_ORDER,
        );
        assert_eq!(outcome.floats, 2);
        let reasons: Vec<_> = outcome.rejections.iter().map(|r| (r.index, r.reason)).collect();
        assert_eq!(reasons, [(1, RejectReason::DuplicateTime), (2, RejectReason::OutOfOrder)]);
    }

    #[test]
    fn times_outside_the_span_are_refused() {
        let store = MemoryStore::default();
        let acceptance = Acceptance { span: TimeSpan::new(100, 200), ..Acceptance::EVERYTHING };
        let outcome = append(
            &store,
            series(&[("a", "1")], &[(99, 1.0), (100, 1.0), (200, 1.0), (201, 1.0)]),
            &acceptance,
        );
        let reasons: Vec<_> = outcome.rejections.iter().map(|r| r.reason).collect();
        assert_eq!(reasons, [RejectReason::TooOld, RejectReason::TooFarAhead]);
    }

    #[test]
    fn a_selection_does_not_see_later_writes() {
        let store = MemoryStore::default();
        append(&store, series(&[("a", "1")], &[(10, 1.0)]), &Acceptance::EVERYTHING);
        let mut symbols = SymbolTable::default();
        let matchers = [Matcher::new("a", MatchOp::Regex, ".+").expect("pattern is sound")];
        let request = SelectRequest::samples(&matchers, TimeSpan::ALL);
        let selection =
            store.select(&TenantId::default(), &request, &mut symbols).expect("memory does not fail");
        append(&store, series(&[("a", "1")], &[(20, stale_nan())]), &Acceptance::EVERYTHING);
        let mut columns = Columns::default();
        selection.read(0..1, &mut columns).expect("memory does not fail");
        assert_eq!(columns.row(0).timestamps, [10]);
        assert_eq!(read_all(&store, &matchers, TimeSpan::ALL)[0].1.len(), 2);
    }

    #[test]
    fn tenants_do_not_see_each_other() {
        let store = MemoryStore::default();
        append(&store, series(&[("a", "1")], &[(10, 1.0)]), &Acceptance::EVERYTHING);
        let request = LabelsRequest { matcher_sets: &[], span: TimeSpan::ALL, limit: 0 };
        assert_eq!(store.label_names(&TenantId::default(), &request), Ok(vec!["a".to_owned()]));
        assert_eq!(store.label_names(&TenantId::new("other"), &request), Ok(Vec::new()));
    }
}
