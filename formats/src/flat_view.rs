//! Where a QEMU has its guest's memory: what its monitor prints for people.
//!
//! ```text
//! info mtree -f
//!   FlatView #4
//!    AS "memory", root: system
//!    AS "cpu-memory-0", root: system
//!    Root memory region: system
//!     0000000000000000-000000000009ffff (prio 0, ram): pc.ram
//!     00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
//!     0000000000100000-0000000007ffffff (prio 0, ram): pc.ram @0000000000100000 KVM
//!
//! gpa2hva 0x100000
//!   Host virtual address for 0x100000 (pc.ram) is 0x7fd75bf00000
//! ```
//!
//! The last address of a range is inclusive, `@` is the offset in the memory region, and the
//! name of an accelerator may follow. Neither text is an ABI: whatever is not exactly so is
//! refused. Source: QEMU `system/memory.c`, `mtree_print_flatview`, and
//! `monitor/hmp-cmds-target.c`, `hmp_gpa2hva`.

use thiserror::Error;

use crate::text::bounded;

/// The address space that dumps are made of.
const SYSTEM: &str = "memory";
/// The most ranges that are accepted. A usual machine has some dozens.
pub const MAX_RANGES: usize = 65_536;
/// How much of a line that is not understood is repeated, in bytes.
const SHOWN: usize = 80;

/// Why a text of QEMU's monitor is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlatViewError {
    /// A line is not as it should be.
    #[error("QEMU's memory map has a line that is not understood: {line:?}")]
    Line {
        /// The line, or its beginning.
        line: String,
    },
    /// No flat view is that of the machine's memory.
    #[error("QEMU's memory map has no address space {SYSTEM:?}")]
    NoMemory,
    /// Ranges overlap, or do not ascend.
    #[error("QEMU's memory map has a range at {start:#x} behind one that ends later")]
    Disorder {
        /// Where the later range begins.
        start: u64,
    },
    /// There are too many ranges.
    #[error("QEMU's memory map has more than {MAX_RANGES} ranges")]
    TooMany,
    /// The answer to `gpa2hva` is another.
    #[error("QEMU translates guest address {physical:#x} to {answer:?}")]
    Translation {
        /// What was asked for.
        physical: u64,
        /// The answer, or its beginning.
        answer: String,
    },
}

/// A part of the guest's memory that lies in one block of QEMU's memory, in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The guest-physical address that it begins at.
    pub start: u64,
    /// The address of its last byte.
    pub last: u64,
    /// The memory region that it lies in.
    pub region: String,
    /// Where in that region.
    pub offset: u64,
}

/// A range, as a line has it.
struct Range<'a> {
    start: u64,
    last: u64,
    kind: &'a str,
    region: &'a str,
    offset: u64,
}

/// The blocks of the guest's memory, by ascending address.
///
/// Ranges that follow each other in the guest and in one memory region are one block: a
/// machine's low memory has read-only parts.
///
/// # Errors
/// Fails if a line of the machine's memory is not understood.
pub fn blocks(text: &str) -> Result<Vec<Block>, FlatViewError> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut next = Some(0);
    let mut count = 0_usize;
    for line in memory_lines(text)? {
        let range = range(line).ok_or_else(|| not_understood(line))?;
        if range.last < range.start || next.is_none_or(|next| range.start < next) {
            return Err(FlatViewError::Disorder { start: range.start });
        }
        count = count.saturating_add(1);
        if count > MAX_RANGES {
            return Err(FlatViewError::TooMany);
        }
        let follows = next == Some(range.start);
        next = range.last.checked_add(1);
        if !matches!(range.kind, "ram" | "rom") {
            continue;
        }
        match blocks.last_mut() {
            Some(block) if follows && block.is_followed_by(&range) => block.last = range.last,
            _ => blocks.push(Block {
                start: range.start,
                last: range.last,
                region: range.region.to_owned(),
                offset: range.offset,
            }),
        }
    }
    Ok(blocks)
}

impl Block {
    /// Whether a range is the next of the same region, in the guest and in that region.
    fn is_followed_by(&self, range: &Range<'_>) -> bool {
        let length = range.start.checked_sub(self.start);
        self.last.checked_add(1) == Some(range.start)
            && self.region == range.region
            && length.and_then(|length| self.offset.checked_add(length)) == Some(range.offset)
    }
}

/// The lines of ranges of the flat view that has the machine's memory.
fn memory_lines(text: &str) -> Result<impl Iterator<Item = &str>, FlatViewError> {
    let wanted = format!(" AS \"{SYSTEM}\", root: ");
    let mut lines = text.lines().map(str::trim_end);
    lines.by_ref().find(|line| line.starts_with(&wanted)).ok_or(FlatViewError::NoMemory)?;
    for line in lines.by_ref() {
        if line.starts_with(" Root memory region: ") {
            // An empty line ends the view.
            return Ok(lines.take_while(|line| !line.is_empty()));
        }
        if !line.starts_with(" AS \"") {
            return Err(not_understood(line));
        }
    }
    Err(FlatViewError::NoMemory)
}

fn range(line: &str) -> Option<Range<'_>> {
    let (addresses, rest) = line.strip_prefix("  ")?.split_once(" (prio ")?;
    let (start, last) = addresses.split_once('-')?;
    let (priority, rest) = rest.split_once(", ")?;
    priority.parse::<i32>().ok()?;
    let (kind, rest) = rest.split_once("): ")?;
    let (region, offset) = match rest.split_once(" @") {
        Some((region, offset)) => (region, full_hex(offset.split(' ').next()?)?),
        // Only an accelerator's name follows a region without an offset.
        None => (rest.split(" KVM").next()?, 0),
    };
    Some(Range { start: full_hex(start)?, last: full_hex(last)?, kind, region, offset })
}

/// A number of sixteen digits.
fn full_hex(digits: &str) -> Option<u64> {
    (digits.len() == 16).then(|| hex(digits))?
}

fn hex(digits: &str) -> Option<u64> {
    // `from_str_radix` takes a sign, too.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
    u64::from_str_radix(digits, 16).ok()
}

/// The address in QEMU's process that `gpa2hva` gives for a guest-physical one in `region`.
///
/// # Errors
/// Fails if the answer is about another address or region, or is none.
pub fn translation(answer: &str, physical: u64, region: &str) -> Result<u64, FlatViewError> {
    let of = |line: &str| {
        let rest = line.strip_prefix("Host virtual address for 0x")?;
        let (address, rest) = rest.split_once(" (")?;
        let (found, host) = rest.rsplit_once(") is 0x")?;
        (hex(address)? == physical && found == region).then(|| hex(host))?
    };
    of(answer.trim_end()).filter(|host| *host != 0).ok_or_else(|| FlatViewError::Translation {
        physical,
        answer: bounded(answer.trim_end(), SHOWN),
    })
}

fn not_understood(line: &str) -> FlatViewError {
    FlatViewError::Line { line: bounded(line, SHOWN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As QEMU 7.2 prints it, with another address space before and behind.
    const MAP: &str = "FlatView #0\r\n AS \"I/O\", root: io\r\n Root memory region: io\r\n  \
        0000000000000000-0000000000000007 (prio 0, i/o): dma-chan\r\n\r\n\
        FlatView #1\r\n AS \"memory\", root: system\r\n AS \"cpu-memory-0\", root: system\r\n \
        Root memory region: system\r\n  \
        0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM\r\n  \
        00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\r\n  \
        00000000000c0000-00000000000c2fff (prio 1, rom): pc.ram @00000000000c0000 KVM\r\n  \
        00000000000c3000-0000000007ffffff (prio 0, ram): pc.ram @00000000000c3000 KVM\r\n  \
        00000000fffc0000-00000000ffffffff (prio 0, romd): system.flash\r\n  \
        0000000100000000-0000000103ffffff (prio 0, ram): m2\r\n  \
        0000000104000000-0000000107ffffff (prio 0, ram): m3 @0000000000001000\r\n\r\n\
        FlatView #2\r\n AS \"VGA\", root: bus master container\r\n  No rendered FlatView\r\n\r\n";

    fn block(start: u64, last: u64, region: &str, offset: u64) -> Block {
        Block { start, last, region: region.to_owned(), offset }
    }

    #[test]
    fn blocks_are_what_lies_in_one_piece() {
        let expected = [
            block(0, 0x9_ffff, "pc.ram", 0),
            block(0xc_0000, 0x7ff_ffff, "pc.ram", 0xc_0000),
            block(0x1_0000_0000, 0x1_03ff_ffff, "m2", 0),
            block(0x1_0400_0000, 0x1_07ff_ffff, "m3", 0x1000),
        ];
        assert_eq!(blocks(MAP).unwrap(), expected);
    }

    #[test]
    fn what_is_not_exactly_so_is_refused() {
        for (from, to) in [
            ("(prio 1, i/o): vga", "(prio one, i/o): vga"),
            ("(prio 1, i/o): vga", "prio 1, i/o: vga"),
            ("00000000000a0000-00", "a0000-00"),
            ("00000000000a0000-00", "+0000000000a0000-00"),
            ("@0000000000001000", "@1000"),
            ("  0000000100000000", "  0000000200000000"),
            ("  0000000100000000", "  00000000ffff0000"),
            (" Root memory region: system", " Root: system"),
            (" AS \"memory\"", " AS \"memories\""),
        ] {
            assert!(MAP.contains(from), "{from}");
            assert!(blocks(&MAP.replace(from, to)).is_err(), "{to}");
        }
        assert_eq!(blocks(""), Err(FlatViewError::NoMemory));
        assert_eq!(blocks("unknown command: 'info mtree'\r\n"), Err(FlatViewError::NoMemory));
    }

    #[test]
    fn the_last_byte_of_all_addresses_ends_the_map() {
        let map = |range: &str| format!(" AS \"memory\", root: a\n Root memory region: a\n{range}");
        let line = "  fffffffffffff000-ffffffffffffffff (prio 0, ram): a\n";
        assert_eq!(blocks(&map(line)).unwrap().len(), 1);
        assert!(blocks(&map(&line.repeat(2))).is_err());
    }

    #[test]
    fn a_translation_is_of_the_address_and_region_that_were_asked_for() {
        let answer = "Host virtual address for 0x100000 (pc.ram) is 0x7fd75bf00000\r\n";
        assert_eq!(translation(answer, 0x10_0000, "pc.ram"), Ok(0x7fd7_5bf0_0000));
        assert!(translation(answer, 0x20_0000, "pc.ram").is_err());
        assert!(translation(answer, 0x10_0000, "pc.rom").is_err());
        for answer in [
            "Memory at address 0x100000 is not RAM\r\n",
            "No memory is mapped at address 0x100000\r\n",
            "Host virtual address for 0x100000 (pc.ram) is 0x0\r\n",
            "Host virtual address for 0x100000 (pc.ram) is (nil)\r\n",
            "Host virtual address for 0x100000 (pc.ram) is 0x7fd75bf00000 or so\r\n",
            "",
        ] {
            assert!(translation(answer, 0x10_0000, "pc.ram").is_err(), "{answer}");
        }
    }
}
