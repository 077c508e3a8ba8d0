//! Guest addresses, as types that cannot be mixed up, and their arithmetic.
//!
//! Nothing here panics: what can overflow is checked, saturates where the end of a
//! range is meant, or wraps as the kernel's own pointer arithmetic does.
//!
//! ```
//! use vmcore_formats::addr::{Pfn, PhysAddr, VirtAddr};
//!
//! let at = PhysAddr(0x1234);
//! assert_eq!((at.align_down(0x1000), at.offset_in(0x1000)), (PhysAddr(0x1000), 0x234));
//! assert_eq!(at.page(0x1000), Pfn(1));
//! assert_eq!(Pfn(2).address(0x1000), Some(PhysAddr(0x2000)));
//! assert_eq!(at.left_in(0x1000), 0xdcc);
//!
//! // container_of(): a node at offset 0x20 of its object.
//! let node = VirtAddr(0xffff_8880_0000_1020);
//! assert_eq!(node.wrapping_sub(0x20), VirtAddr(0xffff_8880_0000_1000));
//! assert!(node.is_in(VirtAddr(0xffff_8880_0000_1000), 0x40));
//! assert_eq!(VirtAddr(0x10).checked_sub(0x20), None);
//! ```

use std::fmt;

/// An address in the guest's physical memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysAddr(pub u64);

/// An address as the guest's code uses it, translated by page tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtAddr(pub u64);

/// The number of a page of physical memory. What a page's size is, the reader knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pfn(pub u64);

/// The arithmetic that both kinds of address have.
macro_rules! arithmetic {
    ($address:ident) => {
        impl $address {
            /// This many bytes higher. `None` past the last address.
            #[inline]
            #[must_use]
            pub fn checked_add(self, bytes: u64) -> Option<Self> {
                self.0.checked_add(bytes).map(Self)
            }

            /// This many bytes lower. `None` below address 0.
            #[inline]
            #[must_use]
            pub fn checked_sub(self, bytes: u64) -> Option<Self> {
                self.0.checked_sub(bytes).map(Self)
            }

            /// This many bytes higher, or the last address: for ends of ranges.
            #[inline]
            #[must_use]
            pub fn saturating_add(self, bytes: u64) -> Self {
                Self(self.0.saturating_add(bytes))
            }

            /// This many bytes lower, or address 0: for starts of ranges.
            #[inline]
            #[must_use]
            pub fn saturating_sub(self, bytes: u64) -> Self {
                Self(self.0.saturating_sub(bytes))
            }

            /// This many bytes higher, modulo 2^64 as in C.
            #[inline]
            #[must_use]
            pub fn wrapping_add(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// This many bytes lower, modulo 2^64 as in C.
            #[inline]
            #[must_use]
            pub fn wrapping_sub(self, bytes: u64) -> Self {
                Self(self.0.wrapping_sub(bytes))
            }

            /// This many bytes higher or lower, modulo 2^64 as in C.
            #[inline]
            #[must_use]
            pub fn wrapping_add_signed(self, bytes: i64) -> Self {
                Self(self.0.wrapping_add_signed(bytes))
            }

            /// How many bytes it is above `start`. `None` if it is below.
            #[inline]
            pub fn distance_from(self, start: Self) -> Option<u64> {
                self.0.checked_sub(start.0)
            }

            /// How many bytes it is above `start`, 0 if it is below.
            #[inline]
            pub fn saturating_distance_from(self, start: Self) -> u64 {
                self.0.saturating_sub(start.0)
            }

            /// How many bytes it is above `start`, modulo 2^64 as in C.
            #[inline]
            pub fn wrapping_distance_from(self, start: Self) -> u64 {
                self.0.wrapping_sub(start.0)
            }

            /// Whether it is one of the `length` bytes from `start` on.
            #[inline]
            pub fn is_in(self, start: Self, length: u64) -> bool {
                self.0.wrapping_sub(start.0) < length
            }

            /// The last multiple of `unit` that is not above it.
            #[inline]
            #[must_use]
            pub fn align_down(self, unit: u64) -> Self {
                Self(self.0.wrapping_sub(self.offset_in(unit)))
            }

            /// The first multiple of `unit` that is not below it. `None` past the last one.
            #[inline]
            #[must_use]
            pub fn align_up(self, unit: u64) -> Option<Self> {
                match self.offset_in(unit) {
                    0 => Some(self),
                    offset => self.checked_add(unit.wrapping_sub(offset)),
                }
            }

            /// Whether it is a multiple of `unit`.
            #[inline]
            pub fn is_aligned(self, unit: u64) -> bool {
                self.offset_in(unit) == 0
            }

            /// Its offset in the unit of this size, for example a page, that it is in.
            #[inline]
            pub fn offset_in(self, unit: u64) -> u64 {
                self.0.checked_rem(unit).unwrap_or(0)
            }

            /// How many bytes there are from it to the end of the unit that it is in.
            #[inline]
            pub fn left_in(self, unit: u64) -> u64 {
                unit.wrapping_sub(self.offset_in(unit))
            }
        }
    };
}

arithmetic!(PhysAddr);
arithmetic!(VirtAddr);

impl PhysAddr {
    /// The page of this size that it is in. Page 0 if the size is 0.
    #[inline]
    pub fn page(self, page_size: u64) -> Pfn {
        Pfn(self.0.checked_div(page_size).unwrap_or(0))
    }
}

impl Pfn {
    /// The page's first byte. `None` past the last address.
    #[inline]
    pub fn address(self, page_size: u64) -> Option<PhysAddr> {
        self.0.checked_mul(page_size).map(PhysAddr)
    }

    /// The byte after the page range that ends before this page, or the last address.
    #[inline]
    pub fn saturating_address(self, page_size: u64) -> PhysAddr {
        PhysAddr(self.0.saturating_mul(page_size))
    }
}

impl fmt::Display for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

impl fmt::Display for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Pfn, PhysAddr, VirtAddr};

    const LAST: VirtAddr = VirtAddr(u64::MAX);

    #[test]
    fn sums_are_checked_saturate_or_wrap_as_their_names_say() {
        assert_eq!(LAST.checked_add(1), None);
        assert_eq!(LAST.saturating_add(1), LAST);
        assert_eq!(LAST.wrapping_add(1), VirtAddr(0));
        assert_eq!(VirtAddr(0).checked_sub(1), None);
        assert_eq!(VirtAddr(0).saturating_sub(1), VirtAddr(0));
        assert_eq!(VirtAddr(0).wrapping_sub(1), LAST);
        assert_eq!(VirtAddr(4).wrapping_add_signed(-5), LAST);
    }

    #[test]
    fn distances_are_from_the_lower_to_the_higher_address() {
        let (low, high) = (PhysAddr(0x1000), PhysAddr(0x1800));
        assert_eq!(high.distance_from(low), Some(0x800));
        assert_eq!(low.distance_from(high), None);
        assert_eq!(low.saturating_distance_from(high), 0);
        assert_eq!(low.wrapping_distance_from(high), 0x800_u64.wrapping_neg());
        assert!(high.is_in(low, 0x801) && !high.is_in(low, 0x800) && !low.is_in(high, 0x800));
    }

    #[test]
    fn alignment_is_to_any_unit_and_to_none_if_it_is_zero() {
        assert_eq!(VirtAddr(0x1fff).align_down(0x1000), VirtAddr(0x1000));
        assert_eq!(VirtAddr(0x1001).align_up(0x1000), Some(VirtAddr(0x2000)));
        assert_eq!(VirtAddr(0x2000).align_up(0x1000), Some(VirtAddr(0x2000)));
        assert_eq!(LAST.align_up(0x1000), None);
        assert_eq!((LAST.align_down(0), LAST.align_up(0)), (LAST, Some(LAST)));
        assert!(VirtAddr(24).is_aligned(8) && !VirtAddr(25).is_aligned(8));
        assert_eq!((VirtAddr(0x1ffe).left_in(0x1000), VirtAddr(0).left_in(0x1000)), (2, 0x1000));
    }

    #[test]
    fn pages_have_numbers_and_numbers_pages() {
        assert_eq!(PhysAddr(0x1_2345).page(0x1_0000), Pfn(1));
        assert_eq!(Pfn(1).address(0x1_0000), Some(PhysAddr(0x1_0000)));
        assert_eq!(Pfn(u64::MAX).address(4096), None);
        assert_eq!(Pfn(u64::MAX).saturating_address(4096), PhysAddr(u64::MAX));
        assert_eq!(PhysAddr(1).page(0), Pfn(0));
    }
}
