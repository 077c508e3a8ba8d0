//! VMCOREINFO of a core: its note, else what the kernel keeps in memory.
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
//! Source: Linux `kernel/vmcore_info.c`, before 6.9 `kernel/crash_core.c`.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use goblin::elf::header::{EM_386, EM_AARCH64, EM_X86_64};
use thiserror::Error;
use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::qemu_cpu::QemuCpu;
use vmcore_formats::paging::root_of_cr3;
use vmcore_formats::vmcoreinfo::{BEGINNING, VmcoreInfo};

use super::address_space;
use super::page_tables::AddressSpace;
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

/// Where VMCOREINFO was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the core's notes.
    Note,
    /// In the guest's memory.
    Memory {
        /// Where the text begins.
        at: PhysAddr,
        /// How many different texts there were.
        candidates: usize,
        /// Whether a vCPU uses page tables that it describes. `None` where vCPUs do not tell.
        in_use: Option<bool>,
    },
}

/// A kernel's VMCOREINFO, and where it was.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it says.
    pub info: VmcoreInfo,
    /// Where it was.
    pub source: Source,
}

/// Why there is none.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum FindError {
    /// Nothing that looks like it.
    #[error(
        "the core has no VMCOREINFO note, and its memory no VMCOREINFO: no Linux kernel, or its memory is encrypted or was left out"
    )]
    None,
    /// Nothing that fits the memory.
    #[error(
        "the core has no VMCOREINFO note, and none of the {candidates} in its memory fits it; the last one (at {at}): {problem}"
    )]
    NoneFits {
        /// How many there were.
        candidates: usize,
        /// Where the last one begins.
        at: PhysAddr,
        /// Why that one does not.
        problem: String,
    },
}

/// VMCOREINFO of a core.
///
/// # Errors
/// Fails if there is no note, and nothing in memory that fits it.
pub fn find(core: &Vmcore) -> Result<Found, FindError> {
    match core.vmcoreinfo_note() {
        Some(info) if info.release().is_some() => Ok(Found { info, source: Source::Note }),
        _ => find_in_memory(core),
    }
}

/// VMCOREINFO out of a core's memory, whatever its notes say.
///
/// # Errors
/// Fails if there is nothing in memory that fits it.
pub fn find_in_memory(core: &Vmcore) -> Result<Found, FindError> {
    let texts = texts(&*core.memory);
    choose(&texts, &Judge { core_memory: &core.memory, core: Guest::of(core) })
}

/// What is known of the guest without VMCOREINFO.
struct Guest {
    machine: u16,
    endian: vmcore_formats::cursor::Endian,
    cpus: Vec<QemuCpu>,
}

impl Guest {
    fn of(core: &Vmcore) -> Self {
        let Vmcore { identity, .. } = core;
        Self {
            machine: identity.machine,
            endian: identity.endian,
            cpus: QemuCpu::all(core.notes()),
        }
    }
}

struct Judge<'a> {
    core_memory: &'a Arc<dyn PhysMemory>,
    core: Guest,
}

/// All texts in memory that begin like VMCOREINFO where one may, by address.
fn texts(memory: &dyn PhysMemory) -> Vec<(PhysAddr, VmcoreInfo)> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut found = Vec::new();
    let work = |piece: MemoryRange, content: Content<'_>| match content {
        Content::Bytes(bytes) => beginnings(piece.start, bytes),
        Content::Zeros | Content::Missing(_) => Vec::new(),
    };
    scan(memory, memory.ranges(), threads, work, |at| {
        found.extend(at);
        if found.len() < MAX_CANDIDATES {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    let mut seen = HashSet::new();
    found
        .into_iter()
        .take(MAX_CANDIDATES)
        .filter_map(|at| Some((at, read_text(memory, at)?)))
        .filter(|(_, info)| seen.insert(info.text().to_owned()))
        .collect()
}

fn beginnings(start: PhysAddr, bytes: &[u8]) -> Vec<PhysAddr> {
    const PAGE: usize = 4096;
    // A piece may begin within a page: the first page of it that begins here is further on.
    let first = usize::try_from(start.0.wrapping_neg() % PAGE as u64).unwrap_or(0);
    let pages = (first..bytes.len()).step_by(PAGE);
    pages
        .flat_map(|page| OFFSETS.map(|offset| page.saturating_add(offset)))
        .filter(|at| bytes.get(*at..).is_some_and(|rest| rest.starts_with(BEGINNING)))
        .map(|at| PhysAddr(start.0.saturating_add(at as u64)))
        .collect()
}

/// The text at an address: up to a NUL, the end of memory, or the longest that it can be.
fn read_text(memory: &dyn PhysMemory, at: PhysAddr) -> Option<VmcoreInfo> {
    const STEP: usize = 1024;
    let mut text = Vec::new();
    while text.len() < MAX_TEXT && !text.contains(&0) {
        let next = PhysAddr(at.0.checked_add(text.len() as u64)?);
        let mut part = vec![0; STEP];
        if memory.read(next, &mut part).is_err() {
            break;
        }
        text.append(&mut part);
    }
    let info = VmcoreInfo::parse(&text);
    (info.page_size().is_some() && info.symbol("init_uts_ns").is_some()).then_some(info)
}

fn choose(texts: &[(PhysAddr, VmcoreInfo)], judge: &Judge<'_>) -> Result<Found, FindError> {
    let candidates = texts.len();
    let mut fitting: Option<Found> = None;
    let mut problem = None;
    for (at, info) in texts {
        let in_use = match judge.fits(info) {
            Ok(in_use) => in_use,
            Err(why) => {
                problem = Some((*at, why));
                continue;
            }
        };
        let source = Source::Memory { at: *at, candidates, in_use };
        if in_use == Some(true) || fitting.is_none() {
            fitting = Some(Found { info: info.clone(), source });
        }
        if in_use == Some(true) {
            break;
        }
    }
    match (fitting, problem) {
        (Some(found), _) => Ok(found),
        (None, Some((at, problem))) => Err(FindError::NoneFits { candidates, at, problem }),
        (None, None) => Err(FindError::None),
    }
}

impl Judge<'_> {
    /// Whether a text describes the kernel in memory, and if so, whether a vCPU uses its tables.
    fn fits(&self, info: &VmcoreInfo) -> Result<Option<bool>, String> {
        let Guest { machine, endian, cpus } = &self.core;
        let space = match *machine {
            EM_X86_64 | EM_386 => address_space::x86_64(self.core_memory, info, cpus),
            EM_AARCH64 => address_space::arm64(self.core_memory, info, *endian),
            // Another machine's tables are not walked: nothing speaks against it.
            _ => return Ok(None),
        };
        let space = space.map_err(|error| error.to_string())?;
        let release = info.release().unwrap_or_default().as_bytes();
        let uts = info.symbol("init_uts_ns").ok_or("it does not say where init_uts_ns is")?;
        let uts = space.read_vec(uts, UTS_LENGTH).map_err(|error| error.to_string())?;
        if release.is_empty() || !uts.windows(release.len()).any(|part| part == release) {
            return Err("init_uts_ns has another release".to_owned());
        }
        Ok((!cpus.is_empty()).then(|| self.in_use(&space, info)))
    }

    /// Whether a vCPU's tables map the kernel's root to where this kernel's is.
    fn in_use(&self, space: &AddressSpace, info: &VmcoreInfo) -> bool {
        let Some(symbol) = info.symbol("swapper_pg_dir") else { return false };
        // The lowest bit of the address is set in the root for user code, which maps little.
        self.core.cpus.iter().flat_map(|cpu| [cpu.cr3(), cpu.cr3() & !0x1000]).any(|cr3| {
            let process = space.of_process(root_of_cr3(cr3));
            process.translate(symbol).is_ok_and(|root| root == space.root())
        })
    }
}

#[cfg(test)]
#[path = "vmcoreinfo_tests.rs"]
mod tests;
