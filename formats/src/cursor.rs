//! The one way to read untrusted bytes.
//!
//! A [`Cursor`] has no method that can panic. A failed read says what was
//! wanted and where, and leaves the cursor as it was.

use thiserror::Error;

/// Byte order of multi-byte values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// A read past the end of the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what} at {at:#x} needs {needed} bytes, {left} left")]
pub struct ParseError {
    /// What was being read.
    pub what: &'static str,
    /// Where it should begin, in bytes from the start of the input.
    pub at: u64,
    /// How many bytes it takes.
    pub needed: u64,
    /// How many bytes there are from there on.
    pub left: u64,
}

/// A position in bytes that nobody vouches for.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    at: u64,
    endian: Endian,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8], endian: Endian) -> Self {
        Self { rest: bytes, at: 0, endian }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// How far the cursor is from the start.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// Fails if fewer are left; the cursor then stays where it is.
    pub fn take(&mut self, len: u64, what: &'static str) -> Result<&'a [u8], ParseError> {
        let short = ParseError { what, at: self.at, needed: len, left: self.rest.len() as u64 };
        let split = usize::try_from(len).map_err(|_| short)?;
        let (taken, rest) = self.rest.split_at_checked(split).ok_or(short)?;
        self.rest = rest;
        self.at = self.at.saturating_add(len);
        Ok(taken)
    }

    /// The next two bytes as a number.
    ///
    /// # Errors
    /// Fails if fewer than two bytes are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, ParseError> {
        let bytes = self.array(what)?;
        Ok(match self.endian {
            Endian::Little => u16::from_le_bytes(bytes),
            Endian::Big => u16::from_be_bytes(bytes),
        })
    }

    /// The next four bytes as a number.
    ///
    /// # Errors
    /// Fails if fewer than four bytes are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, ParseError> {
        let bytes = self.array(what)?;
        Ok(match self.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }

    /// The next eight bytes as a number.
    ///
    /// # Errors
    /// Fails if fewer than eight bytes are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, ParseError> {
        let bytes = self.array(what)?;
        Ok(match self.endian {
            Endian::Little => u64::from_le_bytes(bytes),
            Endian::Big => u64::from_be_bytes(bytes),
        })
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ParseError> {
        let short = ParseError { what, at: self.at, needed: N as u64, left: self.left() as u64 };
        self.take(N as u64, what)?.try_into().map_err(|_| short)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Endian};

    #[test]
    fn a_failed_read_says_what_was_wanted_and_moves_nothing() {
        let mut cursor = Cursor::new(&[1, 2, 3], Endian::Little);
        let error = cursor.u32("note name size").unwrap_err();
        assert_eq!(error.to_string(), "note name size at 0x0 needs 4 bytes, 3 left");
        assert_eq!(cursor.u16("word").unwrap(), 0x0201);
        assert_eq!((cursor.at(), cursor.left()), (2, 1));
    }

    #[test]
    fn big_endian_numbers_are_read_as_such() {
        let mut cursor = Cursor::new(&[0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3], Endian::Big);
        assert_eq!(cursor.u16("a").unwrap(), 1);
        assert_eq!(cursor.u32("b").unwrap(), 2);
        assert_eq!(cursor.u64("c").unwrap(), 3);
    }
}
