//! The kernel's image in its own addresses, and a search through it for what no symbol names.

use memchr::memmem::Finder;
use vmcore_formats::addr::VirtAddr;
use vmcore_formats::vmcoreinfo::VmcoreInfo;

use super::AddressSpace;

/// How much of an image is looked through. Kernels have 20 to 100 MiB.
pub(super) const MAX_LENGTH: u64 = 256 << 20;
/// Images begin at a multiple of this, and `_stext` is less than this further on.
const ALIGNMENT: u64 = 2 << 20;
/// How much is read at once: into one buffer, which stays in a processor's cache.
const PIECE: u64 = 128 << 10;
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
    let mut look = |start: VirtAddr, bytes: &[u8]| {
        finder.find_iter(bytes).find_map(|skip| accept(start.wrapping_add(skip as u64)))
    };
    let mut whole = Vec::new();
    while at < end {
        let run = run(space, VirtAddr(at));
        whole.resize(usize::try_from(run).unwrap_or_default(), 0);
        let found = if space.read(VirtAddr(at), &mut whole).is_ok() {
            look(VirtAddr(at), &whole)
        } else {
            let parts = readable_parts(space, VirtAddr(at), run);
            parts.iter().find_map(|(start, bytes)| look(*start, bytes))
        };
        if found.is_some() {
            return found;
        }
        at = at.saturating_add(if run > edge { run.saturating_sub(edge) } else { run });
        if run < PIECE {
            // The run ended at something that is not mapped, or there is less than an edge left.
            at = at.saturating_add(edge).max(at.saturating_add(1));
        }
    }
    None
}

/// What there is of `length` bytes from `at` on, if that is not all of them.
fn readable_parts(space: &AddressSpace, at: VirtAddr, length: u64) -> Vec<(VirtAddr, Vec<u8>)> {
    let read = |at, length| space.read_vec(at, usize::try_from(length).unwrap_or_default());
    let mut found: Vec<(VirtAddr, Vec<u8>)> = Vec::new();
    let (mut skip, mut follows) = (0, false);
    // Up to here, the unit is not all there: what there is of it is read page by page.
    let mut broken = 0;
    while skip < length {
        let from = at.wrapping_add(skip);
        let left = length.saturating_sub(skip);
        let page = PAGE.saturating_sub(from.0 % PAGE).min(left);
        let part = if skip < broken { page } else { part(space, from).clamp(1, left) };
        match (read(from, part), found.last_mut()) {
            (Ok(bytes), Some((_, before))) if follows => before.extend(bytes),
            (Ok(bytes), _) => {
                found.push((from, bytes));
                follows = true;
            }
            (Err(_), _) if part > page => {
                broken = skip.saturating_add(part);
                continue;
            }
            (Err(_), _) => follows = false,
        }
        skip = skip.saturating_add(part);
    }
    found
}

/// How many bytes from `at` on are in one page and in one unit of the core.
fn part(space: &AddressSpace, at: VirtAddr) -> u64 {
    let Ok(mapping) = space.mapping(at) else { return PAGE.saturating_sub(at.0 % PAGE) };
    let physical = mapping.translate(at);
    let unit = space.memory().piece_end(physical).0.saturating_sub(physical.0);
    mapping.left(at).min(unit)
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
