//! `Buffers`: what of the page cache belongs to block devices themselves, and not to files.
//!
//! ```text
//! blockdev_superblock ──s_inodes──list──► inode ──i_mapping──► address_space.nrpages
//! ```
//!
//! Source: `nr_blockdev_pages` in `block/bdev.c` (`fs/block_dev.c` in older kernels).

use vmcore_formats::addr::VirtAddr;

use crate::kernel::Kernel;
use crate::kernel::budget::Budget;
use crate::kernel::types::{ListOf, Object};

/// It, in pages. `None` if it cannot be read; what is wrong with the list is a finding.
pub(super) fn pages(kernel: &Kernel, findings: &mut Vec<String>) -> Option<u64> {
    let at = kernel.space.read_u64(kernel.symbol("blockdev_superblock")?).ok()?;
    let super_block = Object::at(kernel, "super_block", VirtAddr(at)).ok()?;
    let head = super_block.address_of("s_inodes").ok()?;
    let of = ListOf { structure: "inode", member: "i_sb_list", what: "block devices" };
    let list = kernel.list(head, of, &Budget::of_walk()).ok()?;
    findings.extend(list.finding);
    let of_device = |at: VirtAddr| {
        let inode = Object::at(kernel, "inode", at).ok()?;
        inode.to("i_mapping", "address_space").ok()?.u64("nrpages").ok()
    };
    Some(list.nodes.into_iter().filter_map(of_device).fold(0, u64::saturating_add))
}
