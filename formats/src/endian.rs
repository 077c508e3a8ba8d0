//! Byte order, and numbers in it.
//!
//! The one place in which bytes of a guest or a file become numbers. An array is
//! converted as it is; of a slice, a number that is not all there is `None`. For a
//! run of fields with names for errors, there is [`Cursor`](crate::cursor::Cursor).
//!
//! ```
//! use vmcore_formats::endian::Endian;
//!
//! let note = [4, 0, 0, 0, 20, 0, 0, 0];
//! assert_eq!(Endian::Little.u32_at(&note, 4), Some(20));
//! assert_eq!(Endian::Little.u32_at(&note, 5), None);
//! assert_eq!(Endian::Big.u16([1, 2]), 0x0102);
//! assert_eq!(Endian::Big.u32_bytes(20), [0, 0, 0, 20]);
//! ```

/// Byte order of multi-byte values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    /// `little` or `big`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Little => "little",
            Self::Big => "big",
        }
    }

    /// Two bytes as a number.
    #[inline]
    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// Four bytes as a number.
    #[inline]
    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// Eight bytes as a number.
    #[inline]
    pub fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }

    /// The two bytes from `at` on.
    #[inline]
    pub fn u16_at(self, bytes: &[u8], at: usize) -> Option<u16> {
        array_at(bytes, at).map(|bytes| self.u16(bytes))
    }

    /// The four bytes from `at` on.
    #[inline]
    pub fn u32_at(self, bytes: &[u8], at: usize) -> Option<u32> {
        array_at(bytes, at).map(|bytes| self.u32(bytes))
    }

    /// The eight bytes from `at` on.
    #[inline]
    pub fn u64_at(self, bytes: &[u8], at: usize) -> Option<u64> {
        array_at(bytes, at).map(|bytes| self.u64(bytes))
    }

    /// All of `bytes` as one number. `None` for none, and for more than eight.
    pub fn number(self, bytes: &[u8]) -> Option<u64> {
        if let Ok(bytes) = bytes.try_into() {
            return Some(self.u64(bytes));
        }
        if !(1..8).contains(&bytes.len()) {
            return None;
        }
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(match self {
            Self::Little => bytes.iter().rev().fold(0, add),
            Self::Big => bytes.iter().fold(0, add),
        })
    }

    /// A number as two bytes.
    #[inline]
    pub fn u16_bytes(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// A number as four bytes.
    #[inline]
    pub fn u32_bytes(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// A number as eight bytes.
    #[inline]
    pub fn u64_bytes(self, value: u64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

#[inline]
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::Endian;

    const BYTES: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

    #[test]
    fn numbers_are_read_in_their_order_and_written_back() {
        for (endian, short, int, long) in [
            (Endian::Little, 0x0302, 0x0504_0302, 0x0908_0706_0504_0302),
            (Endian::Big, 0x0203, 0x0203_0405, 0x0203_0405_0607_0809),
        ] {
            assert_eq!(endian.u16_at(&BYTES, 1), Some(short));
            assert_eq!(endian.u32_at(&BYTES, 1), Some(int));
            assert_eq!(endian.u64_at(&BYTES, 1), Some(long));
            assert_eq!(endian.u16_bytes(short), BYTES[1..3]);
            assert_eq!(endian.u32_bytes(int), BYTES[1..5]);
            assert_eq!(endian.u64_bytes(long), BYTES[1..9]);
        }
    }

    #[test]
    fn a_number_that_is_not_all_there_is_none() {
        for at in [8, 9, 10, usize::MAX] {
            assert_eq!(Endian::Little.u16_at(&BYTES, at), None, "{at}");
        }
        assert_eq!(Endian::Big.u32_at(&BYTES, 6), None);
        assert_eq!(Endian::Big.u64_at(&BYTES, 2), None);
    }

    #[test]
    fn a_number_may_have_any_length_up_to_eight_bytes() {
        assert_eq!(Endian::Little.number(&BYTES[..3]), Some(0x03_0201));
        assert_eq!(Endian::Big.number(&BYTES[..3]), Some(0x01_0203));
        assert_eq!(Endian::Little.number(&BYTES[..8]), Some(0x0807_0605_0403_0201));
        assert_eq!(Endian::Big.number(&[]), None);
        assert_eq!(Endian::Big.number(&BYTES), None);
    }
}
