//! How much of a file system is used, as far as the kernel keeps count of it: what `statfs`
//! would give.

mod ext4;
mod tmpfs;
mod xfs;

use std::sync::Arc;

use thiserror::Error;
use vmcore_formats::addr::VirtAddr;

use crate::kernel::budget::Budget;
use crate::kernel::types::{Object, ObjectError, Types, TypesError};
use crate::kernel::{Kernel, ModuleTypesError};

/// `TMPFS_MAGIC`: also that of devtmpfs, and of a rootfs that is a tmpfs. Source:
/// `include/uapi/linux/magic.h`.
const TMPFS: u64 = 0x0102_1994;
/// `EXT4_SUPER_MAGIC`: also that of ext2 and ext3.
const EXT4: u64 = 0xef53;
/// `XFS_SUPER_MAGIC`.
const XFS: u64 = 0x5846_5342;

/// How much of a file system is used, in bytes, as `df` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// All of it.
    pub total: u64,
    /// What is in use.
    pub used: u64,
    /// What is left for users other than root.
    pub available: u64,
}

/// Why that is not known.
#[derive(Clone, Debug, Error)]
pub(super) enum UsageError {
    /// What the kernel keeps of it cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The types of its module are not known.
    #[error(transparent)]
    Module(#[from] ModuleTypesError),
    /// Numbers that do not fit together.
    #[error("its numbers do not fit together")]
    Contradiction,
}

/// A file system whose use is looked at.
struct FileSystem<'k> {
    kernel: &'k Kernel,
    budget: &'k Budget,
    super_block: Object<'k>,
    /// Its driver's types, if that is a module.
    of_module: Option<Arc<Types>>,
}

/// How much is used of the file system with this super block.
///
/// Returns `Ok(None)` if the kernel keeps no count that is known here.
pub(super) fn of(
    kernel: &Kernel,
    super_block: VirtAddr,
    budget: &Budget,
) -> Result<Option<Usage>, UsageError> {
    let super_block = Object::at(kernel, "super_block", super_block)?;
    let magic = super_block.u64("s_magic")?;
    if ![TMPFS, EXT4, XFS].contains(&magic) {
        return Ok(None);
    }
    let kind = super_block.to("s_type", "file_system_type")?;
    let owner = kind.pointer("owner")?;
    let of_module = if owner.0 == 0 { None } else { Some(kernel.module_types(owner)?) };
    let system = FileSystem { kernel, budget, super_block, of_module };
    match magic {
        TMPFS => tmpfs::usage(&system),
        XFS => xfs::usage(&system).map(Some),
        // A driver of ext2 alone keeps something else.
        _ if kernel.string(kind.pointer("name")?, 8) == "ext2" => Ok(None),
        _ => ext4::usage(&system).map(Some),
    }
}

impl FileSystem<'_> {
    /// What the driver keeps of it.
    fn own<'a>(&'a self, structure: &'a str) -> Result<Object<'a>, UsageError> {
        let types = match &self.of_module {
            Some(types) => types,
            None => self
                .kernel
                .types()
                .map_err(|error: &TypesError| ObjectError::from(error.clone()))?,
        };
        let at = self.super_block.to("s_fs_info", structure)?.address();
        Ok(Object::with(self.kernel, types, structure, at))
    }

    /// A sum that each CPU has a part of.
    fn counter(&self, of: &Object<'_>, path: &str) -> Result<u64, UsageError> {
        Ok(self.kernel.per_cpu_counter(of, path, self.budget)?)
    }
}
