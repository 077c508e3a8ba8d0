//! tmpfs, devtmpfs, and a rootfs that is one.
//!
//! ```text
//! s_fs_info ──► shmem_sb_info: max_blocks, used_blocks     in pages
//! ```
//!
//! Source: `shmem_statfs` in `mm/shmem.c`.

use super::{FileSystem, Usage, UsageError};

/// Returns `Ok(None)` if it has no limit: `df` shows nothing of it, either.
pub(super) fn usage(system: &FileSystem<'_>) -> Result<Option<Usage>, UsageError> {
    let own = system.own("shmem_sb_info")?;
    let bytes =
        |pages: u64| pages.checked_mul(system.kernel.page_size()).ok_or(UsageError::Contradiction);
    let total = bytes(own.u64("max_blocks")?)?;
    let used = bytes(system.counter(&own, "used_blocks")?)?;
    Ok((total > 0).then(|| Usage { total, used, available: total.saturating_sub(used) }))
}
