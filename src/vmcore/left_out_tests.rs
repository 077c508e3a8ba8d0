use std::path::Path;

use vmcore_formats::elf::stored_core::StoredCore;
use vmcore_formats::elf::{Class, Identity};
use vmcore_formats::page_class::{PageClass, PageClasses};

use super::*;
use crate::corefile::read::bytes::Bytes;
use crate::vmcore::elf_image::ElfImage;
use crate::vmcore::memory::held_ranges;
use crate::vmcore::{Dump, Vmcore};

const PAGE: u64 = 0x1000;
const RANGES: [(u64, u64); 2] = [(0, 16), (0x100, 8)];

/// Two ranges of pages; each byte is the number of its page.
#[derive(Debug)]
struct Whole(Vec<MemoryRange>);

impl Whole {
    fn new() -> Self {
        let range =
            |(first, count)| MemoryRange { start: PhysAddr(first * PAGE), length: count * PAGE };
        Self(RANGES.map(range).to_vec())
    }
}

impl PhysMemory for Whole {
    fn ranges(&self) -> &[MemoryRange] {
        &self.0
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        for (index, byte) in buffer.iter_mut().enumerate() {
            let at = PhysAddr(at.0 + index as u64);
            if !self.0.iter().any(|range| range.contains(at)) {
                return Err(MemoryError::Absent { at });
            }
            *byte = (at.0 / PAGE) as u8;
        }
        Ok(())
    }

    fn zeros(&self, at: PhysAddr) -> u64 {
        PAGE.saturating_sub(at.0)
    }
}

/// A run of pages of a class, from this one on.
fn run(first: u64, count: u64, class: PageClass) -> ClassRun {
    ClassRun { start: PhysAddr(first * PAGE), length: count * PAGE, class }
}

fn core() -> Vmcore {
    let identity =
        Identity { class: Class::Elf64, endian: Endian::Little, machine: 62, flags: 0, os_abi: 0 };
    let dump = Dump {
        format: "ELF".to_owned(),
        identity,
        notes: Note { name: b"CORE", kind: 1, descriptor: b"registers" }
            .encode(Endian::Little)
            .unwrap(),
        memory: Arc::new(Whole::new()),
        segments: Vec::new(),
        elf: None,
        findings: Vec::new(),
    };
    Vmcore::without_file(Path::new("core"), dump)
}

fn record() -> LeftOut {
    let runs = vec![
        run(2, 3, PageClass::Free),
        run(5, 1, PageClass::User),
        run(15, 0x100, PageClass::Offline),
    ];
    LeftOut { classes: PageClasses::kernel(), runs }
}

fn pages(memory: &dyn PhysMemory) -> Vec<(u64, u64)> {
    held_ranges(memory).map(|range| (range.start.0 / PAGE, range.length / PAGE)).collect()
}

fn read(core: &Vmcore, page: u64, pages: usize) -> Result<Vec<u8>, MemoryError> {
    let mut bytes = vec![0; pages * PAGE as usize];
    core.memory().read(PhysAddr(page * PAGE), &mut bytes).map(|()| bytes)
}

#[test]
fn a_page_that_was_left_out_is_answered_with_its_class() {
    let mut core = core();
    assert!(core.left_out().is_none());
    assert!(core.leave_out(&record()));
    assert_eq!(pages(core.memory()), [(0, 2), (6, 9)]);
    assert!(read(&core, 0, 2).is_ok() && read(&core, 6, 9).is_ok());
    for (page, count, at, class) in
        [(1, 2, 2, "free"), (0, 16, 2, "free"), (5, 1, 5, "user"), (0x107, 1, 0x107, "offline")]
    {
        let error = read(&core, page, count).unwrap_err();
        let text =
            format!("the memory at {} was left out at capture ({class} page)", PhysAddr(at * PAGE));
        assert_eq!(error.to_string(), text);
    }
    // No memory of the guest.
    assert!(matches!(read(&core, 0x20, 1), Err(MemoryError::Absent { .. })));
    assert!(read(&core, 14, 1).is_ok());
}

#[test]
fn zeros_and_pieces_end_where_something_was_left_out() {
    let mut core = core();
    let runs = vec![run(0, 1, PageClass::Free), run(3, 1, PageClass::User)];
    core.leave_out(&LeftOut { runs, ..record() });
    let memory = core.memory();
    assert_eq!(memory.zeros(PhysAddr(0)), 0);
    assert_eq!(memory.piece_end(PhysAddr(0)), PhysAddr(PAGE));
    assert_eq!(memory.piece_end(PhysAddr(PAGE)), PhysAddr(3 * PAGE));
    assert_eq!(memory.piece_end(PhysAddr(3 * PAGE)), PhysAddr(4 * PAGE));
}

#[test]
fn the_built_core_lacks_the_pages_and_has_the_record() {
    let mut core = core();
    core.leave_out(&record());
    let image = ElfImage::build(core.identity(), core.note_bytes(), core.shared_memory()).unwrap();
    let mut bytes = vec![0; usize::try_from(image.length()).unwrap()];
    image.read(0, &mut bytes).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let mut again = Vmcore::open(file.path()).unwrap();
    assert_eq!(again.findings(), [""; 0]);
    assert_eq!(again.left_out(), core.left_out());
    assert_eq!(again.memory().ranges(), Whole::new().ranges());
    assert_eq!(pages(again.memory()), pages(core.memory()));
    let layout = StoredCore::of_memory(
        core.identity(),
        core.note_bytes().len() as u64,
        held_ranges(core.memory()).map(|range| (range.start, range.length)),
    );
    assert_eq!(layout.unwrap().length(), bytes.len() as u64);
    // Again, with another plan: what was recorded stays.
    let user = LeftOut { runs: vec![run(0, 8, PageClass::User)], classes: PageClasses::kernel() };
    again.leave_out(&user);
    assert_eq!(pages(again.memory()), [(8, 7)]);
    let class = |page: u64| again.left_out().unwrap().class_at(PhysAddr(page * PAGE)).unwrap().0;
    assert_eq!((class(1), class(2), class(6)), (PageClass::User, PageClass::Free, PageClass::User));
    assert_eq!(again.notes().count(), 2);
}

#[test]
fn a_damaged_record_is_a_finding() {
    let mut notes = core().note_bytes().to_vec();
    let note = Note { name: NOTE_NAME, kind: NOTE_KIND, descriptor: &[1, 0, 12, 0, 0x80] };
    notes.extend(note.encode(Endian::Little).unwrap());
    let dump = Dump {
        format: "ELF".to_owned(),
        identity: core().identity(),
        notes,
        memory: Arc::new(Whole::new()),
        segments: Vec::new(),
        elf: None,
        findings: Vec::new(),
    };
    let damaged = Vmcore::without_file(Path::new("core"), dump);
    assert!(damaged.left_out().is_none());
    assert_eq!(damaged.findings().len(), 1);
}
