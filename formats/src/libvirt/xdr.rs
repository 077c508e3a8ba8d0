//! XDR (RFC 4506), as far as libvirt's messages use it.
//!
//! ```text
//! int, enum, bool, short   4 bytes, big-endian
//! hyper                    8 bytes, big-endian
//! opaque<>, string<>       length u32, bytes, zeros up to a multiple of 4
//! optional                 u32 0 or 1, and the value if 1
//! array<>                  count u32, elements
//! char<>                   an array, with 4 bytes for each
//! ```

use thiserror::Error;

use crate::cursor::{Cursor, ParseError};
use crate::endian::Endian;

/// The longest text that libvirt sends, in bytes (`REMOTE_STRING_MAX`).
pub const MAX_STRING: u32 = 4 << 20;

/// Bytes that are no value of the wanted type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum XdrError {
    /// It ends too early.
    #[error(transparent)]
    Short(#[from] ParseError),
    /// A length or a count that libvirt never sends.
    #[error("{what} has {found} bytes or elements, and at most {most} are allowed")]
    TooLong {
        /// What was being read.
        what: &'static str,
        /// How many it claims.
        found: u32,
        /// How many there may be.
        most: u32,
    },
    /// A text that is not UTF-8.
    #[error("{what} is no UTF-8")]
    NotText {
        /// What was being read.
        what: &'static str,
    },
    /// An optional value that is neither absent nor present.
    #[error("{what} is neither absent nor present: {found:#x}")]
    NotOptional {
        /// What was being read.
        what: &'static str,
        /// What was in its place.
        found: u32,
    },
}

/// Reads values, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(Cursor<'a>);

impl<'a> Reader<'a> {
    /// A reader at the start of a payload.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Cursor::new(bytes, Endian::Big))
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.0.left()
    }

    /// An unsigned number.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, XdrError> {
        Ok(self.0.u32(what)?)
    }

    /// A signed number.
    pub fn i32(&mut self, what: &'static str) -> Result<i32, XdrError> {
        Ok(self.0.u32(what)?.cast_signed())
    }

    /// A long unsigned number.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, XdrError> {
        Ok(self.0.u64(what)?)
    }

    /// Bytes of a fixed number, a multiple of 4.
    pub fn fixed<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], XdrError> {
        Ok(self.0.array(what)?)
    }

    /// Bytes that carry their length, which is at most `most`.
    pub fn opaque(&mut self, what: &'static str, most: u32) -> Result<&'a [u8], XdrError> {
        let length = self.count(what, most)?;
        let bytes = self.0.take(length.into(), what)?;
        self.0.take(u64::from(padding(length)), what)?;
        Ok(bytes)
    }

    /// A text.
    pub fn string(&mut self, what: &'static str) -> Result<&'a str, XdrError> {
        let bytes = self.opaque(what, MAX_STRING)?;
        std::str::from_utf8(bytes).map_err(|_| XdrError::NotText { what })
    }

    /// A value that may be absent.
    pub fn optional<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, XdrError>,
    ) -> Result<Option<T>, XdrError> {
        match self.u32(what)? {
            0 => Ok(None),
            1 => read(self).map(Some),
            found => Err(XdrError::NotOptional { what, found }),
        }
    }

    /// The number of elements that follow, which is at most `most`.
    pub fn count(&mut self, what: &'static str, most: u32) -> Result<u32, XdrError> {
        let found = self.u32(what)?;
        if found > most { Err(XdrError::TooLong { what, found, most }) } else { Ok(found) }
    }

    /// An array of characters, at most `most`.
    pub fn characters(&mut self, what: &'static str, most: u32) -> Result<Vec<u8>, XdrError> {
        self.array(what, most, |reader| {
            let [.., character] = reader.fixed::<4>(what)?;
            Ok(character)
        })
    }

    /// Elements, at most `most`.
    pub fn array<T>(
        &mut self,
        what: &'static str,
        most: u32,
        mut read: impl FnMut(&mut Self) -> Result<T, XdrError>,
    ) -> Result<Vec<T>, XdrError> {
        // Not reserved: a count is only a claim until its elements are there.
        (0..self.count(what, most)?).map(|_| read(self)).collect()
    }
}

/// Writes values, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An unsigned number.
    #[must_use]
    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(Endian::Big.u32_bytes(value));
        self
    }

    /// A signed number.
    #[must_use]
    pub fn i32(self, value: i32) -> Self {
        self.u32(value.cast_unsigned())
    }

    /// A long unsigned number.
    #[must_use]
    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend(Endian::Big.u64_bytes(value));
        self
    }

    /// Bytes of a fixed number, a multiple of 4.
    #[must_use]
    pub fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes that carry their length. What is longer than any message is cut: libvirt
    /// then refuses the call.
    #[must_use]
    pub fn opaque(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut writer = self.u32(length);
        writer.0.extend_from_slice(bytes);
        writer.0.extend(std::iter::repeat_n(0, padding(length) as usize));
        writer
    }

    /// A text.
    #[must_use]
    pub fn string(self, text: &str) -> Self {
        self.opaque(text.as_bytes())
    }

    /// An array of characters.
    #[must_use]
    pub fn characters(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes.iter().fold(self.u32(length), |writer, byte| writer.u32(u32::from(*byte)))
    }

    /// A text that may be absent.
    #[must_use]
    pub fn optional_string(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.u32(1).string(text),
            None => self.u32(0),
        }
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// How many zeros follow so many bytes.
fn padding(length: u32) -> u32 {
    // (4 - length % 4) % 4
    length.wrapping_neg() & 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = Writer::default()
            .u32(7)
            .i32(-1)
            .u64(1 << 40)
            .fixed(&[9; 16])
            .string("guest")
            .optional_string(None)
            .optional_string(Some("four"))
            .into_bytes();
        assert_eq!(bytes.len() % 4, 0);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u32("a"), Ok(7));
        assert_eq!(reader.i32("b"), Ok(-1));
        assert_eq!(reader.u64("c"), Ok(1 << 40));
        assert_eq!(reader.fixed("d"), Ok([9; 16]));
        assert_eq!(reader.string("e"), Ok("guest"));
        assert_eq!(reader.optional("f", |reader| reader.string("f")), Ok(None));
        assert_eq!(reader.optional("g", |reader| reader.string("g")), Ok(Some("four")));
        assert_eq!(reader.left(), 0);
    }

    #[test]
    fn a_text_is_padded_to_a_multiple_of_four() {
        for (text, length) in [("", 4), ("a", 8), ("abcd", 8), ("abcde", 12)] {
            assert_eq!(Writer::default().string(text).into_bytes().len(), length, "{text:?}");
        }
        // Its padding is missing.
        assert!(Reader::new(&[0, 0, 0, 1, b'a']).string("text").is_err());
    }

    #[test]
    fn a_length_is_bounded_before_anything_is_taken() {
        let bytes = Writer::default().u32(u32::MAX).into_bytes();
        let error = Reader::new(&bytes).string("name").unwrap_err();
        assert_eq!(error, XdrError::TooLong { what: "name", found: u32::MAX, most: MAX_STRING });
        let error = Reader::new(&bytes).array("domains", 16, |reader| reader.u32("id"));
        assert!(matches!(error, Err(XdrError::TooLong { most: 16, .. })));
        let bytes = Writer::default().u32(2).into_bytes();
        let error = Reader::new(&bytes).optional("dom", |reader| reader.u32("id"));
        assert_eq!(error, Err(XdrError::NotOptional { what: "dom", found: 2 }));
    }
}
