//! Page tables of arm64 (VMSAv8-64, stage 1).
//!
//! ```text
//! 63..59        for software, or a table's limits   54 UXN  53 PXN  52 contiguous  51 DBM
//! 49..shift     address, LPA2 (4 and 16 KiB with 52 bits); bits 51..50 are in 9..8
//! 47..shift     address otherwise; with 64 KiB, bits 51..48 are in 15..12
//! 11 nG  10 AF  9..8 SH (LPA2: address)  7 AP[2] read-only  6 AP[1] user  4..2 memory type
//! 1..0          00, 10 not present; 11 table, or page in the last level; 01 block
//! ```
//!
//! Source: Arm ARM (DDI 0487), D8.3; Linux `arch/arm64/include/asm/pgtable-hwdef.h`.

use super::{Entry, Level, OutOfRange, words};
use crate::addr::{PhysAddr, VirtAddr};

pub(super) const NO_KERNEL_EXECUTE: u64 = 1 << 53;
const VALID: u64 = 1;
const TABLE: u64 = 1 << 1;

/// The size of a page, which is that of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granule {
    /// 4 KiB.
    K4,
    /// 16 KiB.
    K16,
    /// 64 KiB.
    K64,
}

impl Granule {
    /// The granule of a page size in bytes.
    pub fn of_page_size(bytes: u64) -> Option<Self> {
        match bytes {
            0x1000 => Some(Self::K4),
            0x4000 => Some(Self::K16),
            0x1_0000 => Some(Self::K64),
            _ => None,
        }
    }
}

/// The format of one half of an arm64 processor's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm64 {
    granule: Granule,
    va_bits: u32,
    levels: &'static [Level],
    /// Whether it is the kernel's half (TTBR1), not that of processes (TTBR0).
    upper: bool,
}

const fn level(name: &'static str, shift: u32, bits: u32) -> Level {
    Level { name, shift, bits }
}

/// The levels for a granule and a number of address bits. The topmost has the bits that
/// the others leave.
const fn levels(granule: Granule, va_bits: u32) -> Option<&'static [Level]> {
    Some(match (granule, va_bits) {
        (Granule::K4, 39) => {
            &const { [level("PGD", 30, 9), level("PMD", 21, 9), level("PTE", 12, 9)] }
        }
        (Granule::K4, 48) => {
            &const {
                [level("PGD", 39, 9), level("PUD", 30, 9), level("PMD", 21, 9), level("PTE", 12, 9)]
            }
        }
        (Granule::K4, 52) => {
            &const {
                [
                    level("PGD", 48, 4),
                    level("P4D", 39, 9),
                    level("PUD", 30, 9),
                    level("PMD", 21, 9),
                    level("PTE", 12, 9),
                ]
            }
        }
        (Granule::K16, 36) => &const { [level("PGD", 25, 11), level("PTE", 14, 11)] },
        (Granule::K16, 47) => {
            &const { [level("PGD", 36, 11), level("PMD", 25, 11), level("PTE", 14, 11)] }
        }
        (Granule::K16, 48) => {
            &const {
                [
                    level("PGD", 47, 1),
                    level("PUD", 36, 11),
                    level("PMD", 25, 11),
                    level("PTE", 14, 11),
                ]
            }
        }
        (Granule::K16, 52) => {
            &const {
                [
                    level("PGD", 47, 5),
                    level("PUD", 36, 11),
                    level("PMD", 25, 11),
                    level("PTE", 14, 11),
                ]
            }
        }
        (Granule::K64, 42) => &const { [level("PGD", 29, 13), level("PTE", 16, 13)] },
        (Granule::K64, 48) => {
            &const { [level("PGD", 42, 6), level("PMD", 29, 13), level("PTE", 16, 13)] }
        }
        (Granule::K64, 52) => {
            &const { [level("PGD", 42, 10), level("PMD", 29, 13), level("PTE", 16, 13)] }
        }
        _ => return None,
    })
}

impl Arm64 {
    /// The format of the kernel's half.
    ///
    /// Returns `None` for a number of address bits that Linux does not support with this
    /// granule.
    pub fn kernel(granule: Granule, va_bits: u32) -> Option<Self> {
        Some(Self { granule, va_bits, levels: levels(granule, va_bits)?, upper: true })
    }

    /// The same format for the addresses of processes.
    pub fn user(self) -> Self {
        Self { upper: false, ..self }
    }

    /// Whether physical addresses have the 52 bits of LPA2.
    fn large_addresses(self) -> bool {
        self.va_bits == 52 && self.granule != Granule::K64
    }

    pub(super) fn levels(self) -> &'static [Level] {
        self.levels
    }

    fn address(self, shift: u32, value: u64) -> u64 {
        let bits = |from: u32, to: u32| {
            let end = 1_u64.checked_shl(to).unwrap_or_default();
            value & end.wrapping_sub(1_u64.checked_shl(from).unwrap_or_default())
        };
        match self.granule {
            Granule::K64 => bits(shift.max(16), 48) | bits(12, 16) << 36,
            _ if self.large_addresses() => bits(shift, 50) | bits(8, 10) << 42,
            _ => bits(shift, 48),
        }
    }

    fn page_shift(self) -> u32 {
        match self.granule {
            Granule::K4 => 12,
            Granule::K16 => 14,
            Granule::K64 => 16,
        }
    }

    /// The largest block that an entry can map, as the number of its address bits.
    fn largest_block(self) -> u32 {
        match self.granule {
            Granule::K4 if self.large_addresses() => 39,
            Granule::K4 => 30,
            Granule::K16 if self.large_addresses() => 36,
            Granule::K16 => 25,
            Granule::K64 => 42,
        }
    }

    pub(super) fn decode(self, level: &Level, value: u64) -> Entry {
        if value & VALID == 0 {
            return Entry::NotPresent;
        }
        let last = level.shift == self.page_shift();
        match (last, value & TABLE != 0) {
            (false, true) => Entry::Table(PhysAddr(self.address(self.page_shift(), value))),
            (true, true) => Entry::Page(PhysAddr(self.address(level.shift, value))),
            (false, false) if level.shift <= self.largest_block() => {
                Entry::Page(PhysAddr(self.address(level.shift, value)))
            }
            _ => Entry::Invalid,
        }
    }

    pub(super) fn flags(self, level: &Level, value: u64) -> Vec<&'static str> {
        let Entry::Page(_) = self.decode(level, value) else { return Vec::new() };
        let mut flags = vec![
            if value & 1 << 7 == 0 { "writable" } else { "read-only" },
            if value & 1 << 6 == 0 { "kernel" } else { "user" },
        ];
        const BITS: [(u64, &str); 5] = [
            (1 << 10, "accessed"),
            (1 << 51, "dirty-managed"),
            (1 << 52, "contiguous"),
            (NO_KERNEL_EXECUTE, "no-kernel-execute"),
            (1 << 54, "no-user-execute"),
        ];
        if value & 1 << 11 == 0 {
            flags.push("global");
        }
        flags.extend(words(value, &BITS));
        flags
    }

    pub(super) fn check(self, at: VirtAddr) -> Result<(), OutOfRange> {
        // The top byte may be a tag; bit 55 selects the half.
        let address = (at.0 << 8).cast_signed() >> 8;
        let above = address.checked_shr(self.va_bits).unwrap_or_default();
        let (expected, tables) = if self.upper {
            (-1, "an arm64 kernel's half")
        } else {
            (0, "an arm64 process's half")
        };
        if above == expected { Ok(()) } else { Err(OutOfRange { at, tables }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Granule, u32); 10] = [
        (Granule::K4, 39),
        (Granule::K4, 48),
        (Granule::K4, 52),
        (Granule::K16, 36),
        (Granule::K16, 47),
        (Granule::K16, 48),
        (Granule::K16, 52),
        (Granule::K64, 42),
        (Granule::K64, 48),
        (Granule::K64, 52),
    ];

    /// The rule of the architecture: the index of the last level begins above the page's
    /// bits, a full table is one granule, and the root has the bits that are left.
    #[test]
    fn each_geometry_is_that_of_the_architecture() {
        for (granule, va_bits) in ALL {
            let format = Arm64::kernel(granule, va_bits).unwrap();
            let page = format.page_shift();
            let count = (va_bits - page).div_ceil(page - 3);
            assert_eq!(format.levels().len() as u32, count, "{granule:?} {va_bits}");
            for (depth, level) in format.levels().iter().rev().enumerate() {
                let shift = page + depth as u32 * (page - 3);
                assert_eq!(level.shift, shift);
                assert_eq!(level.bits, (page - 3).min(va_bits - shift));
            }
        }
        assert!(Arm64::kernel(Granule::K64, 47).is_none());
    }

    #[test]
    fn addresses_of_52_bits_are_put_together() {
        let address = 0x000a_bcde_1234_0000_u64;
        let page = |format: Arm64, value| {
            let last = format.levels().last().unwrap();
            format.decode(last, value)
        };
        // 64 KiB: bits 51..48 in 15..12.
        let large = Arm64::kernel(Granule::K64, 52).unwrap();
        let entry = address & 0xffff_ffff_0000 | (address >> 48) << 12 | 0x703;
        assert_eq!(page(large, entry), Entry::Page(PhysAddr(address)));
        // LPA2: bits 49..shift as they are, bits 51..50 in 9..8.
        for granule in [Granule::K4, Granule::K16] {
            let lpa2 = Arm64::kernel(granule, 52).unwrap();
            let entry = address & 0x3_ffff_ffff_f000 | (address >> 50) << 8 | 0x403;
            assert_eq!(page(lpa2, entry), Entry::Page(PhysAddr(address)));
        }
        // 48 bits: the same bits are shareability, and what is above is software's.
        let small = Arm64::kernel(Granule::K4, 48).unwrap();
        assert_eq!(page(small, 0x00e8_1234_5678_9f03), Entry::Page(PhysAddr(0x1234_5678_9000)));
    }

    #[test]
    fn blocks_are_accepted_where_the_architecture_has_them() {
        let block = 0x0060_0012_4000_0701_u64;
        let kinds = |granule, va_bits| -> Vec<_> {
            let format = Arm64::kernel(granule, va_bits).unwrap();
            let is_page = |level| matches!(format.decode(level, block), Entry::Page(_));
            format.levels().iter().map(is_page).collect()
        };
        assert_eq!(kinds(Granule::K4, 48), [false, true, true, false]);
        assert_eq!(kinds(Granule::K4, 52), [false, true, true, true, false]);
        assert_eq!(kinds(Granule::K16, 48), [false, false, true, false]);
        assert_eq!(kinds(Granule::K16, 52), [false, true, true, false]);
        assert_eq!(kinds(Granule::K64, 52), [true, true, false]);
        let format = Arm64::kernel(Granule::K4, 48).unwrap();
        let pud = &format.levels()[1];
        assert_eq!(format.decode(pud, block), Entry::Page(PhysAddr(0x12_4000_0000)));
        assert_eq!(
            format.flags(pud, block),
            ["writable", "kernel", "global", "accessed", "no-kernel-execute", "no-user-execute"]
        );
        assert_eq!(format.decode(pud, block | 2), Entry::Table(PhysAddr(0x12_4000_0000)));
        assert_eq!(format.decode(pud, block & !1), Entry::NotPresent);
    }

    #[test]
    fn each_half_has_its_own_addresses_and_tags_do_not_count() {
        let kernel = Arm64::kernel(Granule::K4, 48).unwrap();
        assert!(kernel.check(VirtAddr(0xffff_8000_0801_0000)).is_ok());
        assert!(kernel.check(VirtAddr(0xf3ff_8000_0801_0000)).is_ok());
        assert!(kernel.check(VirtAddr(0xfff0_0000_0000_0000)).is_err());
        assert!(kernel.check(VirtAddr(0x0000_aaaa_0000_0000)).is_err());
        assert!(kernel.user().check(VirtAddr(0x0000_aaaa_0000_0000)).is_ok());
        assert!(kernel.user().check(VirtAddr(0xffff_8000_0801_0000)).is_err());
        let wide = Arm64::kernel(Granule::K4, 52).unwrap();
        assert!(wide.check(VirtAddr(0xfff0_0000_0000_0000)).is_ok());
    }
}
