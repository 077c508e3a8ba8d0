//! The guest's kernel, out of its own memory.
//!
//! ```text
//! Vmcore ──► vmcoreinfo ──► AddressSpace ──┬──► log
//!            (find)         kernel         │    printk's records
//!                           addresses      └──► symbols
//!                                               names of addresses
//! ```
//!
//! Needs: an open core. Memory is read only through `PhysMemory`. Everything
//! that is read from it may be wrong: lengths, counts and pointers are bounded.

mod arch;
pub mod backtrace;
mod budget;
pub mod cpus;
pub mod find;
mod first_variables;
pub mod identity;
mod image;
pub mod known_variables;
pub mod leave_out;
pub mod log;
pub mod memory_usage;
pub mod modules;
pub mod mounts;
pub mod page_classes;
pub mod page_tables;
mod per_cpu;
mod per_cpu_objects;
pub mod print;
mod reading;
mod string;
pub mod symbolised_address;
pub mod symbols;
pub mod taint;
pub mod tasks;
#[cfg(test)]
pub(crate) mod test_kernel;
pub mod types;
pub mod unwind;
pub mod view;

pub use arch::PageTablesError;
pub use budget::Spent;
pub use modules::{ModuleTypesError, Modules};
pub use page_tables::AddressSpace;
pub use symbolised_address::{CodeAddress, SymbolisedAddress};
pub use symbols::{Symbols, SymbolsError};
pub use tasks::Tasks;
pub use types::{Types, TypesError};

use std::sync::OnceLock;

use thiserror::Error;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use crate::vmcore::Vmcore;
use arch::Arch;
use find::{SearchDepth, by_image, in_memory};
use symbols::Areas;

/// A guest's kernel.
#[derive(Debug)]
pub struct Kernel {
    /// Its VMCOREINFO.
    pub info: VmcoreInfo,
    /// Where that was found.
    pub source: in_memory::Origin,
    /// Its addresses.
    pub space: AddressSpace,
    arch: &'static dyn Arch,
    symbols: OnceLock<Result<Symbols, SymbolsError>>,
    types: OnceLock<Result<Types, TypesError>>,
    modules: OnceLock<Modules>,
    module_types: modules::ModuleTypes,
    unwinder: OnceLock<unwind::Unwinder>,
    areas: OnceLock<Areas>,
    tasks: OnceLock<Tasks>,
    per_cpu: OnceLock<per_cpu::PerCpu>,
}

/// Why a kernel is not found in a core.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// There is no VMCOREINFO.
    #[error(transparent)]
    Info(#[from] in_memory::VmcoreInfoError),
    /// Its page tables are not where it says.
    #[error(transparent)]
    AddressSpace(#[from] PageTablesError),
}

impl Kernel {
    /// Finds a core's kernel.
    ///
    /// Where the core has no VMCOREINFO note, the kernel that a vCPU runs is found by its page
    /// tables and its symbols. Where vCPUs lead to none, VMCOREINFO is looked for in the parts of
    /// memory where it is likely.
    ///
    /// # Errors
    /// Fails if there is no VMCOREINFO, or its page tables do not map the kernel.
    pub fn find(core: &Vmcore) -> Result<Self, KernelError> {
        Self::find_in(core, SearchDepth::Bounded)
    }

    /// The same, with as much of memory searched as is asked for.
    pub fn find_in(core: &Vmcore, depth: SearchDepth) -> Result<Self, KernelError> {
        let noted = core.vmcoreinfo_note().is_some_and(|info| info.release().is_some());
        if !noted && let Some(kernel) = by_image::find(core) {
            return Ok(kernel);
        }
        let in_memory::LocatedVmcoreInfo { info, source } = in_memory::find(core, depth)?;
        let space = AddressSpace::find(core, &info)?;
        Ok(Self::new(info, source, space))
    }

    fn new(info: VmcoreInfo, source: in_memory::Origin, space: AddressSpace) -> Self {
        Self {
            arch: arch::of_paging(space.paging()),
            info,
            source,
            space,
            symbols: OnceLock::new(),
            types: OnceLock::new(),
            modules: OnceLock::new(),
            module_types: modules::ModuleTypes::default(),
            unwinder: OnceLock::new(),
            areas: OnceLock::new(),
            tasks: OnceLock::new(),
            per_cpu: OnceLock::new(),
        }
    }

    /// Where VMCOREINFO comes from, as a sentence, if it is not from the note.
    pub fn origin(&self) -> Option<String> {
        match self.source {
            in_memory::Origin::Note => None,
            in_memory::Origin::Memory { at, candidates, in_use } => {
                let used = match in_use {
                    Some(true) => "a vCPU uses its page tables",
                    Some(false) => "no vCPU uses its page tables",
                    None => "what the vCPUs use is not known",
                };
                Some(format!(
                    "the core has no VMCOREINFO note; the one at {at} in memory was taken, of {candidates} found; {used}"
                ))
            }
            in_memory::Origin::Synthetic { image, symbols, with_types } => {
                let types = if with_types { "types" } else { "no types" };
                Some(format!(
                    "the core has no VMCOREINFO, neither as a note nor in memory; a synthetic one was made from the kernel at {image}, which a vCPU runs: it has {symbols} symbols, and {types}"
                ))
            }
        }
    }

    /// That the page tables of a vCPU were taken, if those that VMCOREINFO describes do not map the
    /// kernel.
    pub fn other_tables(&self) -> Option<String> {
        let root = self.space.root();
        let said = self.arch.root(&self.info).filter(|said| *said != root)?;
        Some(format!(
            "the page tables at {said}, where VMCOREINFO says they are, do not map the kernel; those at {root}, which a vCPU uses, were taken"
        ))
    }

    /// The kernel's own symbols: read when they are first asked for.
    ///
    /// # Errors
    /// Fails if they are not found, or damaged beyond use.
    pub fn symbols(&self) -> Result<&Symbols, &SymbolsError> {
        self.symbols.get_or_init(|| Symbols::read(&self.space, &self.info)).as_ref()
    }

    /// Where a symbol is: as VMCOREINFO says, else as the kernel's own table says.
    pub fn symbol(&self, name: &str) -> Option<VirtAddr> {
        self.info.symbol(name).or_else(|| self.symbols().ok()?.address_of(name))
    }

    /// The symbol that an address of code is in. Addresses of data have symbols, too.
    ///
    /// Returns `None` for an address that is in nothing which has symbols.
    pub fn resolve(&self, at: CodeAddress) -> Option<SymbolisedAddress> {
        let inside = at.lookup();
        let own = || self.symbols().ok()?.containing(inside);
        let mut symbol = own().or_else(|| self.areas().containing(self, inside))?;
        symbol.offset = symbol.offset.saturating_add(at.address().0.wrapping_sub(inside.0));
        Some(symbol)
    }

    /// Whether an address is in code: the kernel's, a module's, a BPF program's, or that of a
    /// trampoline.
    pub fn is_text(&self, at: VirtAddr) -> bool {
        let own = self.symbols().is_ok_and(|symbols| symbols.is_code(at));
        own || self.areas().is_code(at)
    }

    /// The symbols of a module, by ascending address. None if the kernel keeps none, or they
    /// cannot be read.
    pub fn module_symbols(&self, module: &modules::Module) -> Vec<symbols::ModuleSymbol> {
        self.areas().of_module(self, module)
    }

    fn areas(&self) -> &Areas {
        self.areas.get_or_init(|| Areas::of(self))
    }

    /// The kernel's own types: read when they are first asked for.
    ///
    /// # Errors
    /// Fails if it carries none, or they cannot be read.
    pub fn types(&self) -> Result<&Types, &TypesError> {
        self.types.get_or_init(|| Types::of(self)).as_ref()
    }

    /// What a reader should know of its types, if they are not all its own, or damaged.
    pub fn types_findings(&self) -> &[String] {
        self.types().map(Types::findings).unwrap_or_default()
    }

    /// Names that were looked up so far and that several symbols or types have, as sentences.
    pub fn ambiguities(&self) -> Vec<String> {
        let symbols = self.symbols.get().and_then(|symbols| symbols.as_ref().ok());
        let types = self.types.get().and_then(|types| types.as_ref().ok());
        let of_symbols = symbols.map(Symbols::ambiguities).into_iter().flatten();
        of_symbols.chain(types.map(Types::ambiguities).into_iter().flatten()).collect()
    }

    /// The modules that it has loaded: read when they are first asked for.
    pub fn modules(&self) -> &Modules {
        self.modules.get_or_init(|| Modules::of(self))
    }

    /// How its stacks are unwound: found out when the first one is.
    fn unwinder(&self) -> &unwind::Unwinder {
        self.unwinder.get_or_init(|| unwind::Unwinder::of(self))
    }

    /// Its tasks: read when they are first asked for.
    pub fn tasks(&self) -> &Tasks {
        self.tasks.get_or_init(|| Tasks::of(self))
    }

    fn cpu_areas(&self) -> &per_cpu::PerCpu {
        self.per_cpu.get_or_init(|| per_cpu::PerCpu::of(self))
    }

    /// Reads symbols and types side by side, for those who need both and look them up by name:
    /// each takes as long as the other.
    pub fn read_symbols_and_types(&self) {
        std::thread::scope(|scope| {
            let read_types = || {
                if let Some(btf) = self.types().ok().and_then(Types::btf) {
                    btf.index_names();
                }
            };
            // Without the thread, they are read when they are asked for.
            let _ = std::thread::Builder::new().spawn_scoped(scope, read_types);
            if let Ok(symbols) = self.symbols() {
                symbols.index_names();
            }
        });
    }

    /// The size of a page: 4 KiB if VMCOREINFO does not tell, which all of x86-64 has.
    pub fn page_size(&self) -> u64 {
        self.info.page_size().unwrap_or(4096)
    }
}
