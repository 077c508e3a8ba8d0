//! What a listing reads of a report: title, signature, and what it was made with.

use std::path::Path;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use vmcore_formats::text::{self, MAX_NAME, MAX_RELEASE, MAX_TITLE};

use crate::regular_file;

/// The longest file beside a core that is read, in bytes.
pub const MAX_FILE: u64 = 16 << 20;
/// The most other titles that are kept of a report.
pub const MAX_ALTERNATES: usize = 16;

/// What a listing wants of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportHead {
    /// The schema that it was written by.
    pub schema: Option<String>,
    /// What happened, in one line.
    pub title: Option<String>,
    /// Other titles that the same bug can have.
    #[serde(default)]
    pub alt_titles: Vec<String>,
    /// What crashes that are the same have in common.
    pub signature: Option<String>,
    /// Whether the signature is too weak to take two crashes for the same; `None` if
    /// that is unknown.
    #[serde(default)]
    pub weak: Option<bool>,
    /// Whether the crash is one of Windows, which no families have a part in.
    #[serde(default, skip_serializing, deserialize_with = "is_there", rename = "bugcheck")]
    pub is_bugcheck: bool,
    /// The release of the kernel that the report is of.
    #[serde(default, skip_serializing, deserialize_with = "release_in", rename = "kernel")]
    pub release: Option<String>,
}

/// A report's part on the kernel. Of one that has another form, the rest is read.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kernel {
    Read { release: Option<String> },
    Other(IgnoredAny),
}

/// What reports are made with today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportVersion<'a> {
    /// The schema of reports.
    pub schema: &'a str,
    /// The version of the table of families.
    pub families: &'a str,
}

impl ReportHead {
    /// The head of the report in a file; `None` if there is none that can be read.
    pub(super) fn read(path: &Path) -> Option<Self> {
        json(path).map(Self::bounded)
    }

    /// The same, of a text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().map(Self::bounded)
    }

    /// With texts of bounded length: what made the report may have had no bound.
    fn bounded(mut self) -> Self {
        let bounded = |text: &mut String, max| *text = text::bounded(text, max);
        self.alt_titles.truncate(MAX_ALTERNATES);
        for title in self.title.iter_mut().chain(&mut self.alt_titles) {
            bounded(title, MAX_TITLE);
        }
        if let Some(release) = &mut self.release {
            bounded(release, MAX_RELEASE);
        }
        for other in self.schema.iter_mut().chain(&mut self.signature) {
            bounded(other, MAX_NAME);
        }
        self
    }

    /// Whether the report was made by an older schema or with other families than
    /// `current`; `None` if it does not say.
    pub fn is_outdated(&self, current: &ReportVersion<'_>) -> Option<bool> {
        if self.schema.as_deref()? != current.schema {
            return Some(true);
        }
        // A report without a signature has no version of its families.
        let families = self.signature.as_deref().and_then(families_of);
        Some(!self.is_bugcheck && families.is_some_and(|families| families != current.families))
    }
}

/// The families' version in a signature: `vVERSION-HASH`.
fn families_of(signature: &str) -> Option<&str> {
    signature.strip_prefix('v')?.rsplit_once('-').map(|(version, _)| version)
}

/// Reads a file beside a core. Returns `None` if there is none that can be read.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&regular_file::read_own(path, MAX_FILE).ok()?).ok()
}

fn is_there<'de, D: serde::Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(value)?.is_some())
}

fn release_in<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<Kernel>::deserialize(value)? {
        Some(Kernel::Read { release }) => release,
        Some(Kernel::Other(_)) | None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURRENT: ReportVersion<'_> =
        ReportVersion { schema: "vmcorectl/report/1", families: "1.acme" };

    fn head(json: &str) -> ReportHead {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_report_of_another_schema_or_of_other_families_is_outdated() {
        for (json, outdated) in [
            (r#"{"schema": "vmcorectl/report/1", "signature": "v1.acme-abc"}"#, Some(false)),
            (r#"{"schema": "vmcorectl/report/1", "signature": "v1-abc"}"#, Some(true)),
            (r#"{"schema": "vmcorectl/report/0", "signature": "v1.acme-abc"}"#, Some(true)),
            (r#"{"schema": "vmcorectl/report/1", "signature": null}"#, Some(false)),
            (r#"{"signature": "v1.acme-abc"}"#, None),
            (
                r#"{"schema": "vmcorectl/report/1", "signature": "v1-abc", "bugcheck": {"code": "0x1"}}"#,
                Some(false),
            ),
        ] {
            assert_eq!(head(json).is_outdated(&CURRENT), outdated, "{json}");
        }
    }

    #[test]
    fn a_kernel_of_another_form_costs_its_release_alone() {
        for (kernel, release) in [
            (r#"{"release": "6.1", "taint": {"mask": 0}}"#, Some("6.1")),
            (r#"{"release": null}"#, None),
            (r#"{"release": 7}"#, None),
            ("[]", None),
            ("7", None),
            ("null", None),
        ] {
            let head = head(&format!(r#"{{"title": "x", "kernel": {kernel}}}"#));
            assert_eq!((head.title.as_deref(), head.release.as_deref()), (Some("x"), release));
        }
    }

    #[test]
    fn what_a_report_does_not_say_of_its_signature_is_unknown() {
        assert_eq!(head("{}").weak, None);
        assert_eq!(head(r#"{"weak": false}"#).weak, Some(false));
    }
}
