//! The bytes around an address, as far as the core has them.

use vmcore_formats::addr::PhysAddr;

use super::memory::{PhysMemory, range_of};

/// Reads the `length` bytes at `at`, up to `before` bytes before them and `after`
/// bytes behind them, from one range of memory.
///
/// Gives the address of the first byte, and the bytes: those at `at` alone if what
/// is around them cannot be read, and none if they cannot be read either.
pub fn nearby(
    memory: &dyn PhysMemory,
    at: PhysAddr,
    length: u64,
    (before, after): (u64, u64),
) -> (PhysAddr, Vec<u8>) {
    let end = at.0.saturating_add(length);
    let around = range_of(memory.ranges(), at).map_or((at.0, end), |range| {
        let start = at.0.saturating_sub(before).max(range.start.0);
        (start, end.saturating_add(after).min(range.end().0))
    });
    for (start, end) in [around, (at.0, end)] {
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or_default();
        let mut bytes = vec![0; length];
        if memory.read(PhysAddr(start), &mut bytes).is_ok() {
            return (PhysAddr(start), bytes);
        }
    }
    (at, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmcore::{MemoryError, MemoryRange};

    /// 0x100 to 0x140; what is before 0x110 cannot be read. Each byte is its address.
    #[derive(Debug)]
    struct Half([MemoryRange; 1]);

    impl PhysMemory for Half {
        fn ranges(&self) -> &[MemoryRange] {
            &self.0
        }

        fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
            if at.0 < 0x110 || at.0 + buffer.len() as u64 > 0x140 {
                return Err(MemoryError::Excluded { at });
            }
            for (index, byte) in buffer.iter_mut().enumerate() {
                *byte = (at.0 + index as u64) as u8;
            }
            Ok(())
        }
    }

    #[test]
    fn as_much_as_there_is_is_read() {
        let memory = Half([MemoryRange { start: PhysAddr(0x100), length: 0x40 }]);
        let read = |at, around| {
            let (start, bytes) = nearby(&memory, PhysAddr(at), 4, around);
            (start.0, bytes.len())
        };
        assert_eq!(read(0x120, (8, 8)), (0x118, 20));
        assert_eq!(read(0x13c, (0, 64)), (0x13c, 4));
        // What is around it cannot be read; it can.
        assert_eq!(read(0x112, (8, 8)), (0x112, 4));
        assert_eq!(read(0x100, (8, 8)), (0x100, 0));
    }
}
