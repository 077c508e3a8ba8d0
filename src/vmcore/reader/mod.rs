//! The formats of dumps, each read as guest memory by physical address.
//!
//! A format is a module here and a row of `READERS`.

mod elf;
pub(super) mod flattened;
pub mod kdump;
pub(super) mod windows;

use std::error::Error;
use std::sync::Arc;

use vmcore_formats::{elf as elf_format, kdump as kdump_format, windows_dump};

use super::dump::Dump;
use crate::corefile::read::bytes::Bytes;

/// Why a file cannot be read as what it seems to be.
pub type ReadError = Box<dyn Error + Send + Sync>;

/// A format of dumps.
#[derive(Debug)]
pub(super) struct Reader {
    /// What errors call it, with its article.
    pub(super) format: &'static str,
    /// How its files begin.
    magics: &'static [&'static [u8]],
    /// Opens a file that begins so.
    pub(super) open: fn(Arc<dyn Bytes>) -> Result<Dump, ReadError>,
}

/// All formats that can be read.
const READERS: &[Reader] = &[
    Reader { format: "an ELF core", magics: &[elf_format::MAGIC], open: elf::open },
    Reader {
        format: "a kdump-compressed file",
        magics: &[&kdump_format::SIGNATURE],
        open: kdump::open,
    },
    Reader {
        format: "a Windows crash dump",
        // Of 64 and of 32 bits. QEMU writes the first for a guest with Windows drivers.
        magics: &[windows_dump::MAGIC_64, windows_dump::MAGIC_32],
        open: windows::open,
    },
];

/// The reader for a file that begins like this.
pub(super) fn reader_of(first: &[u8]) -> Option<&'static Reader> {
    READERS.iter().find(|reader| reader.magics.iter().any(|magic| first.starts_with(magic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_one_reader_at_most() {
        let magics = || READERS.iter().flat_map(|reader| reader.magics);
        for (index, magic) in magics().enumerate() {
            let others = magics().enumerate().filter(|(other, _)| *other != index);
            assert!(others.clone().all(|(_, other)| !other.starts_with(magic)), "{magic:02x?}");
            assert!(reader_of(magic).is_some() && reader_of(&magic[1..]).is_none());
        }
        assert!(reader_of(b"").is_none());
    }
}
