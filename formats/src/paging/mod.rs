//! Page tables: how a virtual address is divided, and the meaning of an entry.
//!
//! Geometry and entries only. A walk goes through [`Paging::levels`] from the root down:
//! it reads entry `index` of the level's table, decodes it by [`Paging::decode`], and
//! continues with the table that the entry refers to.
//!
//! ```text
//! x86-64, 4 levels         63..48  47..39  38..30  29..21  20..12  11..0
//!                          sign    PGD     PUD     PMD     PTE     in the page
//! arm64, 4 KiB, 48 bits    63..48  47..39  38..30  29..21  20..12  11..0
//! arm64, 64 KiB, 52 bits   63..52  51..42          41..29  28..16  15..0
//!                          half    PGD             PMD     PTE     in the page
//! ```
//!
//! The levels have Linux's names.
//!
//! ```
//! use vmcore_formats::addr::{PhysAddr, VirtAddr};
//! use vmcore_formats::paging::{Entry, Paging, X86_64};
//!
//! let paging = Paging::X86_64(X86_64::default());
//! let at = VirtAddr(0xffff_ffff_8100_0000);
//! let indices: Vec<_> = paging.levels().iter().map(|level| level.index(at)).collect();
//! assert_eq!(indices, [511, 510, 8, 0]);
//!
//! let pmd = &paging.levels()[2];
//! // Present, writable, accessed, dirty, large, global, no-execute.
//! let entry = 0x8000_0000_0120_01e3;
//! assert_eq!(paging.decode(pmd, entry), Entry::Page(PhysAddr(0x120_0000)));
//! ```

mod arm64;
mod x86_64;

pub use arm64::{Arm64, Granule};
pub use x86_64::{CR4_LA57, X86_64, root_of_cr3};

use thiserror::Error;

use crate::addr::{PhysAddr, VirtAddr};

/// Size of an entry in all formats, in bytes.
pub const ENTRY_SIZE: u64 = 8;

/// A format of page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// Of an x86-64 processor in long mode.
    X86_64(X86_64),
    /// Of one half of an arm64 processor's addresses.
    Arm64(Arm64),
}

/// One level of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Its name: `PGD`, `P4D`, `PUD`, `PMD` or `PTE`.
    pub name: &'static str,
    /// The lowest bit of the index in an address. An entry covers 2^`shift` bytes.
    pub shift: u32,
    /// The width of the index in bits.
    pub bits: u32,
}

impl Level {
    /// The number of the entry for an address.
    pub fn index(&self, at: VirtAddr) -> u64 {
        let mask = 1_u64.checked_shl(self.bits).unwrap_or_default().wrapping_sub(1);
        at.0.checked_shr(self.shift).unwrap_or_default() & mask
    }

    /// How many bytes an entry covers.
    pub fn span(&self) -> u64 {
        1_u64.checked_shl(self.shift).unwrap_or_default()
    }
}

/// A decoded entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Refers to a table of the next level.
    Table(PhysAddr),
    /// Maps a page or block that begins here, of the size that the level's entries cover.
    Page(PhysAddr),
    /// Maps nothing.
    NotPresent,
    /// Not valid at this level.
    Invalid,
}

/// An address that the tables cannot map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{at} is not an address of {tables}")]
pub struct OutOfRange {
    /// The address.
    pub at: VirtAddr,
    /// The owner of the tables.
    pub tables: &'static str,
}

impl Paging {
    /// The levels, from the root down. Two to five.
    pub fn levels(&self) -> &'static [Level] {
        match self {
            Self::X86_64(format) => format.levels(),
            Self::Arm64(format) => format.levels(),
        }
    }

    /// Decodes an entry of a level.
    pub fn decode(&self, level: &Level, value: u64) -> Entry {
        match self {
            Self::X86_64(format) => format.decode(level, value),
            Self::Arm64(format) => format.decode(level, value),
        }
    }

    /// What an entry's bits say, in words: access, caching, and what was done with it.
    pub fn flags(&self, level: &Level, value: u64) -> Vec<&'static str> {
        match self {
            Self::X86_64(format) => format.flags(level, value),
            Self::Arm64(format) => format.flags(level, value),
        }
    }

    /// Whether the kernel may run what an entry maps.
    pub fn is_executable(&self, value: u64) -> bool {
        match self {
            Self::X86_64(_) => value & x86_64::NO_EXECUTE == 0,
            Self::Arm64(_) => value & arm64::NO_KERNEL_EXECUTE == 0,
        }
    }

    /// Checks that these tables are asked for an address at all.
    ///
    /// # Errors
    /// Fails for an address that is not canonical, or of the other half.
    pub fn check(&self, at: VirtAddr) -> Result<(), OutOfRange> {
        match self {
            Self::X86_64(format) => format.check(at),
            Self::Arm64(format) => format.check(at),
        }
    }
}

/// The words whose bits are set in `value`.
fn words(value: u64, table: &[(u64, &'static str)]) -> Vec<&'static str> {
    table.iter().filter(|(bit, _)| value & bit != 0).map(|(_, word)| *word).collect()
}
