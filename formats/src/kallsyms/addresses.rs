//! The addresses of symbols.
//!
//! ```text
//! absolute            kallsyms_addresses[i]
//! base-relative       relative_base + (u32) offset
//! absolute per-CPU    offset >= 0: offset, a per-CPU symbol's or an absolute one's
//!                     offset < 0:  relative_base - 1 - offset
//! place-relative      address of the entry itself + offset
//! ```
//!
//! x86 kernels were absolute per-CPU before Linux commit 01157ddc58dc "kallsyms: Remove
//! `KALLSYMS_ABSOLUTE_PERCPU`" (in v6.15), others base-relative. All are place-relative since
//! Linux commit a081b5789255 "kallsyms: Get rid of kallsyms relative base" (in v7.0).
//! Addresses are in ascending order.

use crate::addr::VirtAddr;
use crate::endian::Endian;

/// How an address is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The address itself, in eight bytes.
    Absolute,
    /// An unsigned offset from a base.
    BaseRelative {
        /// `kallsyms_relative_base`, with the offset of KASLR.
        base: VirtAddr,
    },
    /// An offset from a base if negative, else absolute.
    AbsolutePerCpu {
        /// `kallsyms_relative_base`, with the offset of KASLR.
        base: VirtAddr,
    },
    /// An offset from the address of the entry.
    PlaceRelative {
        /// Address of `kallsyms_offsets`.
        table: VirtAddr,
    },
}

impl Mode {
    /// The length of an entry, in bytes.
    pub fn entry_size(&self) -> u64 {
        match self {
            Self::Absolute => 8,
            _ => 4,
        }
    }
}

/// The addresses of all symbols, as they are stored.
#[derive(Clone, Debug)]
pub struct Addresses {
    mode: Mode,
    table: Vec<u8>,
    endian: Endian,
    count: u32,
    /// Symbols by ascending address, if the table is not sorted.
    order: Option<Vec<u32>>,
    /// How many entries are lower than the one before.
    disorder: u32,
}

impl Addresses {
    /// A table of `count` entries, or of as many as `table` has.
    pub fn new(mode: Mode, table: Vec<u8>, count: u32, endian: Endian) -> Self {
        let there = (table.len() as u64).checked_div(mode.entry_size()).unwrap_or_default();
        let count = count.min(u32::try_from(there).unwrap_or(u32::MAX));
        let mut addresses = Self { mode, table, endian, count, order: None, disorder: 0 };
        let mut last = VirtAddr(0);
        for index in 0..count {
            let at = addresses.address(index).unwrap_or_default();
            addresses.disorder = addresses.disorder.saturating_add(u32::from(at < last));
            last = at;
        }
        if addresses.disorder > 0 {
            let mut order: Vec<u32> = (0..count).collect();
            order.sort_by_key(|index| addresses.address(*index));
            addresses.order = Some(order);
        }
        addresses
    }

    /// The table, to be decoded in another way.
    pub fn into_table(self) -> Vec<u8> {
        self.table
    }

    /// How addresses are stored.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The number of symbols.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many entries are lower than the one before. 0 in an undamaged table.
    pub fn disorder(&self) -> u32 {
        self.disorder
    }

    /// The address of a symbol.
    pub fn address(&self, index: u32) -> Option<VirtAddr> {
        if index >= self.count {
            return None;
        }
        let at = u64::from(index).wrapping_mul(self.mode.entry_size());
        let start = usize::try_from(at).ok()?;
        if self.mode == Mode::Absolute {
            return self.endian.u64_at(&self.table, start).map(VirtAddr);
        }
        let unsigned = self.endian.u32_at(&self.table, start)?;
        let offset = i64::from(unsigned.cast_signed());
        Some(match self.mode {
            Mode::BaseRelative { base } => base.wrapping_add(unsigned.into()),
            Mode::AbsolutePerCpu { base } if offset < 0 => {
                base.wrapping_sub(1).wrapping_add(offset.unsigned_abs())
            }
            Mode::PlaceRelative { table } => table.wrapping_add(at).wrapping_add_signed(offset),
            Mode::AbsolutePerCpu { .. } | Mode::Absolute => VirtAddr(offset.cast_unsigned()),
        })
    }

    /// The symbols at the highest address that is not above `at`, as a range of positions
    /// for [`Self::in_order`].
    pub fn at_or_below(&self, at: VirtAddr) -> Option<std::ops::Range<u32>> {
        let end = self.partition(|address| address <= at);
        let found = self.address(self.in_order(end.checked_sub(1)?)?)?;
        Some(self.partition(|address| address < found)..end)
    }

    /// The symbol at a position in ascending order of addresses.
    pub fn in_order(&self, position: u32) -> Option<u32> {
        match &self.order {
            None => (position < self.count).then_some(position),
            Some(order) => order.get(usize::try_from(position).ok()?).copied(),
        }
    }

    /// The number of symbols, in ascending order, whose address satisfies `before`.
    fn partition(&self, before: impl Fn(VirtAddr) -> bool) -> u32 {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            let address = self.in_order(middle).and_then(|index| self.address(index));
            if address.is_some_and(&before) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        low
    }
}
