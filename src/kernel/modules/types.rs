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

use std::sync::{Arc, PoisonError};

use thiserror::Error;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::btf::{Btf, BtfError};

use super::MAX_MODULES;
use crate::kernel::Kernel;
use crate::kernel::page_tables::ReadError;
use crate::kernel::types::{ListOf, Object, ObjectError, Types, TypesError};

/// The longest BTF of a module that is read. That of the largest takes about 1 MB.
const MAX_LENGTH: usize = 16 << 20;

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

impl Kernel {
    /// The types of the module whose `struct module` is at this address, with those of the
    /// kernel below them: read when they are first asked for.
    ///
    /// # Errors
    /// Fails if the kernel keeps none of it, or they cannot be read.
    pub fn module_types(&self, module: VirtAddr) -> Result<Arc<Types>, ModuleTypesError> {
        let known = self.module_types.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&module) {
            return known.clone();
        }
        drop(known);
        let types = read(self, module).map(Arc::new);
        let mut known = self.module_types.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MAX_MODULES {
            known.insert(module, types.clone());
        }
        types
    }
}

fn read(kernel: &Kernel, module: VirtAddr) -> Result<Types, ModuleTypesError> {
    let types = kernel.types().map_err(Clone::clone)?;
    let head = kernel.symbol("btf_modules").ok_or(ModuleTypesError::Unsupported)?;
    let of = ListOf { structure: "btf_module", member: "list", what: "BTF of modules" };
    let entries = kernel.list(head, of).map_err(ObjectError::from)?.nodes;
    let mut entries = entries.into_iter().map(|at| Object::with(kernel, types, "btf_module", at));
    let is_of = |entry: &Object<'_>| entry.pointer("module").is_ok_and(|of| of == module);
    let entry = entries.find(is_of).ok_or(ModuleTypesError::None { module })?;
    let btf = entry.to("btf", "btf")?;
    let (at, length) = (btf.pointer("data")?, btf.u64("data_size")?);
    let length = usize::try_from(length).ok().filter(|length| *length <= MAX_LENGTH);
    let length = length.ok_or(ModuleTypesError::TooLong { at, length: btf.u64("data_size")? })?;
    let base = types.btf().ok_or(ModuleTypesError::Unsupported)?;
    let goes_on = (btf.u32("start_id")?, btf.u32("start_str_off")?);
    if goes_on != (base.next_id(), base.next_string()) {
        return Err(ModuleTypesError::OtherBase { at, goes_on: goes_on.0, end: base.next_id() });
    }
    let bytes = kernel.space.read_vec(at, length);
    let bytes = bytes.map_err(|source| ModuleTypesError::Missing { at, source })?;
    let btf = Btf::parse_split(bytes, Arc::clone(base));
    Ok(Types::new(btf.map_err(|source| ModuleTypesError::Damaged { at, source })?))
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
