//! The header of BTF, which locates its sections.

use super::BtfError;
use crate::cursor::Cursor;
use crate::endian::Endian;

/// How BTF begins.
pub const MAGIC: u16 = 0xeb9f;
/// How many bytes of BTF [`Header::decode`] needs at least.
pub const HEADER_LENGTH: usize = 24;
/// The longest BTF that is read, in bytes. A kernel's takes 3 to 10 MB.
pub const MAX_LENGTH: u64 = 64 << 20;

/// A section, by its offset from the first byte of BTF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Where it begins.
    pub start: u32,
    /// How many bytes it has.
    pub length: u32,
}

impl Section {
    fn end(self) -> u64 {
        u64::from(self.start).saturating_add(self.length.into())
    }

    /// Its bytes. Empty if they exceed `bytes`.
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        let range = usize::try_from(self.start).ok().zip(usize::try_from(self.end()).ok());
        range.and_then(|(start, end)| bytes.get(start..end)).unwrap_or_default()
    }
}

/// The sections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The types.
    pub types: Section,
    /// The strings.
    pub strings: Section,
    /// The length of types, by kind. Empty where the header has none.
    pub layout: Section,
}

impl Header {
    /// Decodes the first bytes, [`HEADER_LENGTH`] or more.
    ///
    /// # Errors
    /// Fails if there are too few, if magic or version differ, or if the sections are longer
    /// than [`MAX_LENGTH`].
    pub fn decode(bytes: &[u8], endian: Endian) -> Result<Self, BtfError> {
        let mut rest = Cursor::new(bytes, endian);
        let (magic, version) = (rest.u16("BTF magic")?, rest.u8("BTF version")?);
        rest.u8("BTF flags")?;
        if (magic, version) != (MAGIC, 1) {
            let found = u32::from(magic) | u32::from(version).wrapping_shl(16);
            return Err(BtfError::Magic { found });
        }
        let header_length = rest.u32("BTF header length")?;
        let mut section = |what| {
            let (start, length) = (rest.u32(what)?, rest.u32(what)?);
            let start = u64::from(header_length).saturating_add(start.into());
            let end = start.saturating_add(length.into());
            let start = u32::try_from(start).ok().filter(|_| end <= MAX_LENGTH);
            let start = start.ok_or(BtfError::TooLong { length: end })?;
            Ok::<_, BtfError>(Section { start, length })
        };
        let (types, strings) = (section("BTF types")?, section("BTF strings")?);
        // After a header of 24 bytes, types may follow immediately.
        let layout = if header_length >= 32 { section("BTF layout")? } else { Section::default() };
        Ok(Self { types, strings, layout })
    }

    /// The length of header and sections together.
    pub fn length(&self) -> u64 {
        self.types.end().max(self.strings.end()).max(self.layout.end())
    }

    /// Checks that `length` bytes contain the sections.
    pub(super) fn fits(&self, length: u64) -> Result<(), BtfError> {
        use crate::cursor::ParseError;
        let needed = self.length();
        if needed <= length {
            return Ok(());
        }
        Err(ParseError { what: "BTF", at: 0, needed, left: length }.into())
    }
}
