//! ORC: the unwind tables of x86-64 kernels.
//!
//! objtool makes two tables when the kernel is built, both in the order of addresses:
//!
//! ```text
//! ip table      s32 each    address of the code = address of the entry + the entry
//! entry table   6 bytes each
//!   0  sp_offset  s16       caller's sp = base + sp_offset
//!   2  bp_offset  s16       caller's bp is saved at base + bp_offset
//!   4  flags      u16
//!
//! flags   3..0  7..4      9..8   10      11           Linux
//!   v1    sp    bp        kind   end                  4.14 to 6.2, and their branches
//!   v2    sp    bp        kind   signal  end          6.3
//!   v3    sp    bp        kind (10..8)   signal       6.4 to 7.0
//!   v4    as v3, with other numbers of the bases      7.1
//!
//! base    0          1       2   3   4   5   6    7    8        9        10
//!  v1-v3  undefined  prev-sp dx  di  bp  sp  r10  r13  (bp)     (sp)
//!  v4     undefined  ax      dx  sp  bp  di  r10  r13  prev-sp  (sp)     (bp)
//!
//! kind    0                  1       2             3      4
//!  v1-v2  call               regs    partial regs
//!  v3-v4  undefined          end     call          regs   partial regs
//! ```
//!
//! The tables have no version number. It follows from a hash that newer kernels store,
//! from the type of an entry (BTF), or from the entries: see [`OrcVersion`].
//! Source: Linux `arch/x86/include/asm/orc_types.h`; the commits are cited at each version.
//!
//! ```
//! use vmcore_formats::addr::VirtAddr;
//! use vmcore_formats::orc::{Base, IpTable, Kind, OrcEntry, OrcVersion};
//!
//! // A frame of two words: the saved bp, then the return address.
//! let entry = OrcEntry::decode([16, 0, 0xf0, 0xff, 0x15, 0x02], OrcVersion::V3).unwrap();
//! assert_eq!((entry.sp, entry.sp_offset), (Base::Sp, 16));
//! assert_eq!((entry.bp, entry.bp_offset), (Base::PreviousSp, -16));
//! assert_eq!(entry.kind, Kind::Call);
//!
//! // Code at 0x10f0 and 0x1104: each number is relative to its own address.
//! let ips = IpTable::new(VirtAddr(0x1000), &[0xf0, 0, 0, 0, 0x00, 1, 0, 0]);
//! assert_eq!(ips.address(1), Some(VirtAddr(0x1104)));
//! assert_eq!(ips.find(VirtAddr(0x1100)), Some(0));
//! ```

mod version;

pub use version::{OrcShape, OrcVersion};

use crate::addr::VirtAddr;
use crate::endian::Endian;

/// Length of an entry.
pub const ENTRY_SIZE: usize = 6;
/// Length of an entry of the ip table.
pub const IP_SIZE: usize = 4;

/// The base to which an offset is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// Unknown, or not saved.
    Undefined,
    /// The caller's stack pointer.
    PreviousSp,
    /// ax.
    Ax,
    /// dx.
    Dx,
    /// di.
    Di,
    /// The frame pointer.
    Bp,
    /// The stack pointer.
    Sp,
    /// r10.
    R10,
    /// r13.
    R13,
    /// The word at the frame pointer plus the offset.
    BpIndirect,
    /// The word at the stack pointer.
    SpIndirect,
}

/// What is stored at the end of a function's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Unknown: the code has no unwind information.
    Undefined,
    /// The stack ends here.
    End,
    /// A return address.
    Call,
    /// All registers of the interrupted code (`struct pt_regs`).
    Regs,
    /// The five words of the interrupted code that the processor saves.
    PartialRegs,
}

/// The rule that gives the caller's stack pointer and frame pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrcEntry {
    /// The base of the caller's stack pointer.
    pub sp: Base,
    /// The offset from that base.
    pub sp_offset: i16,
    /// The base of the address at which the caller's frame pointer is saved.
    pub bp: Base,
    /// The offset from that base.
    pub bp_offset: i16,
    /// What is stored at the end of the frame.
    pub kind: Kind,
    /// Whether the caller was interrupted instead of calling.
    pub signal: bool,
}

impl OrcEntry {
    /// Decodes an entry. Returns `None` for values that objtool never writes.
    pub fn decode(bytes: [u8; ENTRY_SIZE], version: OrcVersion) -> Option<Self> {
        let [s0, s1, b0, b1, f0, f1] = bytes;
        let flags = Endian::Little.u16([f0, f1]);
        let bits = |shift: u32, width: u32| {
            (flags.checked_shr(shift).unwrap_or(0)) & !u16::MAX.checked_shl(width).unwrap_or(0)
        };
        let sp = version.base(bits(0, 4))?;
        let bp = version.base(bits(4, 4))?;
        let (kind, signal) = match version {
            OrcVersion::V1 => old_kind(sp, bits(8, 2), bits(10, 1) == 1)?,
            OrcVersion::V2 => {
                let (kind, _) = old_kind(sp, bits(8, 2), bits(11, 1) == 1)?;
                (kind, bits(10, 1) == 1)
            }
            OrcVersion::V3 | OrcVersion::V4 => {
                let kind = match bits(8, 3) {
                    0 => Kind::Undefined,
                    1 => Kind::End,
                    2 => Kind::Call,
                    3 => Kind::Regs,
                    4 => Kind::PartialRegs,
                    _ => return None,
                };
                (kind, bits(11, 1) == 1)
            }
        };
        let sp_offset = Endian::Little.u16([s0, s1]).cast_signed();
        let bp_offset = Endian::Little.u16([b0, b1]).cast_signed();
        Some(Self { sp, sp_offset, bp, bp_offset, kind, signal })
    }
}

/// The kind of an entry of the first two versions, and whether the caller was interrupted.
///
/// Without a base, the end bit distinguishes the end of a stack from code without unwind
/// information. Linux commit fb799447ae29 "x86,objtool: Split `UNWIND_HINT_EMPTY` in two"
/// (in v6.4) gave both a kind of their own.
fn old_kind(sp: Base, kind: u16, end: bool) -> Option<(Kind, bool)> {
    match (sp, kind) {
        (Base::Undefined, _) => Some((if end { Kind::End } else { Kind::Undefined }, false)),
        (_, 0) => Some((Kind::Call, false)),
        (_, 1) => Some((Kind::Regs, true)),
        (_, 2) => Some((Kind::PartialRegs, true)),
        _ => None,
    }
}

/// The ip table: the address from which on each entry applies.
#[derive(Clone, Copy, Debug)]
pub struct IpTable<'a> {
    start: VirtAddr,
    bytes: &'a [u8],
}

impl<'a> IpTable<'a> {
    /// The table that begins at `start`.
    pub fn new(start: VirtAddr, bytes: &'a [u8]) -> Self {
        Self { start, bytes }
    }

    /// How many entries it has.
    pub fn count(&self) -> usize {
        self.bytes.len().checked_div(IP_SIZE).unwrap_or(0)
    }

    /// The address of an entry.
    pub fn address(&self, index: usize) -> Option<VirtAddr> {
        let offset = index.checked_mul(IP_SIZE)?;
        let distance = Endian::Little.u32_at(self.bytes, offset)?.cast_signed();
        Some(self.start.wrapping_add(offset as u64).wrapping_add_signed(distance.into()))
    }

    /// The last entry whose address is not above `ip`.
    ///
    /// Returns `None` if all are above. In an unsorted table the result is some entry; the
    /// number of steps stays the same.
    pub fn find(&self, ip: VirtAddr) -> Option<usize> {
        let (mut low, mut high) = (0_usize, self.count());
        while low < high {
            let middle = low.midpoint(high);
            if self.address(middle)? <= ip {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }
}

#[cfg(test)]
mod tests;
