//! Deleting series.

use std::sync::Arc;

use crate::head::HeadReader;
use crate::lock::lock;
use crate::model::{Matcher, TenantId, TimeSpan};
use crate::storage::{LabelsNeeded, SelectRequest, SymbolTable};

use super::deletion::Deletion;
use super::jobs::Change;
use super::{Database, StorageError};

impl Database {
    /// Deletes what is stored within `span` of the series that pass one whole set of matchers. What is written later is
    /// not touched. Once answered, nobody sees it any more, also after a crash; the bytes go with the next compaction,
    /// or with [`Self::clean_tombstones`]. Takes a flush where the head holds some of it.
    pub fn delete(
        &self,
        tenant: &TenantId,
        matcher_sets: &[Vec<Matcher>],
        span: TimeSpan,
    ) -> Result<(), StorageError> {
        assert!(matcher_sets.iter().all(|set| !set.is_empty()), "a deletion names what it deletes");
        let mut jobs = lock(&self.jobs);
        if self.is_closed() {
            return Err(StorageError::Closed);
        }
        if span.is_empty() || matcher_sets.is_empty() {
            return Ok(());
        }
        let now_us = u64::try_from(self.options.clock.now_us()).unwrap_or(0);
        let (first, is_in_head) = self.committer.with_seat(|seat| {
            // Whatever is written from now on has a higher number.
            let first = now_us.max(seat.seq_last + 1);
            seat.seq_last = first + matcher_sets.len() as u64 - 1;
            let is_in_head = self.head_holds(tenant, matcher_sets, span);
            if is_in_head {
                self.freeze_seated();
            }
            (first, is_in_head)
        });
        if is_in_head {
            self.flush_frozen(&mut jobs, self.options.clock.now_ms())?;
        }
        let made = (first..).zip(matcher_sets).map(|(seq, matchers)| {
            Arc::new(Deletion { seq, tenant: tenant.clone(), span, matchers: matchers.clone() })
        });
        let deletions: Vec<_> = jobs.manifest.deletions.iter().cloned().chain(made).collect();
        let change = || Change { deletions: Some(deletions.clone()), ..Change::default() };
        self.apply(&mut jobs, change(), None)?;
        // Both manifests that are kept shall know of it: the older one counts where the newer one is damaged.
        if let Err(error) = self.apply(&mut jobs, change(), None) {
            tracing::warn!(%error, "a deletion is in one manifest only");
        }
        Ok(())
    }

    /// Whether the head has samples or exemplars of such series.
    fn head_holds(&self, tenant: &TenantId, matcher_sets: &[Vec<Matcher>], span: TimeSpan) -> bool {
        let head = HeadReader::new(&self.view().pin_epochs(), tenant);
        let holds_samples = matcher_sets.iter().any(|matchers| {
            let mut request = SelectRequest::samples(matchers, span);
            request.labels_needed = LabelsNeeded::None;
            !self.head.select(tenant, &request, &head, &mut SymbolTable::default()).rows.is_empty()
        });
        holds_samples || !self.head.exemplars(tenant, matcher_sets, span, &head).is_empty()
    }
}
