//! Several segments become one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Exemplar, Fingerprint, Labels, Metadata, TimeSpan, Timestamp};
use crate::segment::{SegmentError, SegmentHeader, SegmentWriter};
use crate::storage::Columns;

use super::merge::merge_rows;
use super::view::LiveSegment;

/// A writer with everything that `inputs` hold. They stand in the order in which later ones win, are of one tenant,
/// resolution and class, and lie within `window`.
pub(super) fn merge_segments(
    inputs: &[Arc<LiveSegment>],
    window: TimeSpan,
) -> Result<SegmentWriter, SegmentError> {
    let first = inputs.first().expect("a merge has inputs").meta();
    assert!(inputs.iter().all(|input| input.meta().tenant == first.tenant), "a merge is of one tenant");
    let mut writer = SegmentWriter::new(SegmentHeader {
        tenant: first.tenant.clone(),
        window,
        resolution_ms: first.resolution_ms,
        retention_class: first.retention_class,
        seq_min: inputs.iter().map(|input| input.meta().seq_min).min().expect("a merge has inputs"),
        seq_max: inputs.iter().map(|input| input.meta().seq_max).max().expect("a merge has inputs"),
    });
    merge_series(inputs, &mut writer)?;
    for (labels, exemplars) in &merged_exemplars(inputs)? {
        let exemplars: Vec<Exemplar> = exemplars.values().cloned().collect();
        writer.add_exemplars(labels, &exemplars);
    }
    for (metric, metadata) in merged_metadata(inputs)? {
        writer.add_metadata(&metric, &metadata);
    }
    Ok(writer)
}

fn merge_series(inputs: &[Arc<LiveSegment>], writer: &mut SegmentWriter) -> Result<(), SegmentError> {
    let mut rows: Vec<(Fingerprint, usize, u32)> = Vec::new();
    for (number, input) in inputs.iter().enumerate() {
        for row in 0..input.reader.row_count() {
            rows.push((input.reader.fingerprint(row)?, number, row));
        }
    }
    rows.sort_unstable();
    let (mut parts, mut merged) = (Columns::default(), Columns::default());
    for series in rows.chunk_by(|a, b| a.0 == b.0) {
        parts.clear();
        merged.clear();
        let labels = inputs[series[0].1].reader.labels(series[0].2)?;
        for (fingerprint, number, row) in series {
            // Two label sets with one fingerprint: the one that was there first keeps it.
            if inputs[*number].reader.labels(*row)? != labels {
                tracing::error!(%labels, ?fingerprint, "two series have one fingerprint; the later one is dropped");
                continue;
            }
            parts.begin_row();
            inputs[*number].reader.read(*row, TimeSpan::ALL, &mut parts)?;
        }
        merged.begin_row();
        merge_rows(&parts, &mut merged);
        if merged.sample_count() > 0 {
            writer.add_series(&labels, merged.row(0));
        }
    }
    Ok(())
}

type ExemplarsBySeries = BTreeMap<Labels, BTreeMap<Timestamp, Exemplar>>;

fn merged_exemplars(inputs: &[Arc<LiveSegment>]) -> Result<ExemplarsBySeries, SegmentError> {
    let mut merged = ExemplarsBySeries::new();
    for input in inputs {
        for row in input.reader.exemplar_rows()? {
            let exemplars = input.reader.exemplars(row, TimeSpan::ALL)?;
            let known = merged.entry(input.reader.labels(row)?).or_default();
            known.extend(exemplars.into_iter().map(|exemplar| (exemplar.timestamp, exemplar)));
        }
    }
    Ok(merged)
}

fn merged_metadata(inputs: &[Arc<LiveSegment>]) -> Result<Vec<(String, Metadata)>, SegmentError> {
    let mut merged: Vec<(String, Metadata)> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for input in inputs {
        for entry in input.reader.metadata()? {
            if known.insert(entry.clone()) {
                merged.push(entry);
            }
        }
    }
    Ok(merged)
}
