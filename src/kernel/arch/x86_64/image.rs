//! The kernel's image by the page tables of vCPUs.
//!
//! ```text
//! 0xffffffff80000000 ··········· _text ═══════════════ _end ···· + 1 GiB
//!                    not mapped  contiguous in memory
//! ```
//!
//! With page-table isolation, a vCPU in user mode has a second table in use, which maps a
//! few pages of the kernel alone. The kernel's own is the page before it.
//!
//! Each process has a root of its own, and the tables below it that map the kernel are the same
//! for all: they are looked at once, and not once for each vCPU.

use std::sync::Arc;

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::elf::qemu_cpu::QemuCpu;
use vmcore_formats::endian::Endian;
use vmcore_formats::paging::{Entry, Paging, X86_64, root_of_cr3};

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
/// How many images there are at most: vCPUs that run guests of their own have others in use.
const MAX_IMAGES: usize = 16;

/// The images by the page tables in use, the likelier ones first.
pub(super) fn all<'a>(
    memory: &'a Arc<dyn PhysMemory>,
    cpus: &'a [QemuCpu],
) -> impl Iterator<Item = Image> + 'a {
    let five_levels = has_five_levels(cpus);
    let paging = Paging::X86_64(X86_64 { five_levels, encryption_mask: 0 });
    let roots = cpus.iter().flat_map(|cpu| [cpu.cr3() & !USER_CR3, cpu.cr3()]);
    let mut tried = Vec::new();
    let images = roots.map(root_of_cr3).filter(|root| root.0 != 0).filter_map(move |root| {
        let space = AddressSpace::new(Arc::clone(memory), paging, root, Endian::Little);
        // An entry of the root covers all places of an image.
        let walk = space.walk(VirtAddr(IMAGE_MAP));
        let Entry::Table(tables) = walk.steps.first()?.meaning else { return None };
        if tried.contains(&tables) {
            return None;
        }
        tried.push(tables);
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
    });
    images.take(MAX_IMAGES)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::test_kernel::TestMemory;

    /// Tables from 0x2000 on that map an image at 16 MiB, and roots that lead to them.
    fn memory(roots: &[u64]) -> TestMemory {
        let memory = TestMemory::new(0..0x4_0000)
            .word(0x2000 + 510 * 8, 0x3063)
            .word(0x4000 + 510 * 8, 0x3063);
        let memory = (8..12)
            .fold(memory, |memory, index| memory.word(0x3000 + index * 8, 0x1e3 | (index << 21)));
        roots.iter().fold(memory, |memory, root| memory.word(root + 511 * 8, 0x2063))
    }

    fn images(memory: TestMemory, roots: &[u64]) -> Vec<(u64, u64)> {
        let memory: Arc<dyn PhysMemory> = Arc::new(memory);
        let cpu = |cr3: &u64| QemuCpu { control: [0, 0, 0, *cr3, 0], ..QemuCpu::default() };
        let cpus: Vec<_> = roots.iter().map(cpu).collect();
        all(&memory, &cpus).map(|image| (image.space.root().0, image.start.0)).collect()
    }

    #[test]
    fn an_image_that_all_processes_share_is_one() {
        let roots = [0x1_0000, 0x1_2000, 0x1_4000];
        assert_eq!(images(memory(&roots), &roots), [(0x1_0000, LINKED)]);
        // By tables of its own, it may be another.
        let other = memory(&roots).word(0x1_2000 + 511 * 8, 0x4063);
        assert_eq!(images(other, &roots), [(0x1_0000, LINKED), (0x1_2000, LINKED)]);
        // What maps no image does not count, and what follows it does.
        let none = memory(&roots).word(0x1_0000 + 511 * 8, 0);
        assert_eq!(images(none, &roots), [(0x1_2000, LINKED)]);
    }
}
