//! Series that are being judged and written: where what is stored decides, two batches with a series in common must
//! come one after the other. Others may share a sync.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, PoisonError};

use foldhash::fast::RandomState;

use crate::lock::lock;
use crate::model::Fingerprint;

/// The series of the batches that are under way.
#[derive(Debug, Default)]
pub(super) struct Claims {
    taken: Mutex<HashSet<Fingerprint, RandomState>>,
    freed: Condvar,
}

/// A batch's series; others may have them again once it is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    claims: &'a Claims,
    series: Vec<Fingerprint>,
}

impl Claims {
    /// Waits until no other batch has one of `series`, then takes all of them at once.
    pub(super) fn claim(&self, series: Vec<Fingerprint>) -> Claim<'_> {
        let mut taken = lock(&self.taken);
        while series.iter().any(|one| taken.contains(one)) {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        taken.extend(&series);
        Claim { claims: self, series }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut taken = lock(&self.claims.taken);
        for one in &self.series {
            taken.remove(one);
        }
        self.claims.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn series(numbers: &[u128]) -> Vec<Fingerprint> {
        numbers.iter().map(|number| Fingerprint(*number)).collect()
    }

    #[test]
    fn batches_with_a_series_in_common_wait_for_each_other() {
        let claims = Claims::default();
        let first = claims.claim(series(&[1, 2, 2]));
        // Does not wait.
        drop(claims.claim(series(&[3])));
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            let claims = &claims;
            scope.spawn(move || {
                let _second = claims.claim(series(&[2, 4]));
                sender.send(()).expect("somebody listens");
            });
            assert!(receiver.try_recv().is_err(), "the series are taken");
            drop(first);
            receiver.recv().expect("the series are free");
        });
        assert!(lock(&claims.taken).is_empty());
    }
}
