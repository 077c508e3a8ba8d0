//! ORC: how to get from a function's frame to its caller's, on x86-64.
//!
//! Two tables, made by objtool when the kernel is built, in the order of addresses:
//!
//! ```text
//! ip table      s32 each    address of the code = address of the number + the number
//! entry table   6 bytes each
//!   0  sp_offset  s16       the caller's stack: (base) + sp_offset
//!   2  bp_offset  s16       where the caller's bp was saved
//!   4  flags      u16
//!
//! flags   3..0  7..4      9..8   10      11           Linux
//!   v1    sp    bp        kind   end                  4.14 to 6.2, and their branches
//!   v2    sp    bp        kind   signal  end          6.3
//!   v3    sp    bp        kind (10..8)   signal       6.4 to 7.0
//!   v4    as v3, and bases are numbered otherwise     7.1
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
//! A version is no part of the tables in kernels before 6.4; what tells it then is the
//! type of an entry (BTF), or the entries themselves: see [`OrcVersion::of_entries`].
//! Source: Linux `arch/x86/include/asm/orc_types.h`, of each of these versions.

mod version;

pub use version::{OrcShape, OrcVersion};

use crate::addr::VirtAddr;
use crate::endian::Endian;

/// How long an entry is.
pub const ENTRY_SIZE: usize = 6;
/// How long an entry of the table of addresses is.
pub const IP_SIZE: usize = 4;

/// What an address is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// Nothing: it is not known, or was not saved.
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
    /// What the frame pointer and the offset point at.
    BpIndirect,
    /// What the stack pointer points at.
    SpIndirect,
}

/// What is at the end of a function's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing is known of this code.
    Undefined,
    /// The stack ends here.
    End,
    /// A return address.
    Call,
    /// All registers of what was interrupted.
    Regs,
    /// The five words that the processor saves of what was interrupted.
    PartialRegs,
}

/// How to get from a frame to its caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrcEntry {
    /// What the caller's stack pointer is counted from.
    pub sp: Base,
    /// How far it is from there.
    pub sp_offset: i16,
    /// What the place of the caller's saved bp is counted from.
    pub bp: Base,
    /// How far it is from there.
    pub bp_offset: i16,
    /// What is at the end of the frame.
    pub kind: Kind,
    /// Whether the caller was interrupted, and did not call.
    pub signal: bool,
}

impl OrcEntry {
    /// Decodes an entry. Returns `None` if no objtool writes it.
    #[must_use]
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

/// What an entry of the first two versions ends with, and whether the caller was interrupted.
///
/// Without a base, the end bit tells the end of a stack from code of which nothing is
/// known (Linux commit fb799447ae29 "x86,objtool: Split `UNWIND_HINT_EMPTY` in two", in
/// v6.4, gave both a kind of their own).
fn old_kind(sp: Base, kind: u16, end: bool) -> Option<(Kind, bool)> {
    match (sp, kind) {
        (Base::Undefined, _) => Some((if end { Kind::End } else { Kind::Undefined }, false)),
        (_, 0) => Some((Kind::Call, false)),
        (_, 1) => Some((Kind::Regs, true)),
        (_, 2) => Some((Kind::PartialRegs, true)),
        _ => None,
    }
}

/// The table of addresses: where code begins that an entry is for.
#[derive(Clone, Copy, Debug)]
pub struct IpTable<'a> {
    start: VirtAddr,
    bytes: &'a [u8],
}

impl<'a> IpTable<'a> {
    /// The table that begins at `start`.
    #[must_use]
    pub fn new(start: VirtAddr, bytes: &'a [u8]) -> Self {
        Self { start, bytes }
    }

    /// How many entries it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bytes.len().checked_div(IP_SIZE).unwrap_or(0)
    }

    /// The address of an entry.
    #[must_use]
    pub fn address(&self, index: usize) -> Option<VirtAddr> {
        let offset = index.checked_mul(IP_SIZE)?;
        let distance = Endian::Little.u32_at(self.bytes, offset)?.cast_signed();
        Some(self.start.wrapping_add(offset as u64).wrapping_add_signed(distance.into()))
    }

    /// The last entry whose code begins at `ip` or before. Of entries for the same
    /// address it is the last.
    ///
    /// Returns `None` if all begin later. A table that is not in order gives any entry,
    /// in as many steps.
    #[must_use]
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
