//! Fields of untrusted bytes, one after the other.
//!
//! A [`Cursor`] has no method that can panic. A failed read reports what was
//! wanted and where, and does not move the cursor.
//!
//! ```
//! use vmcore_formats::cursor::Cursor;
//! use vmcore_formats::endian::Endian;
//!
//! let mut cursor = Cursor::new(&[3, 0, 0, 0, b'G', b'N', b'U'], Endian::Little);
//! let length = cursor.u32("name length")?;
//! assert_eq!(cursor.take(length.into(), "name")?, b"GNU");
//! let error = cursor.u64("descriptor").unwrap_err();
//! assert_eq!(error.to_string(), "descriptor at 0x7 needs 8 bytes, 0 left");
//! # Ok::<_, vmcore_formats::cursor::ParseError>(())
//! ```

use thiserror::Error;

use crate::endian::Endian;

/// A read past the end of the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what} at {at:#x} needs {needed} bytes, {left} left")]
pub struct ParseError {
    /// What was being read.
    pub what: &'static str,
    /// Its offset from the start of the input.
    pub at: u64,
    /// How many bytes it takes.
    pub needed: u64,
    /// How many bytes there are from there on.
    pub left: u64,
}

/// A position in untrusted bytes.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    at: u64,
    endian: Endian,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    pub fn new(bytes: &'a [u8], endian: Endian) -> Self {
        Self { rest: bytes, at: 0, endian }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// How far the cursor is from the start.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// Fails if fewer are left; the cursor then does not move.
    pub fn take(&mut self, len: u64, what: &'static str) -> Result<&'a [u8], ParseError> {
        let short = ParseError { what, at: self.at, needed: len, left: self.rest.len() as u64 };
        let split = usize::try_from(len).map_err(|_| short)?;
        let (taken, rest) = self.rest.split_at_checked(split).ok_or(short)?;
        self.rest = rest;
        self.at = self.at.saturating_add(len);
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// Fails if fewer are left; the cursor then does not move.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ParseError> {
        let short = ParseError { what, at: self.at, needed: N as u64, left: self.left() as u64 };
        self.take(N as u64, what)?.try_into().map_err(|_| short)
    }

    /// The next byte.
    ///
    /// # Errors
    /// Fails if none is left.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, ParseError> {
        self.array(what).map(|[byte]| byte)
    }

    /// The next two bytes as a number.
    ///
    /// # Errors
    /// Fails if fewer than two bytes are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, ParseError> {
        self.array(what).map(|bytes| self.endian.u16(bytes))
    }

    /// The next four bytes as a number.
    ///
    /// # Errors
    /// Fails if fewer than four bytes are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, ParseError> {
        self.array(what).map(|bytes| self.endian.u32(bytes))
    }

    /// The next eight bytes as a number.
    ///
    /// # Errors
    /// Fails if fewer than eight bytes are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, ParseError> {
        self.array(what).map(|bytes| self.endian.u64(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Endian};

    #[test]
    fn a_failed_read_reports_what_was_wanted_and_moves_nothing() {
        let mut cursor = Cursor::new(&[1, 2, 3], Endian::Little);
        let error = cursor.u32("note name size").unwrap_err();
        assert_eq!(error.to_string(), "note name size at 0x0 needs 4 bytes, 3 left");
        assert_eq!(cursor.u16("word").unwrap(), 0x0201);
        assert_eq!((cursor.at(), cursor.left()), (2, 1));
        assert_eq!(cursor.u8("byte").unwrap(), 3);
        assert!(cursor.u8("byte").is_err());
    }

    #[test]
    fn big_endian_numbers_are_read_as_such() {
        let mut cursor = Cursor::new(&[0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3], Endian::Big);
        assert_eq!(cursor.u16("a").unwrap(), 1);
        assert_eq!(cursor.u32("b").unwrap(), 2);
        assert_eq!(cursor.u64("c").unwrap(), 3);
    }
}
