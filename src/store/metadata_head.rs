//! What a listing reads of an entry's metadata.

use std::path::Path;

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use vmcore_formats::text::{MAX_NAME, MAX_RELEASE, MAX_TEXT, MAX_TITLE, bounded};

use super::report_head::{ReportHead, json};
use crate::metadata::{CaptureResult, SCHEMA};

/// What a listing wants of the metadata. Texts have a bounded length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetadataHead {
    /// The guest's name.
    pub guest: Option<String>,
    /// Release of the guest's kernel.
    pub kernel: Option<String>,
    /// The guest's memory in bytes.
    pub memory_bytes: Option<u64>,
    /// When the capture began.
    pub started: Timestamp,
    /// How long the guest was held.
    pub held_seconds: Option<f64>,
    /// What the capture gave.
    pub result: CaptureResult,
    /// Whether the core was left out.
    pub core_left_out: bool,
    /// What was noted.
    pub note: Option<String>,
    /// The title of the report that was made before the dump.
    pub title: Option<String>,
    /// Its signature.
    pub signature: Option<String>,
}

/// The same in the file.
#[derive(Deserialize)]
struct InFile {
    schema: String,
    guest: Guest,
    title: Option<String>,
    signature: Option<String>,
    note: Option<String>,
    result: CaptureResult,
    started: Timestamp,
    held_seconds: Option<f64>,
    core: Option<Core>,
    core_left_out: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Guest {
    name: Option<String>,
    memory_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Core {
    kernel_release: Option<String>,
}

impl MetadataHead {
    /// The head of the metadata in a file; `None` if there is none of this schema.
    pub(super) fn read(path: &Path) -> Option<Self> {
        Self::of(json(path)?)
    }

    /// The same, of a text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::of(serde_json::from_slice(text).ok()?)
    }

    fn of(file: InFile) -> Option<Self> {
        if file.schema != SCHEMA {
            return None;
        }
        let text = |text: Option<String>, max| text.map(|text| bounded(&text, max));
        Some(Self {
            guest: text(file.guest.name, MAX_TEXT),
            kernel: text(file.core.and_then(|core| core.kernel_release), MAX_RELEASE),
            memory_bytes: file.guest.memory_bytes,
            started: file.started,
            held_seconds: file.held_seconds,
            result: file.result,
            core_left_out: file.core_left_out.is_some(),
            note: text(file.note, MAX_TITLE),
            title: text(file.title, MAX_TITLE),
            signature: text(file.signature, MAX_NAME),
        })
    }

    /// What it has of a report that was made before the dump: nothing of how strong its
    /// signature is.
    pub(super) fn report(&self) -> Option<ReportHead> {
        let title = Some(self.title.clone()?);
        Some(ReportHead { title, signature: self.signature.clone(), ..ReportHead::default() })
    }
}
