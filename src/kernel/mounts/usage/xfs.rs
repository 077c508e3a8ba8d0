//! XFS.
//!
//! ```text
//! s_fs_info ──► xfs_mount: m_sb: sb_blocksize, sb_dblocks, sb_logblocks (of a log that is inside)
//!               m_fdblocks, or m_free[XC_FREE_BLOCKS].count     free blocks
//!               m_alloc_set_aside, m_allocbt_blks               of them, not available
//! ```
//!
//! Source: `xfs_fs_statfs` in `fs/xfs/xfs_super.c`; the members' names and types tell which of
//! its versions it is.

use super::{FileSystem, Usage, UsageError};

pub(super) fn usage(system: &FileSystem<'_>) -> Result<Usage, UsageError> {
    let own = system.own("xfs_mount")?;
    let free = if own.has("m_fdblocks") { "m_fdblocks" } else { "m_free[0].count" };
    let free = system.counter(&own, free)?;
    let aside = own.u64("m_alloc_set_aside")?;
    // Blocks of the free-space trees; older kernels do not count them.
    let trees = "m_allocbt_blks.counter";
    let trees = if own.has(trees) { own.u64(trees)? } else { 0 };
    let log = if own.u64("m_sb.sb_logstart")? == 0 { 0 } else { own.u64("m_sb.sb_logblocks")? };
    let (all, block) = (own.u64("m_sb.sb_dblocks")?, own.u64("m_sb.sb_blocksize")?);
    let sums = || {
        let total = all.checked_sub(log)?;
        let free = free.saturating_sub(aside.checked_add(trees)?);
        let available = free.checked_mul(block)?;
        let used = total.checked_sub(free)?.checked_mul(block)?;
        Some(Usage { total: total.checked_mul(block)?, used, available })
    };
    sums().ok_or(UsageError::Contradiction)
}
