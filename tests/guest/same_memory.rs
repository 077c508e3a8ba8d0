//! Compares a stored core with what QEMU itself wrote of the same held guest.
//!
//! Reads both by goblin, not by our own parser: a mistake there must not hide
//! the same mistake in the core.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use goblin::elf::program_header::{PT_LOAD, PT_NOTE};
use goblin::elf::{Elf, ProgramHeader};

use crate::machine::Machine;

const PIECE: u64 = 8 << 20;
/// Enough for the headers and notes of any core here.
const HEAD: u64 = 1 << 20;

/// An unpacked ELF core.
pub(crate) struct Core {
    file: File,
    headers: Vec<ProgramHeader>,
    header_offset: u64,
}

impl Core {
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let length = file.metadata().unwrap().len();
        let mut head = vec![0; usize::try_from(length.min(HEAD)).unwrap()];
        file.read_exact_at(&mut head, 0).unwrap();
        let header = Elf::parse_header(&head).expect("an ELF header");
        let context =
            goblin::container::Ctx::new(header.container().unwrap(), header.endianness().unwrap());
        // QEMU 7.2 and newer have the program headers behind the section headers.
        let headers = ProgramHeader::parse(
            &head,
            usize::try_from(header.e_phoff).unwrap(),
            usize::from(header.e_phnum),
            context,
        )
        .expect("program headers");
        Self { file, headers, header_offset: header.e_phoff }
    }

    /// Where the program headers are.
    pub(crate) fn header_offset(&self) -> u64 {
        self.header_offset
    }

    /// Memory segments by physical address.
    pub(crate) fn segments(&self) -> BTreeMap<u64, &ProgramHeader> {
        let loads = self.headers.iter().filter(|header| header.p_type == PT_LOAD);
        loads.map(|header| (header.p_paddr, header)).collect()
    }

    /// Bytes of guest memory.
    pub(crate) fn physical(&self, at: u64, length: u64) -> Vec<u8> {
        let segments = self.segments();
        let (start, segment) = segments.range(..=at).next_back().expect("a segment");
        self.bytes(segment.p_offset + (at - start), length)
    }

    pub(crate) fn notes(&self) -> Vec<u8> {
        let header = self.headers.iter().find(|header| header.p_type == PT_NOTE).expect("notes");
        self.bytes(header.p_offset, header.p_filesz)
    }

    fn bytes(&self, at: u64, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.file.read_exact_at(&mut bytes, at).expect("bytes of the core");
        bytes
    }
}

/// Unpacks a core by plain `zstd -d`.
pub(crate) fn unpack(machine: &Machine, core: &Path) -> PathBuf {
    unpack_to(machine.space("unpacked.elf"), core)
}

pub(crate) fn unpack_to(unpacked: PathBuf, core: &Path) -> PathBuf {
    let status = Command::new("zstd")
        .args(["-d", "-q", "-f", "--sparse"])
        .arg(core)
        .arg("-o")
        .arg(&unpacked)
        .status()
        .expect("zstd starts");
    assert!(status.success(), "zstd -d");
    unpacked
}

/// Checks that a stored core holds every byte of memory and of the notes that
/// QEMU's own file has, and nothing else. Gives the unpacked core.
#[track_caller]
pub(crate) fn assert_same(machine: &Machine, stored: &Path, by_qemu: &Path) -> PathBuf {
    assert_same_at(&machine.space("unpacked.elf"), stored, by_qemu)
}

/// The same, of a core that is unpacked to a path.
#[track_caller]
pub(crate) fn assert_same_at(unpacked: &Path, stored: &Path, by_qemu: &Path) -> PathBuf {
    let unpacked = unpack_to(unpacked.to_owned(), stored);
    let ours = Core::open(&unpacked);
    let theirs = Core::open(by_qemu);
    assert_eq!(ours.header_offset(), 64, "makedumpfile looks for program headers there");
    assert!(ours.notes() == theirs.notes(), "the notes differ");
    let (our_segments, their_segments) = (ours.segments(), theirs.segments());
    assert!(!our_segments.is_empty());
    assert_eq!(our_segments.keys().collect::<Vec<_>>(), their_segments.keys().collect::<Vec<_>>());
    for (address, our) in our_segments {
        let their = their_segments[&address];
        assert_eq!(
            (our.p_filesz, our.p_memsz, our.p_vaddr, our.p_flags),
            (their.p_filesz, their.p_memsz, their.p_vaddr, their.p_flags),
            "segment {address:#x}"
        );
        assert_eq!(our.p_offset % 4096, 0, "segment {address:#x} is not page-aligned");
        let mut done = 0;
        while done < our.p_filesz {
            let length = PIECE.min(our.p_filesz - done);
            let same = ours.bytes(our.p_offset + done, length)
                == theirs.bytes(their.p_offset + done, length);
            assert!(same, "memory differs within {length:#x} bytes at {:#x}", address + done);
            done += length;
        }
    }
    unpacked
}
