//! The kernel's image by the page tables of vCPUs.
//!
//! ```text
//! 0xffffffff80000000 ··········· _text ═══════════════ _end ···· + 1 GiB
//!                    not mapped  one after the other in memory
//! ```
//!
//! With page-table isolation, a vCPU in user mode has a second table in use, which maps a
//! few pages of the kernel alone. The kernel's own is the page before it.

use std::sync::Arc;

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::cursor::Endian;
use vmcore_formats::elf::qemu_cpu::QemuCpu;
use vmcore_formats::paging::{CR4_LA57, Paging, X86_64, root_of_cr3};

use crate::kernel::find::address_space::{USER_CR3, X86_IMAGE};
use crate::kernel::page_tables::AddressSpace;
use crate::vmcore::PhysMemory;

/// Images begin at a multiple of this.
const ALIGNMENT: u64 = 2 << 20;
/// Images are not further away from where they could begin.
const MAX_DISTANCE: u64 = 1 << 30;
/// The smallest image. Those of distributions have 30 MiB and more.
const MIN_LENGTH: u64 = 4 << 20;

/// An image.
pub(super) struct Image {
    pub(super) space: AddressSpace,
    pub(super) start: VirtAddr,
    /// What is added to an address in the image, above where images are linked to run.
    pub(super) phys_base: u64,
    pub(super) five_levels: bool,
}

/// The image by each page table in use, the likelier ones first.
pub(super) fn all<'a>(
    memory: &'a Arc<dyn PhysMemory>,
    cpus: &'a [QemuCpu],
) -> impl Iterator<Item = Image> + 'a {
    let five_levels = cpus.iter().any(|cpu| cpu.cr4() & CR4_LA57 != 0);
    let paging = Paging::X86_64(X86_64 { five_levels, encryption_mask: 0 });
    let roots = cpus.iter().flat_map(|cpu| [cpu.cr3() & !USER_CR3, cpu.cr3()]);
    let mut tried = Vec::new();
    roots.map(root_of_cr3).filter_map(move |root| {
        if root.0 == 0 || tried.contains(&root) {
            return None;
        }
        tried.push(root);
        let space = AddressSpace::new(Arc::clone(memory), paging, root, Endian::Little);
        let starts = (0..MAX_DISTANCE / ALIGNMENT)
            .map(|step| VirtAddr(X86_IMAGE.wrapping_add(step.wrapping_mul(ALIGNMENT))));
        let (start, physical) =
            starts.filter_map(|at| Some((at, space.translate(at).ok()?))).next()?;
        let end = space.translate(VirtAddr(start.0.wrapping_add(MIN_LENGTH))).ok()?;
        let phys_base = physical.0.wrapping_sub(start.0.wrapping_sub(X86_IMAGE));
        (end.0.wrapping_sub(physical.0) == MIN_LENGTH).then_some(Image {
            space,
            start,
            phys_base,
            five_levels,
        })
    })
}
