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

use memchr::memmem::Finder;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::btf::{HEADER_LENGTH, Header, MAGIC};
use vmcore_formats::cursor::Endian;

use crate::kernel::{AddressSpace, Kernel};

/// A kernel's types take more than this; a module's take less.
const MIN_TYPES: u32 = 200_000;
/// How far behind kallsyms BTF may be.
const BEHIND_KALLSYMS: u64 = 16 << 20;
/// How long an image may be.
const MAX_IMAGE: u64 = 192 << 20;
/// How much is read at once.
const PIECE: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// Where BTF begins, and how long it is.
pub(super) fn find(kernel: &Kernel) -> Option<(VirtAddr, usize)> {
    const KALLSYMS: [&str; 4] =
        ["kallsyms_token_index", "kallsyms_token_table", "kallsyms_offsets", "kallsyms_names"];
    let space = &kernel.space;
    let last = KALLSYMS.iter().filter_map(|name| kernel.info.symbol(name)).max();
    let behind = last.and_then(|from| scan(space, from, BEHIND_KALLSYMS));
    let by_symbol = || {
        let start = kernel.symbol("__start_BTF")?;
        let head = space.read_vec(start, HEADER_LENGTH).ok()?;
        Some((start, length(&head, space.endian())?))
    };
    let in_image = || {
        let text = kernel.info.symbol("_stext")?;
        scan(space, VirtAddr(text.0 & !0x1f_ffff), MAX_IMAGE)
    };
    behind.or_else(by_symbol).or_else(in_image)
}

/// The length that a header tells, if it is that of a kernel's BTF.
fn length(head: &[u8], endian: Endian) -> Option<usize> {
    // The header may be followed by types at once: what it tells of a layout is then none.
    let header = Header::decode(head, endian).ok()?;
    let likely = header.types.length > MIN_TYPES && header.strings.length > MIN_TYPES / 4;
    usize::try_from(header.length()).ok().filter(|_| likely)
}

/// Looks for BTF in virtual memory. What is not mapped is passed over.
fn scan(space: &AddressSpace, from: VirtAddr, length: u64) -> Option<(VirtAddr, usize)> {
    /// A header with a layout section.
    const HEAD: usize = 32;
    let magic = match space.endian() {
        Endian::Little => [MAGIC.to_le_bytes(), [1, 0]].concat(),
        Endian::Big => [MAGIC.to_be_bytes(), [1, 0]].concat(),
    };
    let finder = Finder::new(&magic);
    let end = from.0.saturating_add(length);
    let mut at = from.0;
    while at < end {
        let run = run(space, VirtAddr(at), PIECE);
        let Ok(bytes) = space.read_vec(VirtAddr(at), usize::try_from(run).ok()?) else {
            at = at.saturating_add(PAGE);
            continue;
        };
        for found in finder.find_iter(&bytes) {
            let place = VirtAddr(at.saturating_add(found as u64));
            let head = match bytes.get(found..).and_then(|rest| rest.get(..HEAD)) {
                Some(head) => head.to_vec(),
                None => space.read_vec(place, HEAD).unwrap_or_default(),
            };
            if let Some(length) =
                self::length(&head, space.endian()).filter(|_| place.0.is_multiple_of(4))
            {
                return Some((place, length));
            }
        }
        // A magic of four bytes may stand across the end of a piece.
        at = at.saturating_add(run.saturating_sub(3).max(PAGE.min(run.max(1))));
    }
    None
}

/// How many bytes from `at` on are mapped to memory that follows itself; a page if none.
fn run(space: &AddressSpace, at: VirtAddr, most: u64) -> u64 {
    let Ok(first) = space.mapping(at) else { return PAGE.saturating_sub(at.0 % PAGE) };
    let mut length = first.left(at);
    while length < most {
        let next = VirtAddr(at.0.wrapping_add(length));
        let Ok(found) = space.mapping(next) else { break };
        length = length.saturating_add(found.left(next));
    }
    length.min(most)
}
