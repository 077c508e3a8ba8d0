//! The kernel's image by the page tables of vCPUs.
//!
//! ```text
//! 0xffffffff80000000 ··········· _text ═══════════════ _end ···· + 1 GiB
//!                    not mapped  contiguous in memory
//! ```
//!
//! With page-table isolation, a vCPU in user mode has a second table in use, which maps a
//! few pages of the kernel alone. The kernel's own is the page before it.

use std::sync::Arc;

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::elf::qemu_cpu::QemuCpu;
use vmcore_formats::endian::Endian;
use vmcore_formats::paging::{Paging, X86_64, root_of_cr3};

use super::paging::{IMAGE_MAP, USER_CR3, has_five_levels};
use crate::kernel::arch::Image;
use crate::kernel::page_tables::AddressSpace;
use crate::vmcore::PhysMemory;

/// Where images are linked to run, without KASLR.
const LINKED: u64 = IMAGE_MAP + (16 << 20);
/// Images begin at a multiple of this.
const ALIGNMENT: u64 = 2 << 20;
/// Images are not further away from where they could begin.
const MAX_DISTANCE: u64 = 1 << 30;
/// The smallest image. Those of distributions have 30 MiB and more.
const MIN_LENGTH: u64 = 4 << 20;

/// The image by each page table in use, the likelier ones first.
pub(super) fn all<'a>(
    memory: &'a Arc<dyn PhysMemory>,
    cpus: &'a [QemuCpu],
) -> impl Iterator<Item = Image> + 'a {
    let five_levels = has_five_levels(cpus);
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
            .map(|step| VirtAddr(IMAGE_MAP.wrapping_add(step.wrapping_mul(ALIGNMENT))));
        let (start, physical) =
            starts.filter_map(|at| Some((at, space.translate(at).ok()?))).next()?;
        let end = space.translate(start.wrapping_add(MIN_LENGTH)).ok()?;
        let phys_base = physical.0.wrapping_sub(start.0.wrapping_sub(IMAGE_MAP));
        (end.0.wrapping_sub(physical.0) == MIN_LENGTH).then(|| Image {
            space,
            start,
            location: location(start, phys_base, five_levels),
        })
    })
}

/// What the kernel's VMCOREINFO says of where it is.
fn location(start: VirtAddr, phys_base: u64, five_levels: bool) -> String {
    format!(
        "PAGESIZE=4096\nNUMBER(phys_base)={}\nNUMBER(pgtable_l5_enabled)={}\nKERNELOFFSET={:x}\n",
        phys_base.cast_signed(),
        u8::from(five_levels),
        start.0.wrapping_sub(LINKED)
    )
}
