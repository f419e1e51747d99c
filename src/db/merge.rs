//! One series' samples out of several places.

use std::sync::Arc;

use crate::storage::{Columns, ColumnsRow};

/// Appends to the row begun last in `out` all rows of `parts`, later rows winning at equal times.
pub(super) fn merge_rows(parts: &Columns, out: &mut Columns) {
    let rows: Vec<ColumnsRow<'_>> =
        (0..parts.len()).map(|part| parts.row(part)).filter(|row| !row.timestamps.is_empty()).collect();
    let is_in_order = rows.windows(2).all(|pair| pair[0].timestamps.last() < pair[1].timestamps.first());
    if is_in_order {
        rows.iter().for_each(|row| copy_row(row, out));
        return;
    }
    let mut order: Vec<(i64, usize, usize)> = rows
        .iter()
        .enumerate()
        .flat_map(|(part, row)| row.timestamps.iter().enumerate().map(move |(at, t)| (*t, part, at)))
        .collect();
    order.sort_unstable();
    for (place, (t, part, at)) in order.iter().enumerate() {
        if order.get(place + 1).is_none_or(|next| next.0 != *t) {
            copy_sample(&rows[*part], *at, out);
        }
    }
}

/// Appends a whole row to the row begun last in `out`.
pub(super) fn copy_row(row: &ColumnsRow<'_>, out: &mut Columns) {
    if row.histograms.is_empty() && row.start_timestamps.is_empty() {
        out.extend_floats(row.timestamps, row.values);
    } else {
        (0..row.timestamps.len()).for_each(|at| copy_sample(row, at, out));
    }
}

/// Appends the samples at times that are wanted to the row begun last in `out`.
pub(super) fn copy_samples(row: &ColumnsRow<'_>, out: &mut Columns, is_wanted: impl Fn(i64) -> bool) {
    (0..row.timestamps.len())
        .filter(|at| is_wanted(row.timestamps[*at]))
        .for_each(|at| copy_sample(row, at, out));
}

fn copy_sample(row: &ColumnsRow<'_>, at: usize, out: &mut Columns) {
    let (timestamp, start) = (row.timestamps[at], row.start_timestamps.get(at).copied().unwrap_or(0));
    match row.histograms.get(at).and_then(Option::as_ref) {
        Some(histogram) => out.push_histogram(timestamp, start, Arc::clone(histogram)),
        None => out.push_float(timestamp, start, row.values[at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(parts: &[&[(i64, f64)]]) -> Vec<(i64, f64)> {
        let mut columns = Columns::default();
        for part in parts {
            columns.begin_row();
            part.iter().for_each(|(t, v)| columns.push_float(*t, 0, *v));
        }
        let mut out = Columns::default();
        out.begin_row();
        merge_rows(&columns, &mut out);
        let row = out.row(0);
        row.timestamps.iter().copied().zip(row.values.iter().copied()).collect()
    }

    #[test]
    fn later_parts_win() {
        assert_eq!(merged(&[&[(1, 1.0), (2, 1.0)], &[], &[(3, 2.0)]]), [(1, 1.0), (2, 1.0), (3, 2.0)]);
        assert_eq!(merged(&[&[(1, 1.0), (3, 1.0)], &[(2, 2.0), (3, 2.0)]]), [(1, 1.0), (2, 2.0), (3, 2.0)]);
        assert_eq!(merged(&[&[(5, 1.0)], &[(5, 3.0)], &[(5, 2.0)]]), [(5, 2.0)]);
    }
}
