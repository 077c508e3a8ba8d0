//! Memory for tests, written word by word.

use std::ops::Range;

use vmcore_formats::addr::PhysAddr;

use crate::vmcore::memory::{MemoryRange, range_of};
use crate::vmcore::{MemoryError, PhysMemory};

/// A range of memory that tests fill.
#[derive(Clone, Debug)]
pub(super) struct TestMemory {
    bytes: Vec<u8>,
    ranges: Vec<MemoryRange>,
}

impl TestMemory {
    /// Zeros at these physical addresses.
    pub(super) fn new(range: Range<u64>) -> Self {
        let length = range.end - range.start;
        Self {
            bytes: vec![0; length as usize],
            ranges: vec![MemoryRange { start: PhysAddr(range.start), length }],
        }
    }

    /// With these bytes at a physical address.
    pub(super) fn bytes(mut self, at: u64, bytes: &[u8]) -> Self {
        self.write(at, bytes);
        self
    }

    /// With a little-endian word at a physical address.
    pub(super) fn word(self, at: u64, value: u64) -> Self {
        self.bytes(at, &value.to_le_bytes())
    }

    /// Writes bytes.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        let start = (at - self.ranges[0].start.0) as usize;
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }
}

impl PhysMemory for TestMemory {
    fn ranges(&self) -> &[MemoryRange] {
        &self.ranges
    }

    fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let range = range_of(&self.ranges, at).ok_or(MemoryError::Absent { at })?;
        let start = (at.0 - range.start.0) as usize;
        let found = self.bytes.get(start..start + buffer.len());
        buffer.copy_from_slice(found.ok_or(MemoryError::Absent { at: range.end() })?);
        Ok(())
    }
}
