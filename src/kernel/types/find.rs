//! Where a kernel's BTF is.
//!
//! ```text
//! image   _text ─ _etext ─ .rodata ... kallsyms ─ __ksymtab ... __start_BTF ─ __stop_BTF ...
//!                                      ▲ VMCOREINFO             ▲ kallsyms, if it has data
//! ```
//!
//! BTF follows kallsyms within a few MiB. If VMCOREINFO has the address of kallsyms, the search
//! starts there, so that types need not wait for symbols; else the symbol `__start_BTF` is used.
//! Without `KALLSYMS_ALL` there is no such symbol, and the whole image is searched. Memory has
//! other BTF: that of modules, and a stale copy left by the decompressor. They are outside of
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

/// The length in a header, if it is that of a kernel's BTF.
fn length(head: &[u8], endian: Endian) -> Option<usize> {
    // Types may directly follow a header of 24 bytes: its layout fields are then not read.
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
