//! VMCOREINFO of a core: its note, else the text that the kernel keeps in memory.
//!
//! A guest without QEMU's `vmcoreinfo` device, or without the driver for it (Ubuntu
//! has it in an extra package), has no note. The kernel keeps the text all the same, on a
//! page of its own, and once more as an ELF note for kdump:
//!
//! ```text
//! vmcoreinfo_data   page offset 0    OSRELEASE=...
//! vmcoreinfo_note   page offset 24   after the note's header and its name, VMCOREINFO
//! ```
//!
//! Memory may have several: of a kernel before a reboot, of a capture kernel. Each
//! is tried: the one counts whose page tables map `init_uts_ns` to text with the same
//! release; of several, one whose tables a vCPU uses.
//! Source: Linux `kernel/vmcore_info.c` (`kernel/crash_core.c` in older kernels).

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::thread;

use thiserror::Error;
use vmcore_formats::addr::{PhysAddr, VirtAddr};
use vmcore_formats::vmcoreinfo::{BEGINNING, VmcoreInfo};

use super::search::{SearchDepth, SearchExtent, SearchPlan};
use crate::kernel::arch::{self, Arch, Machine};
use crate::vmcore::memory::MemoryRange;
use crate::vmcore::scan::{Content, scan};
use crate::vmcore::{PhysMemory, Vmcore};

/// The text is at most a page long; with pages of 64 KiB the kernel uses as much as one.
const MAX_TEXT: usize = 64 << 10;
/// Where texts begin in a page.
const OFFSETS: [usize; 2] = [0, 24];
/// How many texts are looked at in memory.
const MAX_CANDIDATES: usize = 256;
/// How much of `init_uts_ns` is searched for the release.
const UTS_LENGTH: usize = 512;

/// Where VMCOREINFO comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the core's notes.
    Note,
    /// In the guest's memory.
    Memory {
        /// Where the text begins.
        at: PhysAddr,
        /// How many different texts were looked at.
        candidates: usize,
        /// Whether a vCPU uses the page tables that it describes. `None` if notes have no page-table
        /// registers.
        in_use: Option<bool>,
    },
    /// Nowhere: it is synthetic, from the kernel's symbols and types.
    Synthetic {
        /// Where the image is that a vCPU runs.
        image: VirtAddr,
        /// How many symbols it has.
        symbols: u32,
        /// Whether it has types, too.
        with_types: bool,
    },
}

/// A kernel's VMCOREINFO, and where it was.
#[derive(Clone, Debug)]
pub struct LocatedVmcoreInfo {
    /// What it says.
    pub info: VmcoreInfo,
    /// Where it was.
    pub source: Origin,
}

/// Why there is none.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum VmcoreInfoError {
    /// Nothing that looks like it.
    #[error(
        "the core has no VMCOREINFO note, and its memory no VMCOREINFO: no Linux kernel, or its memory is encrypted or was left out{extent}"
    )]
    None {
        /// How much was searched.
        extent: SearchExtent,
    },
    /// Nothing that fits the memory.
    #[error(
        "the core has no VMCOREINFO note, and none of the {candidates} in its memory fits it; the last one (at {at}): {problem}{extent}"
    )]
    NoneFits {
        /// How many there were.
        candidates: usize,
        /// Where the last one begins.
        at: PhysAddr,
        /// Why that one does not.
        problem: String,
        /// How much was searched.
        extent: SearchExtent,
    },
}

/// VMCOREINFO of a core.
///
/// # Errors
/// Fails if there is no note, and nothing in memory that fits it.
pub fn find(core: &Vmcore, depth: SearchDepth) -> Result<LocatedVmcoreInfo, VmcoreInfoError> {
    match core.vmcoreinfo_note() {
        Some(info) if info.release().is_some() => {
            Ok(LocatedVmcoreInfo { info, source: Origin::Note })
        }
        _ => find_in_memory(core, depth),
    }
}

/// VMCOREINFO out of a core's memory, whatever its notes say.
///
/// The search ends at the first text that fits and whose page tables a vCPU uses.
///
/// # Errors
/// Fails if there is nothing in memory that fits it.
pub fn find_in_memory(
    core: &Vmcore,
    depth: SearchDepth,
) -> Result<LocatedVmcoreInfo, VmcoreInfoError> {
    let arch = arch::of_machine(core.identity().machine);
    Guest { machine: Machine::of(core), arch }.search(depth)
}

/// What is known of a guest without VMCOREINFO.
struct Guest {
    machine: Machine,
    arch: Option<&'static dyn Arch>,
}

/// What a search has come to.
#[derive(Default)]
struct Candidates {
    seen: HashSet<String>,
    fitting: Option<(PhysAddr, VmcoreInfo, Option<bool>)>,
    /// Where the last one is that does not fit, and why not.
    problem: Option<(PhysAddr, String)>,
}

impl Guest {
    fn search(&self, depth: SearchDepth) -> Result<LocatedVmcoreInfo, VmcoreInfoError> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let memory = &*self.machine.memory;
        let mut candidates = Candidates::default();
        let work = |piece: MemoryRange, content: Content<'_>| match content {
            Content::Bytes(bytes) => beginnings(piece.start, bytes),
            Content::Zeros | Content::Missing(_) => Vec::new(),
        };
        let mut looked_at = 0_usize;
        let SearchPlan { ranges, extent } = SearchPlan::of(memory, depth);
        scan(memory, &ranges, threads, work, |places: Vec<PhysAddr>| {
            for at in places {
                looked_at = looked_at.saturating_add(1);
                if looked_at > MAX_CANDIDATES || self.consider(at, &mut candidates).is_break() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        let count = candidates.seen.len();
        match (candidates.fitting, candidates.problem) {
            (Some((at, info, in_use)), _) => Ok(LocatedVmcoreInfo {
                info,
                source: Origin::Memory { at, candidates: count, in_use },
            }),
            (None, Some((at, problem))) => {
                Err(VmcoreInfoError::NoneFits { candidates: count, at, problem, extent })
            }
            (None, None) => Err(VmcoreInfoError::None { extent }),
        }
    }

    /// Looks at a text. Breaks if nothing can fit better.
    fn consider(&self, at: PhysAddr, candidates: &mut Candidates) -> ControlFlow<()> {
        let Some(info) = read_text(&*self.machine.memory, at) else {
            return ControlFlow::Continue(());
        };
        if !candidates.seen.insert(info.text().to_owned()) {
            return ControlFlow::Continue(());
        }
        match self.fits(&info) {
            Ok(Some(true)) => {
                candidates.fitting = Some((at, info, Some(true)));
                return ControlFlow::Break(());
            }
            Ok(in_use) => {
                candidates.fitting.get_or_insert((at, info, in_use));
            }
            Err(problem) => candidates.problem = Some((at, problem)),
        }
        ControlFlow::Continue(())
    }

    /// Whether a text describes the kernel in memory, and if so, whether a vCPU uses its tables.
    fn fits(&self, info: &VmcoreInfo) -> Result<Option<bool>, String> {
        // Another machine's tables are not walked: nothing speaks against it.
        let Some(arch) = self.arch else { return Ok(None) };
        let space = arch.page_tables(&self.machine, info).map_err(|error| error.to_string())?;
        let release = info.release().unwrap_or_default().as_bytes();
        let uts = info.symbol("init_uts_ns").ok_or("it does not say where init_uts_ns is")?;
        let uts = space.read_vec(uts, UTS_LENGTH).map_err(|error| error.to_string())?;
        if release.is_empty() || !uts.windows(release.len()).any(|part| part == release) {
            return Err("init_uts_ns has another release".to_owned());
        }
        let root =
            info.symbol("swapper_pg_dir").ok_or("it does not say where swapper_pg_dir is")?;
        Ok(arch.is_in_use(&self.machine, &space, root))
    }
}

fn beginnings(start: PhysAddr, bytes: &[u8]) -> Vec<PhysAddr> {
    const PAGE: usize = 4096;
    // A piece may begin within a page: the first page of it that begins here is further on.
    let first = usize::try_from(start.0.wrapping_neg() % PAGE as u64).unwrap_or(0);
    let pages = (first..bytes.len()).step_by(PAGE);
    pages
        .flat_map(|page| OFFSETS.map(|offset| page.saturating_add(offset)))
        .filter(|at| bytes.get(*at..).is_some_and(|rest| rest.starts_with(BEGINNING)))
        .map(|at| start.saturating_add(at as u64))
        .collect()
}

/// The text at an address: up to a NUL, the end of memory, or the longest that it can be.
pub(crate) fn read_text(memory: &dyn PhysMemory, at: PhysAddr) -> Option<VmcoreInfo> {
    const STEP: usize = 1024;
    let mut text = Vec::new();
    while text.len() < MAX_TEXT && !text.contains(&0) {
        let next = at.checked_add(text.len() as u64)?;
        let mut part = vec![0; STEP];
        if memory.read(next, &mut part).is_err() {
            break;
        }
        text.append(&mut part);
    }
    let info = VmcoreInfo::parse(&text);
    (info.page_size().is_some() && info.symbol("init_uts_ns").is_some()).then_some(info)
}

#[cfg(test)]
#[path = "in_memory_tests.rs"]
mod tests;
