//! The kernel's image in its own addresses, and a search through it for what no symbol names.

use memchr::memmem::Finder;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::AddressSpace;

/// How much of an image is looked through. Kernels have 20 to 100 MiB.
pub(super) const MAX_LENGTH: u64 = 256 << 20;
/// Images begin at a multiple of this, and `_stext` is less than this further on.
const ALIGNMENT: u64 = 2 << 20;
/// How much is read at once.
const PIECE: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// Where the image begins, if VMCOREINFO has a symbol in it.
pub(super) fn start(info: &VmcoreInfo) -> Option<VirtAddr> {
    Some(VirtAddr(info.symbol("_stext")?.0 & !(ALIGNMENT - 1)))
}

/// Looks for `pattern` in `length` bytes from `from` on, until `accept` gives something.
///
/// What is not mapped is passed over.
pub(super) fn search<T>(
    space: &AddressSpace,
    from: VirtAddr,
    length: u64,
    pattern: &[u8],
    mut accept: impl FnMut(VirtAddr) -> Option<T>,
) -> Option<T> {
    let finder = Finder::new(pattern);
    // A pattern may cross the end of a piece.
    let edge = (pattern.len() as u64).saturating_sub(1);
    let end = from.0.saturating_add(length);
    let mut at = from.0;
    while at < end {
        let run = run(space, VirtAddr(at));
        let Ok(bytes) = space.read_vec(VirtAddr(at), usize::try_from(run).ok()?) else {
            at = at.saturating_add(PAGE.saturating_sub(at % PAGE));
            continue;
        };
        let mut found = finder.find_iter(&bytes);
        if let Some(found) = found.find_map(|skip| accept(VirtAddr(at.saturating_add(skip as u64))))
        {
            return Some(found);
        }
        at = at.saturating_add(if run > edge { run.saturating_sub(edge) } else { run });
        if run < PIECE {
            // The run ended at something that is not mapped, or there is less than an edge left.
            at = at.saturating_add(edge).max(at.saturating_add(1));
        }
    }
    None
}

/// How many bytes from `at` on are mapped, up to a piece; the rest of the page if none are.
fn run(space: &AddressSpace, at: VirtAddr) -> u64 {
    let Ok(first) = space.mapping(at) else { return PAGE.saturating_sub(at.0 % PAGE) };
    let mut length = first.left(at);
    while length < PIECE {
        let next = at.wrapping_add(length);
        let Ok(found) = space.mapping(next) else { break };
        length = length.saturating_add(found.left(next));
    }
    length.min(PIECE)
}
