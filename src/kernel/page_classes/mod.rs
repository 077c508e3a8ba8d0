//! Which pages of a guest are free, cache, or programs': by its kernel's struct pages.
//!
//! ```text
//! mem_section ──► Sections: pages that have a struct page, and where these are
//!                     │
//! page tables ──► StructPages: read in long runs ──► Classifier ──► runs of one class
//! ```
//!
//! Needs: the kernel, found in memory that can be read at random: of a core, or of a held guest.
//! Gives: a class for pages that surely are of one; what is in no run is to be kept. Nothing of
//! VMCOREINFO and of memory is relied on: if more than a few struct pages fail their checks, or an
//! absurd number claims to be poisoned, all is kept, and the error says why. What was read for the
//! plan, and the kernel's log, is kept in any case: page tables, sections, struct pages.
//!
//! Cost: that of reading struct pages (1.6 % of memory), and a page of page tables for each GiB.

mod recorder;
mod runs;
mod sections;
mod struct_pages;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use thiserror::Error;
use vmcore_formats::addr::Pfn;
use vmcore_formats::page_class::{ClassRun, PageClass};
use vmcore_formats::struct_page::{Classifier, LayoutError, PageLayout, Tally};

use super::log::Log;
use super::page_tables::AddressSpace;
use super::{Kernel, KernelError};
use crate::vmcore::{MemoryRange, Vmcore};
use recorder::Recorder;
use runs::Runs;
use sections::Sections;
use struct_pages::StructPages;

/// How many struct pages may fail their checks. Of a sound kernel, those fail that a CPU was
/// writing to when it was stopped.
const MAX_FAILED: u64 = 64;
/// How many pages may be poisoned: the first number in any case, and more if they are less than
/// one in the second.
const MAX_POISONED: u64 = 64;
const POISONED_SHARE: u64 = 100;

/// The classes of a guest's pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PagePlan {
    /// Pages that have a class, by ascending address, apart. All others are to be kept.
    pub runs: Vec<ClassRun>,
    /// Memory that is kept whatever its class, by ascending address: what was read for the plan.
    /// No run has any of it.
    pub kept_always: Vec<MemoryRange>,
    /// How many bytes of these have a class nevertheless.
    pub forced_bytes: u64,
    /// How many struct pages were seen, and with what result.
    pub tally: Tally,
    /// What is missing or wrong, as sentences.
    pub findings: Vec<String>,
}

impl PagePlan {
    /// How many bytes each class has. Classes without any are not in it.
    pub fn bytes_by_class(&self) -> Vec<(PageClass, u64)> {
        let bytes = |class| {
            let own = self.runs.iter().filter(|run| run.class == class);
            own.fold(0_u64, |sum, run| sum.saturating_add(run.length))
        };
        let all = PageClass::ALL.map(|class| (class, bytes(class)));
        all.into_iter().filter(|(_, bytes)| *bytes > 0).collect()
    }
}

/// Why all pages of a guest are to be kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeepAll {
    /// No kernel that is understood.
    #[error("no Linux kernel was found whose page classes are recorded: {0}")]
    Kernel(#[from] KernelError),
    /// Its struct pages have no layout that is understood.
    #[error("the kernel's struct pages cannot be read: {0}")]
    Layout(#[from] LayoutError),
    /// Its sections cannot be found.
    #[error("the kernel's struct pages cannot be found: {problem}")]
    Sections {
        /// Why not.
        problem: String,
    },
    /// They are damaged.
    #[error(
        "the kernel's struct pages cannot be relied on: of the first {pages}, {failed} claim a class whose checks they fail"
    )]
    Damaged {
        /// How many were seen.
        pages: u64,
        /// How many failed.
        failed: u64,
    },
    /// They are damaged, or the guest's memory is.
    #[error(
        "the kernel's struct pages cannot be relied on: {poisoned} of {pages} pages are marked as damaged by the hardware"
    )]
    Poisoned {
        /// How many were seen.
        pages: u64,
        /// How many are poisoned.
        poisoned: u64,
    },
    /// More than is read of any file of this size, or more runs than any guest has.
    #[error("telling the classes of pages takes more than is read of any core: {problem}")]
    TooMuch {
        /// What was exceeded.
        problem: String,
    },
}

/// The plan for a core whose kernel is not found yet.
///
/// # Errors
/// Fails with the reason why all pages are to be kept.
pub fn plan_of(core: &Vmcore) -> Result<PagePlan, KeepAll> {
    plan(&Kernel::find(core)?)
}

/// The plan for a kernel's memory.
///
/// # Errors
/// Fails with the reason why all pages are to be kept.
pub fn plan(kernel: &Kernel) -> Result<PagePlan, KeepAll> {
    let layout = PageLayout::of(&kernel.info)?;
    let recorder = Arc::new(Recorder::new(Arc::clone(kernel.space.memory())));
    let (paging, root, endian) =
        (kernel.space.paging(), kernel.space.root(), kernel.space.endian());
    let space = AddressSpace::new(Arc::clone(&recorder) as _, paging, root, endian);
    let sections = Sections::find(&space, &kernel.info, &layout)?;
    let mut runs = Runs::new(layout.page_size());
    let mut findings = sections.findings.clone();
    let mut classifier = Classifier::new(&layout, endian, sections.base);
    let mut struct_pages = StructPages::new(&recorder, &space, &layout, sections.base);
    for pages in &sections.pages {
        struct_pages.read(pages.clone(), |first: Pfn, bytes| {
            classifier.classify(first, bytes, |pfn, class| runs.add(pfn, class));
            check(classifier.tally(), runs.len())
        })?;
    }
    let tally = classifier.tally();
    poison(tally)?;
    findings.extend(struct_pages.findings());
    if tally.failed > 0 {
        findings.push(format!(
            "{} struct pages claim a class whose checks they fail: their pages are kept",
            tally.failed
        ));
    }
    // Where it is, is not in VMCOREINFO: what is read for it is what it consists of.
    if let Err(problem) = Log::read(&space, &kernel.info) {
        findings.push(format!("the kernel's log is kept by its class only: {problem}"));
    }
    let kept_always = recorder.recorded();
    let (runs, forced_bytes) = runs.finish(recorder.memory().ranges(), &kept_always);
    Ok(PagePlan { runs, kept_always, forced_bytes, tally, findings })
}

/// Whether to go on: damage and excess end the plan at once.
fn check(tally: Tally, runs: usize) -> Result<(), KeepAll> {
    if tally.failed > MAX_FAILED {
        return Err(KeepAll::Damaged { pages: tally.pages, failed: tally.failed });
    }
    if runs > runs::MAX_RUNS {
        let problem = format!("there are more than {} runs of pages of a class", runs::MAX_RUNS);
        return Err(KeepAll::TooMuch { problem });
    }
    Ok(())
}

fn poison(tally: Tally) -> Result<(), KeepAll> {
    let Tally { pages, poisoned, .. } = tally;
    let share = pages.checked_div(POISONED_SHARE).unwrap_or_default();
    if poisoned > MAX_POISONED.max(share) {
        return Err(KeepAll::Poisoned { pages, poisoned });
    }
    Ok(())
}
