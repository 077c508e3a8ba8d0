//! ext4, and ext3 by its driver.
//!
//! ```text
//! s_fs_info ──► ext4_sb_info ──s_es──► ext4_super_block: s_blocks_count, s_r_blocks_count    in blocks
//!               s_freeclusters_counter, s_dirtyclusters_counter, s_resv_clusters, s_overhead in clusters
//! ```
//!
//! Source: `ext4_statfs` in `fs/ext4/super.c`.

use super::{FileSystem, Usage, UsageError};
use crate::kernel::types::ObjectError;

/// `EXT4_MOUNT_MINIX_DF`: what the file system needs for itself counts, too.
const MINIX_DF: u64 = 0x80;

pub(super) fn usage(system: &FileSystem<'_>) -> Result<Usage, UsageError> {
    let own = system.own("ext4_sb_info")?;
    let on_disk = own.to("s_es", "ext4_super_block")?;
    // What is on disk is little-endian on every machine; those that are read here are, too.
    let blocks = |name: &str| {
        let (low, high) =
            (on_disk.u64(&format!("{name}_lo"))?, on_disk.u64(&format!("{name}_hi"))?);
        Ok::<_, ObjectError>(high.wrapping_shl(32) | low)
    };
    let (all, reserved) = (blocks("s_blocks_count")?, blocks("s_r_blocks_count")?);
    let free = system.counter(&own, "s_freeclusters_counter")?;
    let free = free.saturating_sub(system.counter(&own, "s_dirtyclusters_counter")?);
    let overhead = if own.u64("s_mount_opt")? & MINIX_DF == 0 { own.u64("s_overhead")? } else { 0 };
    let kept = own.u64("s_resv_clusters.counter")?;
    let cluster_bits = own.u32("s_cluster_bits")?;
    let in_blocks = |clusters: u64| clusters.checked_shl(cluster_bits);
    let block = system.super_block.u64("s_blocksize")?;
    let sums = || {
        let total = all.checked_sub(in_blocks(overhead)?)?;
        let free = in_blocks(free)?;
        let kept = reserved.checked_add(in_blocks(kept)?)?;
        Some(Usage {
            total: total.checked_mul(block)?,
            used: total.checked_sub(free)?.checked_mul(block)?,
            available: free.saturating_sub(kept).checked_mul(block)?,
        })
    };
    sums().ok_or(UsageError::Contradiction)
}
