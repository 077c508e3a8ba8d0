//! Where a kernel's BTF is.
//!
//! ```text
//! image   _text ─ _etext ─ .rodata ... kallsyms ─ __ksymtab ... __start_BTF ─ __stop_BTF ...
//!                                      ▲ VMCOREINFO (6.0+)      ▲ kallsyms, if it has data
//! ```
//!
//! It stands shortly behind kallsyms. Where VMCOREINFO tells where that is, it is looked
//! for from there on, so that types need not wait for symbols. Else the symbol tells; and
//! where kallsyms has no data (`KALLSYMS_ALL` is off), the whole image is looked through.
//! Memory has other copies: of modules, and what the decompressor left. They are not in
//! the image, or much shorter.

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::btf::{Header, MAGIC};
use vmcore_formats::endian::Endian;

use crate::kernel::{AddressSpace, Kernel, image};

/// A kernel's types take more than this; a module's take less.
const MIN_TYPES: u32 = 200_000;
/// How far behind kallsyms BTF may be.
const BEHIND_KALLSYMS: u64 = 16 << 20;
/// The length of a header with a layout section.
const HEAD: usize = 32;

/// Where BTF begins, and how long it is.
pub(super) fn find(kernel: &Kernel) -> Option<(VirtAddr, usize)> {
    const KALLSYMS: [&str; 4] =
        ["kallsyms_token_index", "kallsyms_token_table", "kallsyms_offsets", "kallsyms_names"];
    let space = &kernel.space;
    let last = KALLSYMS.iter().filter_map(|name| kernel.info.symbol(name)).max();
    let behind = last.and_then(|from| scan(space, from, BEHIND_KALLSYMS));
    let by_symbol = || {
        let start = kernel.symbol("__start_BTF")?;
        let head = space.read_vec(start, HEAD).ok()?;
        Some((start, length(&head, space.endian())?))
    };
    let in_image = || scan(space, image::start(&kernel.info)?, image::MAX_LENGTH);
    behind.or_else(by_symbol).or_else(in_image)
}

/// The length that a header tells, if it is that of a kernel's BTF.
fn length(head: &[u8], endian: Endian) -> Option<usize> {
    // The header may be followed by types at once: what it tells of a layout is then none.
    let header = Header::decode(head, endian).ok()?;
    let likely = header.types.length > MIN_TYPES && header.strings.length > MIN_TYPES / 4;
    usize::try_from(header.length()).ok().filter(|_| likely)
}

/// Looks for BTF in virtual memory.
fn scan(space: &AddressSpace, from: VirtAddr, length: u64) -> Option<(VirtAddr, usize)> {
    let magic = [space.endian().u16_bytes(MAGIC), [1, 0]].concat();
    image::search(space, from, length, &magic, |at| {
        let head = space.read_vec(at, HEAD).ok().filter(|_| at.is_aligned(4))?;
        Some((at, self::length(&head, space.endian())?))
    })
}
