//! Entries of page tables.

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::paging::{Arm64, Granule, Paging, X86_64, root_of_cr3};

use crate::input::Input;
use crate::limits::{SMALL, within};

/// A selector, an address, and entries.
pub(crate) fn run(input: &[u8]) {
    within(SMALL, || {
        let mut input = Input::new(input);
        let (selector, bits) = (input.u8(), u32::from(input.u8()));
        let at = VirtAddr(input.u64());
        let Some(paging) = format(selector, bits, at) else { return };
        let _ = paging.check(at);
        let _ = root_of_cr3(at.0);
        while !input.is_empty() {
            let value = input.u64();
            for level in paging.levels() {
                assert!(level.index(at) < 1 << level.bits, "an index past the table");
                let _ = (paging.decode(level, value), paging.flags(level, value), level.span());
            }
            let _ = paging.is_executable(value);
        }
    });
}

fn format(selector: u8, bits: u32, at: VirtAddr) -> Option<Paging> {
    if selector & 1 == 0 {
        let five_levels = selector & 2 == 2;
        return Some(Paging::X86_64(X86_64 { five_levels, encryption_mask: at.0 }));
    }
    let granule = Granule::of_page_size(
        [4096, 16384, 65536, 1].get(usize::from(selector >> 2 & 3)).copied()?,
    )?;
    let kernel = Arm64::kernel(granule, bits)?;
    Some(Paging::Arm64(if selector & 2 == 2 { kernel.user() } else { kernel }))
}
