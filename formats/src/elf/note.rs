//! ELF notes (`PT_NOTE`).
//!
//! ```text
//! 0   namesz  u32   length of the name, with its NUL
//! 4   descsz  u32   length of the descriptor
//! 8   type    u32   meaning depends on the name
//! 12  name          padded to 4 bytes
//!     desc          padded to 4 bytes
//! ```
//!
//! QEMU writes the notes of the architecture for each vCPU; then, on x86, a note
//! named `QEMU` for each vCPU; then the guest's own note unchanged (`VMCOREINFO`).
//! Source: QEMU `dump/dump.c`.
//!
//! ```
//! use vmcore_formats::elf::note::{Note, Notes};
//! use vmcore_formats::endian::Endian;
//!
//! let note = Note { name: b"VMCOREINFO", kind: 0, descriptor: b"OSRELEASE=6.1\n" };
//! let bytes = note.encode(Endian::Little).unwrap();
//! assert_eq!(bytes[..4], [11, 0, 0, 0]);
//! assert_eq!(Notes::new(&bytes, Endian::Little).next(), Some(Ok(note)));
//! ```

use crate::cursor::{Cursor, ParseError};
use crate::endian::Endian;

/// `n_type` of a vCPU's general registers under the name `CORE`.
pub const NT_PRSTATUS: u32 = 1;

/// One note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// The name, without the NUL that ends it. Not always text.
    pub name: &'a [u8],
    /// `n_type`, whose meaning depends on the name.
    pub kind: u32,
    /// The descriptor.
    pub descriptor: &'a [u8],
}

impl Note<'_> {
    /// Encodes the note with its padding.
    ///
    /// Returns `None` if its name or descriptor is 4 GiB or longer.
    pub fn encode(&self, endian: Endian) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let name_size = u32::try_from(self.name.len()).ok()?.checked_add(1)?;
        for number in [name_size, u32::try_from(self.descriptor.len()).ok()?, self.kind] {
            bytes.extend(endian.u32_bytes(number));
        }
        bytes.extend(self.name);
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(self.descriptor);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Some(bytes)
    }
}

/// The notes of a segment, in order.
///
/// Ends after the first error.
#[derive(Clone, Debug)]
pub struct Notes<'a> {
    rest: Cursor<'a>,
}

impl<'a> Notes<'a> {
    /// The notes in `bytes`.
    pub fn new(bytes: &'a [u8], endian: Endian) -> Self {
        Self { rest: Cursor::new(bytes, endian) }
    }

    fn decode(&mut self) -> Result<Note<'a>, ParseError> {
        let name_size = self.rest.u32("note name size")?;
        let descriptor_size = self.rest.u32("note descriptor size")?;
        let kind = self.rest.u32("note type")?;
        let name = self.padded(name_size, "note name")?;
        let descriptor = self.padded(descriptor_size, "note descriptor")?;
        Ok(Note { name: name.strip_suffix(&[0]).unwrap_or(name), kind, descriptor })
    }

    fn padded(&mut self, size: u32, what: &'static str) -> Result<&'a [u8], ParseError> {
        let bytes = self.rest.take(u64::from(size), what)?;
        let padding = u64::from(size.wrapping_neg() % 4);
        // The last note of a segment may end without its padding.
        let padding = padding.min(self.rest.left() as u64);
        self.rest.take(padding, "note padding")?;
        Ok(bytes)
    }
}

impl<'a> Iterator for Notes<'a> {
    type Item = Result<Note<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.left() == 0 {
            return None;
        }
        let note = self.decode();
        if note.is_err() {
            self.rest = Cursor::new(&[], Endian::Little);
        }
        Some(note)
    }
}

#[cfg(test)]
mod tests {
    use super::{Note, Notes};
    use crate::endian::Endian;

    const VMCOREINFO: &[u8] = b"\x0b\0\0\0\x05\0\0\0\0\0\0\0VMCOREINFO\0\0OSREL\0\0\0";

    #[test]
    fn a_note_is_read_with_its_padding() {
        let notes: Vec<_> = Notes::new(VMCOREINFO, Endian::Little).collect();
        let expected = Note { name: b"VMCOREINFO", kind: 0, descriptor: b"OSREL" };
        assert_eq!(notes, [Ok(expected)]);
    }

    #[test]
    fn a_note_is_written_as_it_is_read() {
        let note = Note { name: b"VMCOREINFO", kind: 0, descriptor: b"OSREL" };
        assert_eq!(note.encode(Endian::Little).unwrap(), VMCOREINFO);
        for (name, descriptor) in [(&b""[..], &b""[..]), (b"abc", b"x"), (b"CORE", b"12345678")] {
            for endian in [Endian::Little, Endian::Big] {
                let note = Note { name, kind: 7, descriptor };
                let bytes = [note.encode(endian).unwrap(), note.encode(endian).unwrap()].concat();
                let found: Vec<_> = Notes::new(&bytes, endian).collect();
                assert_eq!(found, [Ok(note), Ok(note)]);
            }
        }
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        // The last three bytes are padding, which a segment may lack.
        for len in 1..VMCOREINFO.len() - 3 {
            let last = Notes::new(&VMCOREINFO[..len], Endian::Little).last();
            assert!(matches!(last, Some(Err(_))), "cut at {len}");
        }
    }

    #[test]
    fn the_notes_end_after_an_error() {
        let mut notes = Notes::new(&[0xff; 64], Endian::Little);
        assert!(notes.next().is_some_and(|note| note.is_err()));
        assert!(notes.next().is_none());
    }
}
