//! Opens a Windows crash dump: QEMU's `win-dmp`, or one of Windows itself.
//!
//! A full dump has all memory behind its header, run after run, so it is read like a core.
//! Its header has what cannot be found in memory without symbols: the bugcheck. It becomes
//! a note, so that an import keeps it.

use std::sync::Arc;

use vmcore_formats::elf::machine::{EM_386, EM_AARCH64, EM_ARM, EM_NONE, EM_X86_64};
use vmcore_formats::elf::note::{Note, Notes};
use vmcore_formats::elf::{Class, Identity, Segment};
use vmcore_formats::endian::Endian;
use vmcore_formats::windows_dump::{MAX_HEADER, WindowsDump};

use super::ReadError;
use super::elf::ElfMemory;
use crate::corefile::read::bytes::{Bytes, read_vec};
use crate::vmcore::dump::Dump;
use crate::vmcore::memory::PhysMemory;

/// The name of the note that has the header.
const NOTE: &[u8] = b"PAGEDUMP";

/// The header in the note of a core that was such a dump.
pub(in crate::vmcore) fn header_in(mut notes: Notes<'_>) -> Option<WindowsDump> {
    let note = notes.find(|note| note.as_ref().is_ok_and(|note| note.name == NOTE))?.ok()?;
    WindowsDump::decode(note.descriptor).ok()
}

/// Opens a file that begins with `PAGEDU`.
pub(super) fn open(bytes: Arc<dyn Bytes>) -> Result<Dump, ReadError> {
    let first = read_vec(&*bytes, 0, bytes.length().min(MAX_HEADER as u64))?;
    let header = WindowsDump::decode(&first)?;
    let note = Note { name: NOTE, kind: 0, descriptor: &first };
    let segments: Vec<_> = header
        .runs
        .iter()
        .filter(|run| run.length > 0)
        .map(|run| Segment {
            physical: run.start,
            virtual_address: run.start.0,
            flags: 0,
            offset: run.offset,
            file_size: run.length,
            memory_size: run.length,
        })
        .collect();
    let memory = ElfMemory::new(Arc::clone(&bytes), &segments);
    let mut findings = Vec::new();
    if segments.is_empty() {
        findings.push(format!(
            "this kind of Windows crash dump ({}) does not hold all memory, and what it holds is not read",
            header.kind.map_or_else(|| "of an unknown kind".to_owned(), |kind| kind.to_string())
        ));
    }
    let truncated = memory.truncated();
    if truncated > 0 {
        findings.push(format!("{truncated} bytes of memory are missing at the end of the file"));
    }
    Ok(Dump {
        format: "Windows crash dump".to_owned(),
        identity: Identity {
            class: if header.is_64 { Class::Elf64 } else { Class::Elf32 },
            endian: Endian::Little,
            machine: machine(header.machine),
            flags: 0,
            os_abi: 0,
        },
        notes: note.encode(Endian::Little).unwrap_or_default(),
        memory: Arc::new(memory),
        segments,
        elf: None,
        findings,
    })
}

/// The ELF machine for an `IMAGE_FILE_MACHINE_..`.
fn machine(image: u32) -> u16 {
    match image {
        0x8664 => EM_X86_64,
        0x014c => EM_386,
        0xaa64 => EM_AARCH64,
        0x01c4 => EM_ARM,
        _ => EM_NONE,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use vmcore_formats::addr::PhysAddr;

    use super::*;
    use crate::vmcore::{OpenError, Vmcore};

    /// A dump of one page at 0x1000, all of it sevens.
    fn dump(kind: u8) -> Vec<u8> {
        let mut bytes = vec![0; MAX_HEADER];
        bytes[..8].copy_from_slice(b"PAGEDU64");
        bytes[0x30..0x32].copy_from_slice(&[0x64, 0x86]);
        (bytes[0x34], bytes[0x38], bytes[0x40]) = (2, 0xe2, 9);
        (bytes[0x88], bytes[0x90], bytes[0x98], bytes[0xa0]) = (1, 1, 1, 1);
        bytes[0xf98] = kind;
        bytes.extend([7; 4096]);
        bytes
    }

    fn opened(bytes: &[u8]) -> Result<Vmcore, OpenError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, bytes).unwrap();
        Vmcore::open(file.path())
    }

    #[test]
    fn a_full_dump_has_its_memory_and_its_bugcheck() {
        let core = opened(&dump(1)).unwrap();
        let mut page = [0; 4096];
        core.memory().read(PhysAddr(0x1000), &mut page).unwrap();
        assert_eq!(page, [7; 4096]);
        let header = core.windows_header().unwrap();
        assert_eq!((header.code, header.parameters), (0xe2, [9, 0, 0, 0]));
        assert_eq!(core.identity().machine_name(), Some("x86_64"));
        assert!(core.findings().is_empty(), "{:?}", core.findings());
    }

    #[test]
    fn another_kind_says_that_its_memory_is_not_read() {
        let core = opened(&dump(5)).unwrap();
        assert!(core.memory().ranges().is_empty() && core.findings()[0].contains("not read"));
        assert_eq!(core.windows_header().unwrap().code, 0xe2);
    }

    #[test]
    fn one_that_was_cut_off_says_so() {
        let bytes = dump(1);
        let core = opened(&bytes[..MAX_HEADER + 100]).unwrap();
        assert!(core.findings()[0].contains("missing at the end"), "{:?}", core.findings());
        let error = opened(&bytes[..0x40]).unwrap_err();
        assert!(error.to_string().contains("cut off"), "{error}");
    }
}
