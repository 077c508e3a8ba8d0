use super::*;
use crate::corefile::read::bytes::DataError;
use crate::vmcore::memory::pieces;

#[derive(Debug)]
struct Counting(u64);

impl Bytes for Counting {
    fn length(&self) -> u64 {
        self.0
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DataError> {
        for (index, byte) in buffer.iter_mut().enumerate() {
            *byte = (offset as usize + index) as u8;
        }
        Ok(())
    }

    fn unit_end(&self, offset: u64) -> u64 {
        (offset + 1).next_multiple_of(16)
    }
}

fn segment(physical: u64, offset: u64, file_size: u64, memory_size: u64) -> Segment {
    let physical = PhysAddr(physical);
    Segment { physical, virtual_address: 0, flags: 0, offset, file_size, memory_size }
}

fn memory(length: u64, segments: &[Segment]) -> ElfMemory {
    ElfMemory::new(Arc::new(Counting(length)), segments)
}

fn read(memory: &ElfMemory, at: u64, length: usize) -> Result<Vec<u8>, MemoryError> {
    let mut buffer = vec![0; length];
    memory.read(PhysAddr(at), &mut buffer).map(|()| buffer)
}

#[test]
fn a_read_crosses_segments_that_touch() {
    let memory = memory(200, &[segment(0x110, 100, 0x10, 0x10), segment(0x100, 40, 0x10, 0x10)]);
    assert_eq!(read(&memory, 0x10e, 4).unwrap(), [54, 55, 100, 101]);
    assert_eq!(memory.ranges().len(), 1);
}

#[test]
fn what_is_missing_is_said_with_its_first_address_and_why() {
    let memory = memory(50, &[segment(0x100, 40, 0x20, 0x40)]);
    assert!(matches!(
        read(&memory, 0x108, 4),
        Err(MemoryError::Truncated { at: PhysAddr(0x10a), offset: 50 })
    ));
    assert!(matches!(read(&memory, 0x120, 1), Err(MemoryError::Excluded { at: PhysAddr(0x120) })));
    assert!(matches!(read(&memory, 0x140, 1), Err(MemoryError::Absent { at: PhysAddr(0x140) })));
    assert_eq!((memory.truncated(), memory.excluded()), (0x20 - 10, 0x20));
}

#[test]
fn of_two_segments_with_one_address_the_first_counts() {
    let memory = memory(
        500,
        &[segment(0x100, 0, 0x20, 0x20), segment(0x110, 200, 0x20, 0x20), segment(0x100, 50, 8, 8)],
    );
    assert_eq!(read(&memory, 0x11f, 2).unwrap(), [0x1f, 216]);
}

#[test]
fn pieces_end_where_units_of_the_file_end() {
    let memory = memory(500, &[segment(0x100, 40, 0x20, 0x28), segment(0x200, 64, 4, 4)]);
    let found: Vec<_> =
        pieces(&memory, memory.ranges()).map(|piece| (piece.start.0, piece.length)).collect();
    assert_eq!(found, [(0x100, 8), (0x108, 16), (0x118, 8), (0x120, 8), (0x200, 4)]);
}

#[test]
fn a_segment_at_the_end_of_the_address_space_ends_there() {
    let memory = memory(500, &[segment(u64::MAX - 3, 0, 3, 3)]);
    assert_eq!(read(&memory, u64::MAX - 3, 3).unwrap(), [0, 1, 2]);
    assert!(read(&memory, u64::MAX - 3, 4).is_err());
}
