//! Rows as a listing has entries.

use std::path::Path;

use jiff::SignedDuration;

use super::Row;
use super::row::Kernel;
use crate::metadata::CaptureResult;
use crate::store::annotations::Annotations;
use crate::store::listing::{EntryState, Listed};
use crate::store::metadata_head::MetadataHead;
use crate::store::report_head::ReportHead;

impl Row {
    /// The row with what a listing has, and no more.
    pub(super) fn head(self) -> Self {
        Self {
            schema: self.schema,
            id: self.id,
            entry: self.entry,
            guest: self.guest,
            time: self.time,
            time_nanoseconds: self.time_nanoseconds,
            state: self.state,
            kernel: Kernel { release: self.kernel.release, ..Kernel::default() },
            title: self.title,
            alt_titles: self.alt_titles,
            signature: self.signature,
            weak: self.weak,
            bugcheck: self.bugcheck,
            held_seconds: self.held_seconds,
            memory_bytes: self.memory_bytes,
            core_bytes: self.core_bytes,
            pack_bytes: self.pack_bytes,
            report_schema: self.report_schema,
            note: self.note,
            ..Self::default()
        }
    }

    /// The row as an entry of this store.
    pub fn listed(self, store: &Path, annotations: Annotations) -> Listed {
        let state = match self.state.as_str() {
            "no-core" => EntryState::NoCore,
            "incomplete" => EntryState::Incomplete,
            _ => EntryState::Complete,
        };
        let result = match state {
            EntryState::Incomplete => CaptureResult::Incomplete,
            _ => CaptureResult::Complete,
        };
        let nanoseconds = SignedDuration::from_nanos(
            self.time_nanoseconds.and_then(|rest| rest.try_into().ok()).unwrap_or(0),
        );
        let started = self.time.checked_add(nanoseconds).unwrap_or(self.time);
        let metadata = MetadataHead {
            guest: self.guest,
            kernel: self.kernel.release.clone(),
            memory_bytes: self.memory_bytes,
            started,
            held_seconds: self.held_seconds,
            result,
            core_left_out: state == EntryState::NoCore,
            note: self.note,
            title: None,
            signature: None,
        };
        let report = self.title.is_some().then_some(ReportHead {
            schema: self.report_schema,
            title: self.title,
            alt_titles: self.alt_titles,
            signature: self.signature,
            weak: self.weak,
            is_bugcheck: self.bugcheck.is_some(),
            release: self.kernel.release,
        });
        Listed {
            folder: store.join(&self.entry),
            id: self.id,
            time: Some(started),
            published: true,
            state,
            core_bytes: self.core_bytes,
            bytes: self.core_bytes.unwrap_or(0).saturating_add(self.pack_bytes.unwrap_or(0)),
            pinned: false,
            metadata: Some(metadata),
            report,
            annotations,
        }
    }
}
