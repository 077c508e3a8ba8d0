use std::path::Path;

use goblin::elf::Elf;
use vmcore_formats::addr::PhysAddr;
use vmcore_formats::elf::{Class, Identity};
use vmcore_formats::endian::Endian;

use super::*;
use crate::vmcore::Dump;
use crate::vmcore::memory::MemoryError;

/// Each byte is that of its page's number; the page 3 was left out.
#[derive(Debug)]
struct Pages(Vec<MemoryRange>);

const LEFT_OUT: u64 = 3;

impl PhysMemory for Pages {
    fn ranges(&self) -> &[MemoryRange] {
        &self.0
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        for (at, byte) in (at.0..).zip(buffer) {
            if at >> 12 == LEFT_OUT {
                return Err(MemoryError::Excluded { at: PhysAddr(at) });
            }
            *byte = (at >> 12) as u8;
        }
        Ok(())
    }

    fn next_held(&self, from: PhysAddr) -> Option<MemoryRange> {
        let page = (from.0 >> 12..16).find(|page| *page != LEFT_OUT)?;
        let start = PhysAddr(from.0.max(page << 12));
        Some(MemoryRange { start, length: ((page + 1) << 12) - start.0 })
    }
}

fn core() -> Vmcore {
    let all = MemoryRange { start: PhysAddr(0), length: 16 << 12 };
    let dump = Dump {
        format: "ELF".to_owned(),
        identity: Identity {
            class: Class::Elf64,
            endian: Endian::Little,
            machine: 62,
            flags: 0,
            os_abi: 0,
        },
        notes: b"\x0b\0\0\0\x05\0\0\0\0\0\0\0VMCOREINFO\0\0OSREL\0\0\0".to_vec(),
        memory: Arc::new(Pages(vec![all])),
        segments: Vec::new(),
        elf: None,
        findings: Vec::new(),
    };
    Vmcore::without_file(Path::new("core"), dump)
}

fn read(image: &ElfImage, start: u64, end: u64) -> Vec<u8> {
    let mut bytes = vec![0xee; (end - start) as usize];
    image.read(start, &mut bytes).unwrap();
    bytes
}

#[test]
fn memory_that_is_no_elf_file_is_shown_as_one() {
    let core = core();
    let image = ElfImage::new(&core).unwrap();
    let bytes = read(&image, 0, image.length());
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(bytes[elf.program_headers[0].file_range()], *core.note_bytes());
    let segments: Vec<_> = elf.program_headers[1..]
        .iter()
        .map(|header| (header.p_paddr, header.p_filesz, header.p_memsz))
        .collect();
    let behind = (LEFT_OUT + 1) << 12;
    assert_eq!(segments, [(0, 3 << 12, 3 << 12), (behind, 12 << 12, 12 << 12)]);
    for header in &elf.program_headers[1..] {
        for (page, bytes) in (header.p_paddr >> 12..).zip(bytes[header.file_range()].chunks(4096)) {
            assert!(bytes.iter().all(|byte| u64::from(*byte) == page), "page {page}");
        }
    }
}

#[test]
fn any_part_reads_like_the_whole() {
    let image = ElfImage::new(&core()).unwrap();
    let length = image.length();
    let whole = read(&image, 0, length);
    for start in (0..length).step_by(509) {
        for end in [start + 1, start + 700, start + 9000] {
            let end = end.min(length);
            assert_eq!(read(&image, start, end), whole[start as usize..end as usize]);
        }
        assert!(image.unit_end(start) > start);
        let zeros = image.zeros(start) as usize;
        assert!(whole[start as usize..][..zeros].iter().all(|byte| *byte == 0));
    }
    assert!(image.read(length - 1, &mut [0; 2]).is_err());
}

#[test]
fn memory_that_cannot_be_read_after_all_is_an_error() {
    let mut core = core();
    core.set_memory(Arc::new(Lying(vec![MemoryRange { start: PhysAddr(0), length: 0x1000 }])));
    let image = ElfImage::new(&core).unwrap();
    let error = image.read(image.length() - 8, &mut [0; 8]).unwrap_err();
    let DataError::Underlying(source) = error else { panic!("{error}") };
    assert!(matches!(source.downcast_ref(), Some(MemoryError::Absent { .. })), "{source}");
}

/// Says that it holds what it does not.
#[derive(Debug)]
struct Lying(Vec<MemoryRange>);

impl PhysMemory for Lying {
    fn ranges(&self) -> &[MemoryRange] {
        &self.0
    }

    fn read(&self, at: PhysAddr, _buffer: &mut [u8]) -> Result<(), MemoryError> {
        Err(MemoryError::Absent { at })
    }
}
