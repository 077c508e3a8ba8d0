//! The ORC tables of a kernel and its modules, read when they are first needed.
//!
//! ```text
//! kernel   __start_orc_unwind_ip .. __stop_orc_unwind_ip   where code begins
//!          __start_orc_unwind                              entries
//!          __start_orc_header                              a hash that identifies the format
//! module   arch.{orc_unwind_ip, orc_unwind, num_orcs}
//! ```
//!
//! The hash is there since Linux commit b9f174c811e3 "x86/unwind/orc: Add ELF section with ORC
//! version identifier" (in v6.4). A table of addresses is read as a whole, because it is searched; an
//! entry when it is needed. A trampoline of ftrace has the entries of the code that it is a copy of.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::orc::{ENTRY_SIZE, IP_SIZE, IpTable, OrcEntry, OrcShape, OrcVersion};

use super::ftrace::Trampolines;
use crate::kernel::Kernel;
use crate::kernel::budget::Budget;

/// The most entries of one table: a kernel with everything built in has less than a million.
const MAX_ENTRIES: u64 = 4 << 20;
/// The longest tables of addresses of all modules together, in bytes.
const MAX_OF_MODULES: u64 = 32 << 20;
/// How many bytes of entries are looked at to tell their version.
const SAMPLE: usize = 64 << 10;
const HASH: usize = 20;

/// The tables.
#[derive(Debug)]
pub(super) struct OrcTables {
    version: OrcVersion,
    kernel: Option<Table>,
    /// Those of modules, by where the tables of addresses are.
    modules: Mutex<HashMap<VirtAddr, Option<Arc<Table>>>>,
    /// How many bytes of them may still be kept.
    left: Budget,
    trampolines: OnceLock<Trampolines>,
}

/// One table: the addresses, and where the entries are.
#[derive(Debug)]
struct Table {
    ips_at: VirtAddr,
    ips: Vec<u8>,
    entries: VirtAddr,
}

impl Table {
    fn read(kernel: &Kernel, ips_at: VirtAddr, entries: VirtAddr, count: u64) -> Option<Self> {
        let count = usize::try_from(count.min(MAX_ENTRIES)).ok()?;
        let ips = kernel.space.read_vec(ips_at, count.checked_mul(IP_SIZE)?).ok()?;
        Some(Self { ips_at, ips, entries })
    }

    fn find(&self, kernel: &Kernel, ip: VirtAddr, version: OrcVersion) -> Option<OrcEntry> {
        let index = IpTable::new(self.ips_at, &self.ips).find(ip)?;
        let offset = u64::try_from(index.checked_mul(ENTRY_SIZE)?).ok()?;
        let mut bytes = [0; ENTRY_SIZE];
        kernel.space.read(self.entries.checked_add(offset)?, &mut bytes).ok()?;
        OrcEntry::decode(bytes, version)
    }
}

impl OrcTables {
    /// Finds the tables of a kernel.
    ///
    /// Returns `None` if the kernel was built without. What is missing or damaged of them
    /// goes to `findings`.
    pub(super) fn of(kernel: &Kernel, findings: &mut Vec<String>) -> Option<Self> {
        let ips_at = kernel.symbol("__start_orc_unwind_ip")?;
        let entries = kernel.symbol("__start_orc_unwind")?;
        let end = kernel.symbol("__stop_orc_unwind_ip").unwrap_or(ips_at);
        let count = end.0.saturating_sub(ips_at.0) / IP_SIZE as u64;
        if count == 0 {
            return None;
        }
        if count > MAX_ENTRIES {
            findings.push(format!(
                "the kernel's ORC tables should have {count} entries: only {MAX_ENTRIES} were read"
            ));
        }
        let (version, finding) = version(kernel, entries, count);
        findings.extend(finding);
        let table = Table::read(kernel, ips_at, entries, count);
        if table.is_none() {
            findings.push(format!("the kernel's ORC tables at {ips_at} cannot be read"));
        }
        let (modules, left) = (Mutex::default(), Budget::of(MAX_OF_MODULES));
        Some(Self { version, kernel: table, modules, left, trampolines: OnceLock::new() })
    }

    /// What they say of the code at an address, if anything.
    pub(super) fn find(&self, kernel: &Kernel, ip: VirtAddr) -> Option<OrcEntry> {
        if kernel.symbols().is_ok_and(|symbols| symbols.is_code(ip)) {
            return self.kernel.as_ref()?.find(kernel, ip, self.version);
        }
        if let Some(module) = kernel.modules().containing(ip) {
            let tables = module.orc?;
            let mut known = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
            let read = || {
                let count = tables.count.min(MAX_ENTRIES);
                self.left.take(count.saturating_mul(IP_SIZE as u64)).ok()?;
                Table::read(kernel, tables.ips, tables.entries, count)
            };
            let table = known.entry(tables.ips).or_insert_with(|| read().map(Arc::new)).clone();
            drop(known);
            return table?.find(kernel, ip, self.version);
        }
        let trampolines = self.trampolines.get_or_init(|| Trampolines::of(kernel));
        let original = trampolines.original(ip)?;
        self.kernel.as_ref()?.find(kernel, original, self.version)
    }
}

/// The version of the entries, and what is doubtful about that.
fn version(kernel: &Kernel, entries: VirtAddr, count: u64) -> (OrcVersion, Option<String>) {
    let hash = kernel.symbol("__start_orc_header");
    let hash = hash.and_then(|at| kernel.space.read_vec(at, HASH).ok());
    if let Some(version) = hash.and_then(|hash| OrcVersion::of_hash(&hash)) {
        return (version, None);
    }
    let length = usize::try_from(count).unwrap_or(SAMPLE).saturating_mul(ENTRY_SIZE).min(SAMPLE);
    let sample = kernel.space.read_vec(entries, length).unwrap_or_default();
    let shape = kernel.types().ok().map(|types| OrcShape {
        signal: types.has("orc_entry", "signal"),
        end: types.has("orc_entry", "end"),
    });
    let by_shape = shape.and_then(|shape| OrcVersion::of_shape(shape, &sample));
    match by_shape.or_else(|| OrcVersion::of_entries(&sample)) {
        Some(version) => (version, None),
        None => {
            let doubt = "the version of the kernel's ORC tables is not known: they are read as \
                         format version 3";
            (OrcVersion::V3, Some(doubt.to_owned()))
        }
    }
}
