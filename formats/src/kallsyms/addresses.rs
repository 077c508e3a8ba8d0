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
//! Place-relative since 7.0; absolute per-CPU on x86 up to 6.14, base-relative elsewhere.
//! All are in ascending order.

use crate::addr::VirtAddr;
use crate::cursor::Endian;

/// How an address is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As it is, in eight bytes.
    Absolute,
    /// Above a base.
    BaseRelative {
        /// `kallsyms_relative_base`, as KASLR has moved it.
        base: VirtAddr,
    },
    /// Above a base if negative, else absolute.
    AbsolutePerCpu {
        /// `kallsyms_relative_base`, as KASLR has moved it.
        base: VirtAddr,
    },
    /// From where the entry is.
    PlaceRelative {
        /// Where `kallsyms_offsets` is.
        table: VirtAddr,
    },
}

impl Mode {
    /// How many bytes an entry has.
    #[must_use]
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
    /// Symbols by ascending address, where the table is not so by itself.
    order: Option<Vec<u32>>,
    /// How many entries are less than the one before.
    disorder: u32,
}

impl Addresses {
    /// Takes a table of `count` entries, or as many as there are.
    #[must_use]
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

    /// How they are stored.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many entries are less than the one before them. None in a table that is whole.
    #[must_use]
    pub fn disorder(&self) -> u32 {
        self.disorder
    }

    /// The address of a symbol.
    #[must_use]
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

    /// The symbols at the highest address that is not above `at`, in the table's order:
    /// the positions of the first and of the one behind the last, by [`Self::in_order`].
    #[must_use]
    pub fn at_or_below(&self, at: VirtAddr) -> Option<std::ops::Range<u32>> {
        let end = self.partition(|address| address <= at);
        let found = self.address(self.in_order(end.checked_sub(1)?)?)?;
        Some(self.partition(|address| address < found)..end)
    }

    /// The symbol at a position of ascending order.
    #[must_use]
    pub fn in_order(&self, position: u32) -> Option<u32> {
        match &self.order {
            None => (position < self.count).then_some(position),
            Some(order) => order.get(usize::try_from(position).ok()?).copied(),
        }
    }

    /// How many symbols, in ascending order, `before` holds for.
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
