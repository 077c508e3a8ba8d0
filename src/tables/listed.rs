//! Rows as a listing has entries.

use std::path::Path;

use super::Row;
use crate::metadata::CaptureResult;
use crate::store::annotations::Annotations;
use crate::store::listing::{EntryState, Listed};
use crate::store::metadata_head::MetadataHead;
use crate::store::report_head::ReportHead;

impl Row {
    /// The row without what no listing has.
    pub(super) fn without_lists(self) -> Self {
        Self { tasks: None, cpus: Vec::new(), modules: Vec::new(), mounts: Vec::new(), ..self }
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
        let metadata = MetadataHead {
            guest: self.guest,
            kernel: self.kernel.release.clone(),
            memory_bytes: self.memory_bytes,
            started: self.time,
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
            time: Some(self.time),
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
