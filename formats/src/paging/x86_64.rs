//! Page tables of x86-64.
//!
//! ```text
//! 63   NX      62..59 protection key (in entries that map memory)
//! 51..12       address of the table or page; where memory is encrypted, one of
//!              the bits is the C-bit (sme_mask)
//! 12   PAT     in entries that map 2 MiB or 1 GiB
//! 11..9        for software; 9 is Linux's "special", 11 its soft-dirty
//! 8    G       7 PS (PUD, PMD: maps memory) or PAT (PTE)
//! 6 D  5 A  4 PCD  3 PWT  2 US  1 RW  0 P
//! ```
//!
//! Source: Intel SDM volume 3, 4.5; Linux `arch/x86/include/asm/pgtable_types.h`.

use super::{Entry, Level, OutOfRange, words};
use crate::addr::{PhysAddr, VirtAddr};

/// The bit of CR4 that says that there are five levels.
pub const CR4_LA57: u64 = 1 << 12;
pub(super) const NO_EXECUTE: u64 = 1 << 63;
const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const LEVELS: [Level; 5] = [
    Level { name: "PGD", shift: 48, bits: 9 },
    Level { name: "P4D", shift: 39, bits: 9 },
    Level { name: "PUD", shift: 30, bits: 9 },
    Level { name: "PMD", shift: 21, bits: 9 },
    Level { name: "PTE", shift: 12, bits: 9 },
];
/// Where there are four, Linux calls the root PGD.
const FOUR_LEVELS: [Level; 4] =
    [Level { name: "PGD", shift: 39, bits: 9 }, LEVELS[2], LEVELS[3], LEVELS[4]];

/// The format of an x86-64 processor in long mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct X86_64 {
    /// Whether there are five levels, not four.
    pub five_levels: bool,
    /// `sme_mask`: the bit that marks encrypted memory, or 0.
    pub encryption_mask: u64,
}

/// The table that a CR3 names.
///
/// Linux with page-table isolation runs user code on a second table, one page
/// behind the kernel's; this is the one that the CR3 says.
pub fn root_of_cr3(cr3: u64) -> PhysAddr {
    PhysAddr(cr3 & ADDRESS)
}

impl X86_64 {
    pub(super) fn levels(self) -> &'static [Level] {
        if self.five_levels { &LEVELS } else { &FOUR_LEVELS }
    }

    pub(super) fn decode(self, level: &Level, value: u64) -> Entry {
        if value & PRESENT == 0 {
            return Entry::NotPresent;
        }
        let address = value & ADDRESS & !self.encryption_mask;
        let last = level.shift == 12;
        if !last && value & LARGE == 0 {
            return Entry::Table(PhysAddr(address));
        }
        if level.shift > 30 {
            return Entry::Invalid;
        }
        // The lowest of the bits that are no address is PAT.
        Entry::Page(PhysAddr(address & !level.span().wrapping_sub(1)))
    }

    pub(super) fn flags(self, level: &Level, value: u64) -> Vec<&'static str> {
        const COMMON: [(u64, &str); 4] = [
            (1 << 3, "write-through"),
            (1 << 4, "uncached"),
            (1 << 5, "accessed"),
            (1 << 6, "dirty"),
        ];
        if value & PRESENT == 0 {
            return Vec::new();
        }
        let mut flags = vec![
            if value & 2 == 0 { "read-only" } else { "writable" },
            if value & 4 == 0 { "kernel" } else { "user" },
        ];
        flags.extend(words(value, &COMMON));
        if let Entry::Page(_) = self.decode(level, value) {
            flags.extend(words(value, &[(1 << 8, "global")]));
            let pat = if level.shift == 12 { LARGE } else { 1 << 12 };
            flags.extend(words(value, &[(pat, "PAT")]));
        }
        flags.extend(words(
            value,
            &[(self.encryption_mask, "encrypted"), (NO_EXECUTE, "no-execute")],
        ));
        flags
    }

    pub(super) fn check(self, at: VirtAddr) -> Result<(), OutOfRange> {
        // Bits 63..47 (or 63..56) are all the same.
        let (sign, tables) = if self.five_levels {
            (56, "an x86-64 processor with 57-bit addresses")
        } else {
            (47, "an x86-64 processor with 48-bit addresses")
        };
        let above = at.0.cast_signed() >> sign;
        if above == 0 || above == -1 { Ok(()) } else { Err(OutOfRange { at, tables }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUD: Level = LEVELS[2];
    const PMD: Level = LEVELS[3];
    const PTE: Level = LEVELS[4];

    #[test]
    fn an_address_is_cut_into_the_indices_of_each_level() {
        let at = VirtAddr(0xff14_d112_0fd9_0123);
        let indices: Vec<_> = LEVELS.iter().map(|level| level.index(at)).collect();
        let expected = [0x114, (0xd112 << 32 | 0x0fd9_0123_u64) >> 39, 0x48, 0x7e, 0x190];
        assert_eq!(indices, expected);
    }

    #[test]
    fn entries_map_pages_of_three_sizes() {
        let format = X86_64 { five_levels: true, encryption_mask: 0 };
        // The lowest bit above the flags of a large page is PAT, no address.
        let large = 0x8000_0000_4020_11e3_u64;
        assert_eq!(format.decode(&PMD, large), Entry::Page(PhysAddr(0x4020_0000)));
        assert_eq!(format.decode(&PUD, large), Entry::Page(PhysAddr(0x4000_0000)));
        assert!(format.flags(&PMD, large).contains(&"PAT"));
        // In the last level the same bit is PAT, and the entry a page in any case.
        assert_eq!(format.decode(&PTE, 0x1234_50e3), Entry::Page(PhysAddr(0x1234_5000)));
        assert_eq!(
            format.flags(&PTE, 0x8000_0000_1234_51e3),
            ["writable", "kernel", "accessed", "dirty", "global", "PAT", "no-execute"]
        );
    }

    #[test]
    fn a_table_is_one_and_what_is_not_present_is_nothing() {
        let format = X86_64::default();
        assert_eq!(format.decode(&PMD, 0x1234_5067), Entry::Table(PhysAddr(0x1234_5000)));
        assert_eq!(format.decode(&PMD, 0x1234_5066), Entry::NotPresent);
        assert_eq!(format.decode(&PTE, 0), Entry::NotPresent);
        // No processor has pages of 512 GiB.
        assert_eq!(format.decode(&LEVELS[1], 0x1234_50e3), Entry::Invalid);
    }

    #[test]
    fn the_bit_that_marks_encrypted_memory_is_no_address() {
        let mask = 1 << 47;
        let format = X86_64 { five_levels: false, encryption_mask: mask };
        assert_eq!(format.decode(&PTE, mask | 0x5063), Entry::Page(PhysAddr(0x5000)));
        assert!(format.flags(&PTE, mask | 0x5063).contains(&"encrypted"));
        assert!(!X86_64::default().flags(&PTE, mask | 0x5063).contains(&"encrypted"));
    }

    #[test]
    fn addresses_in_the_hole_are_none() {
        let (four, five) = (X86_64::default(), X86_64 { five_levels: true, encryption_mask: 0 });
        assert!(four.check(VirtAddr(0x7fff_ffff_ffff)).is_ok());
        assert!(four.check(VirtAddr(0x8000_0000_0000)).is_err());
        assert!(four.check(VirtAddr(0xff14_d112_0fd9_0000)).is_err());
        assert!(five.check(VirtAddr(0xff14_d112_0fd9_0000)).is_ok());
        assert!(five.check(VirtAddr(0x0100_0000_0000_0000)).is_err());
    }
}
