//! The versions of ORC entries, and how to recognise a kernel's.
//!
//! The numbers are those of drgn; the kernel has none.

use super::{Base, ENTRY_SIZE};

/// A version of the format of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrcVersion {
    /// Two bits of kind, and an end bit: Linux commit ee9f8fce9964 "x86/unwind: Add the ORC
    /// unwinder" (in v4.14).
    V1,
    /// A signal bit before the end bit: Linux commit ffb1b4a41016 "x86/unwind/orc: Add
    /// 'signal' field to ORC metadata" (in v6.3).
    V2,
    /// Three bits of kind, and a signal bit: Linux commit fb799447ae29 "x86,objtool:
    /// Split `UNWIND_HINT_EMPTY` in two" (in v6.4).
    V3,
    /// Other numbers of the bases, among them ax: Linux commit 1735858caa4b "objtool/x86:
    /// Reorder ORC register numbering" (in v7.1).
    V4,
}

/// The bit fields of the kernel's `struct orc_entry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrcShape {
    /// Whether it has `signal`.
    pub signal: bool,
    /// Whether it has `end`.
    pub end: bool,
}

/// Hashes of `orc_types.h`, as kernels with `__start_orc_header` store them there.
const HASHES: [([u8; 20], OrcVersion); 3] = [
    (
        [
            0xdb, 0x84, 0xae, 0xd4, 0x10, 0x3b, 0x31, 0xdd, 0x51, 0xe0, 0x17, 0xf8, 0xf7, 0x97,
            0x83, 0xca, 0x98, 0x5c, 0x2c, 0x51,
        ],
        OrcVersion::V2,
    ),
    (
        [
            0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6, 0x3b, 0x2c, 0xa9, 0xa5, 0xc6, 0x5b, 0xa5,
            0xa6, 0x25, 0xea, 0xb3, 0xfe, 0x24,
        ],
        OrcVersion::V3,
    ),
    (
        [
            0x13, 0x7c, 0x36, 0xad, 0x76, 0x27, 0xc4, 0xdd, 0x55, 0x93, 0x21, 0x76, 0xbb, 0x0e,
            0xcd, 0xbd, 0x50, 0x41, 0xfc, 0x82,
        ],
        OrcVersion::V4,
    ),
];

impl OrcVersion {
    /// The version by the hash at `__start_orc_header`. `None` for an unknown hash.
    pub fn of_hash(hash: &[u8]) -> Option<Self> {
        let (_, version) = HASHES.iter().find(|(prefix, _)| hash.starts_with(prefix))?;
        Some(*version)
    }

    /// The version by the bit fields of an entry, and by the entries where two versions have
    /// the same bit fields.
    ///
    /// Returns `None` for bit fields that no version has.
    pub fn of_shape(shape: OrcShape, entries: &[u8]) -> Option<Self> {
        match (shape.signal, shape.end) {
            (false, true) => Some(Self::V1),
            (true, true) => Some(Self::V2),
            (true, false) => match Self::of_entries(entries)? {
                Self::V4 => Some(Self::V4),
                _ => Some(Self::V3),
            },
            (false, false) => None,
        }
    }

    /// The version by the most frequent values in a table.
    ///
    /// Most entries have the stack pointer as their base: its number identifies version 4.
    /// Most entries are of kind "call": its number identifies version 3. Entries with the
    /// registers of interrupted code have bit 10 set in version 2, where it is the signal
    /// bit, and clear in version 1, where it is the end bit.
    ///
    /// Returns `None` if the entries fit no version.
    pub fn of_entries(entries: &[u8]) -> Option<Self> {
        let mut by_base = [0_usize; 16];
        let mut by_kind = [0_usize; 8];
        let (mut registers, mut marked) = (0_usize, 0_usize);
        let (chunks, _) = entries.as_chunks::<ENTRY_SIZE>();
        for [.., low, high] in chunks {
            count(&mut by_base, low & 0xf);
            count(&mut by_kind, high & 7);
            if matches!(high & 3, 1 | 2) && low & 0xf != 0 {
                registers = registers.saturating_add(1);
                marked = marked.saturating_add(usize::from(high >> 2 & 1));
            }
        }
        let half = chunks.len().checked_div(2)?;
        let most = |counts: &[usize]| counts.iter().position(|count| *count > half);
        match (most(&by_base)?, most(&by_kind)?) {
            (3, 2) => Some(Self::V4),
            (5, 2) => Some(Self::V3),
            (5, 0) => {
                let unmarked = registers.saturating_sub(marked);
                Some(if marked > unmarked { Self::V2 } else { Self::V1 })
            }
            _ => None,
        }
    }

    pub(super) fn base(self, number: u16) -> Option<Base> {
        const OLD: [Base; 10] = [
            Base::Undefined,
            Base::PreviousSp,
            Base::Dx,
            Base::Di,
            Base::Bp,
            Base::Sp,
            Base::R10,
            Base::R13,
            Base::BpIndirect,
            Base::SpIndirect,
        ];
        const NEW: [Base; 11] = [
            Base::Undefined,
            Base::Ax,
            Base::Dx,
            Base::Sp,
            Base::Bp,
            Base::Di,
            Base::R10,
            Base::R13,
            Base::PreviousSp,
            Base::SpIndirect,
            Base::BpIndirect,
        ];
        let bases: &[Base] = if self == Self::V4 { &NEW } else { &OLD };
        bases.get(usize::from(number)).copied()
    }
}

fn count(counts: &mut [usize], number: u8) {
    if let Some(count) = counts.get_mut(usize::from(number)) {
        *count = count.saturating_add(1);
    }
}
