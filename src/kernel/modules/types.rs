//! The types of a module, out of its own BTF.
//!
//! ```text
//! btf_modules ──list──► btf_module ──module──► the module
//!                                  ──btf─────► struct btf: data, data_size, start_id, start_str_off
//! ```
//!
//! A module's BTF continues the kernel's: its type ids and string offsets begin where those of
//! the kernel end. With `DEBUG_INFO_BTF_MODULES`, the kernel keeps it in a list apart from the
//! modules. For an out-of-tree module with `.BTF.base`, the kernel has relocated the ids to its
//! own types when it loaded the module.
//! Source: Linux commit 36e68442d1af "bpf: Load and verify kernel module BTFs" (in v5.11),
//! `kernel/bpf/btf.c`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use thiserror::Error;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::btf::{Btf, BtfError};

use super::MAX_MODULES;
use crate::kernel::Kernel;
use crate::kernel::budget::{Budget, Spent};
use crate::kernel::page_tables::ReadError;
use crate::kernel::types::{ListOf, Object, ObjectError, Types, TypesError};

/// The longest BTF of a module that is read. That of the largest takes about 1 MB.
const MAX_LENGTH: usize = 16 << 20;
/// The most BTF of modules that is kept, in bytes. That of all of a distribution's takes 20 MB,
/// and only that of file systems is read.
const MAX_ALL: u64 = 32 << 20;

/// Why a module's types are not known.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ModuleTypesError {
    /// Those of the kernel, which they continue, are not.
    #[error(transparent)]
    Kernel(#[from] TypesError),
    /// The kernel keeps none of any module.
    #[error(
        "the kernel keeps no BTF of modules (CONFIG_DEBUG_INFO_BTF_MODULES is off, or the kernel is too old for it)"
    )]
    Unsupported,
    /// It has no such module.
    #[error("the kernel has no module at {module}")]
    NoModule {
        /// Where its `struct module` should be.
        module: VirtAddr,
    },
    /// There is more of it than is kept.
    #[error("the BTF of all modules was not read: {0}")]
    Spent(#[from] Spent),
    /// It keeps none of this one.
    #[error("the kernel has no BTF of the module at {module}")]
    None {
        /// Where its `struct module` is.
        module: VirtAddr,
    },
    /// What the kernel says of it cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// It cannot be read.
    #[error("the module's BTF at {at} cannot be read: {source}")]
    Missing {
        /// Where it begins.
        at: VirtAddr,
        /// Why it cannot be read.
        source: ReadError,
    },
    /// No module has so much.
    #[error("the module's BTF at {at} would have {length} bytes")]
    TooLong {
        /// Where it begins.
        at: VirtAddr,
        /// How long it is said to be.
        length: u64,
    },
    /// It does not continue the kernel's types.
    #[error(
        "the module's BTF at {at} begins with type id {goes_on}, and the kernel's types end before {end}"
    )]
    OtherBase {
        /// Where it begins.
        at: VirtAddr,
        /// The number of its first type.
        goes_on: u32,
        /// The number that it should have.
        end: u32,
    },
    /// It is damaged.
    #[error("the module's BTF at {at} is damaged: {source}")]
    Damaged {
        /// Where it begins.
        at: VirtAddr,
        /// What is wrong with it.
        source: BtfError,
    },
}

/// The types of modules that were asked for.
#[derive(Debug)]
pub(in crate::kernel) struct ModuleTypes {
    /// By the address of each `struct module`.
    known: RwLock<HashMap<VirtAddr, Result<Arc<Types>, ModuleTypesError>>>,
    /// Where each module's `btf_module` is.
    entries: OnceLock<Result<HashMap<VirtAddr, VirtAddr>, ModuleTypesError>>,
    /// How many bytes of BTF may still be kept.
    left: Budget,
}

impl Default for ModuleTypes {
    fn default() -> Self {
        let (known, entries) = (RwLock::default(), OnceLock::new());
        Self { known, entries, left: Budget::of(MAX_ALL) }
    }
}

impl Kernel {
    /// The types of the module whose `struct module` is at this address, with those of the
    /// kernel below them: read when they are first asked for.
    ///
    /// # Errors
    /// Fails if there is no such module, the kernel keeps none of it, or they cannot be read.
    pub fn module_types(&self, module: VirtAddr) -> Result<Arc<Types>, ModuleTypesError> {
        let ModuleTypes { known, .. } = &self.module_types;
        if let Some(known) = known.read().unwrap_or_else(PoisonError::into_inner).get(&module) {
            return known.clone();
        }
        let entries = self.module_types.entries.get_or_init(|| entries(self)).as_ref();
        let entry = entries.map_err(Clone::clone)?.get(&module).copied();
        // What is no module is not kept: there may be any number of these.
        if !self.modules().has(module) {
            return Err(ModuleTypesError::NoModule { module });
        }
        let types = entry.ok_or(ModuleTypesError::None { module });
        let types = types.and_then(|entry| read(self, entry)).map(Arc::new);
        known.write().unwrap_or_else(PoisonError::into_inner).insert(module, types.clone());
        types
    }
}

/// All entries of the list, by their modules.
fn entries(kernel: &Kernel) -> Result<HashMap<VirtAddr, VirtAddr>, ModuleTypesError> {
    let types = kernel.types().map_err(Clone::clone)?;
    let head = kernel.symbol("btf_modules").ok_or(ModuleTypesError::Unsupported)?;
    let of = ListOf { structure: "btf_module", member: "list", what: "BTF of modules" };
    let list = kernel.list(head, of, &Budget::of_walk()).map_err(ObjectError::from)?;
    let mut entries = HashMap::new();
    for at in list.nodes.into_iter().take(MAX_MODULES) {
        if let Ok(module) = Object::with(kernel, types, "btf_module", at).pointer("module") {
            entries.entry(module).or_insert(at);
        }
    }
    Ok(entries)
}

/// The types that a `btf_module` leads to.
fn read(kernel: &Kernel, entry: VirtAddr) -> Result<Types, ModuleTypesError> {
    let entry = Object::at(kernel, "btf_module", entry)?;
    let btf = entry.to("btf", "btf")?;
    let (at, size) = (btf.pointer("data")?, btf.u64("data_size")?);
    let length = usize::try_from(size).ok().filter(|length| *length <= MAX_LENGTH);
    let length = length.ok_or(ModuleTypesError::TooLong { at, length: size })?;
    let base = kernel.types().map_err(Clone::clone)?.btf().ok_or(ModuleTypesError::Unsupported)?;
    let goes_on = (btf.u32("start_id")?, btf.u32("start_str_off")?);
    if goes_on != (base.next_id(), base.next_string()) {
        return Err(ModuleTypesError::OtherBase { at, goes_on: goes_on.0, end: base.next_id() });
    }
    kernel.module_types.left.take(size)?;
    let bytes = kernel.space.read_vec(at, length);
    let bytes = bytes.map_err(|source| ModuleTypesError::Missing { at, source })?;
    let btf = Btf::parse_split(bytes, Arc::clone(base));
    Ok(Types::new(btf.map_err(|source| ModuleTypesError::Damaged { at, source })?))
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
