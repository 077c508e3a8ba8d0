//! The report of a core: what happened to the guest.
//!
//! ```text
//! Vmcore ─┬─► kernel: log, symbols, types, tasks, stacks ─┬─► Report
//!         ├─► notes: registers                            │   data, versioned
//!         └─► metadata: QEMU's panic event ───────────────┘
//! ```
//!
//! Needs: an open core, or a held guest that looks like one. Gives: a [`Report`], always. What is
//! missing or damaged is a finding, and only its own part of the report is empty.

pub mod bugcheck;
mod crash;
pub mod data;
mod hypervisor;
mod identity;
mod machine;
mod memory;
mod modules;
mod mounts;
mod parts;
mod stacks;
mod tasks;

pub use data::Report;
pub use tasks::blocked;

use serde::{Deserialize, Serialize};

use crate::kernel::Kernel;
use crate::kernel::find::SearchDepth;
use crate::metadata::Metadata;
use crate::printable;
use crate::triage::crash::families::Families;
use crate::vmcore::Vmcore;
use data::{Finding, SCHEMA, Trust};

/// What makes reports.
const TOOL: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
/// How many records of the log a stored report has.
pub const STORED_LOG: usize = 200;
/// The most findings.
const MAX_FINDINGS: usize = 200;
/// The most characters of a finding.
const MAX_FINDING: usize = 400;

/// How much is put into a report, and read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportOptions {
    /// The most records of the log.
    pub log_lines: usize,
    /// How much of memory is searched for a kernel that nothing leads to.
    pub search: SearchDepth,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self { log_lines: STORED_LOG, search: SearchDepth::Bounded }
    }
}

impl Report {
    /// The report of a core.
    pub fn of(core: &Vmcore) -> Self {
        Self::with(core, core.metadata().as_ref(), Families::built_in(), ReportOptions::default())
    }

    /// The report of a core with this metadata and these families.
    pub fn with(
        core: &Vmcore,
        metadata: Option<&Metadata>,
        families: &Families,
        options: ReportOptions,
    ) -> Self {
        Self::made(core, metadata, families, options, &mut |_| ())
    }

    /// The same. `then` gets the kernel, if there is one, when all was read of it.
    pub fn made(
        core: &Vmcore,
        metadata: Option<&Metadata>,
        families: &Families,
        options: ReportOptions,
        then: &mut dyn FnMut(&Kernel),
    ) -> Self {
        if options.search == SearchDepth::All {
            core.read_without_limit();
        }
        let mut report = Self {
            schema: SCHEMA.to_owned(),
            tool: TOOL.to_owned(),
            machine: machine::of(core, metadata),
            ..Self::default()
        };
        for finding in core.findings() {
            report.find("core", finding.clone(), Trust::Certain);
        }
        parts::gather(&mut report, core, metadata, families, options, then);
        report
    }

    /// A report that says why there is none.
    pub fn not_made(metadata: Option<&Metadata>, problem: &str) -> Self {
        let title = metadata.and_then(|metadata| metadata.title.clone());
        let mut report = Self {
            schema: SCHEMA.to_owned(),
            tool: TOOL.to_owned(),
            title: title.unwrap_or_else(|| "no report".to_owned()),
            ..Self::default()
        };
        report.find("report", problem, Trust::Certain);
        report
    }

    /// The JSON text of `report.json`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        // A value made of strings, numbers and lists cannot fail to serialise.
        let _ = printable::json::pretty(self, &mut json);
        json
    }

    /// Adds a finding.
    fn find(&mut self, about: &str, text: impl Into<String>, trust: Trust) {
        let mut text: String = text.into();
        if let Some((end, _)) = text.char_indices().nth(MAX_FINDING) {
            text.truncate(end);
            text.push_str("...");
        }
        let finding = Finding { about: about.to_owned(), text, trust };
        match self.findings.len() {
            0..MAX_FINDINGS if !self.findings.contains(&finding) => self.findings.push(finding),
            MAX_FINDINGS => self.findings.push(Finding {
                about: "report".to_owned(),
                text: "more findings are left out".to_owned(),
                trust: Trust::Certain,
            }),
            _ => {}
        }
    }
}
