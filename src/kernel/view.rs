//! Memory by physical addresses, or by the kernel's own.
//!
//! Needs: memory or an address space, and a range. Gives: its bytes piece by
//! piece, never more than a piece at once, up to the first byte that is missing.

use std::io;
use std::sync::Arc;

use vmcore_formats::addr::{PhysAddr, VirtAddr};

use super::page_tables::AddressSpace;
use crate::vmcore::{MemoryError, PhysMemory};

/// The longest piece that is read at once, in bytes.
const MAX_PIECE: u64 = 4 << 20;

/// What addresses mean.
#[derive(Debug)]
pub enum View {
    /// Places in memory.
    Physical(Arc<dyn PhysMemory>),
    /// Addresses of the kernel's code.
    Virtual(AddressSpace),
}

/// Where reading came to an end too early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first address that cannot be read.
    pub at: u64,
    /// Why.
    pub problem: String,
}

impl View {
    /// Hands the bytes from `start` on to `take`, in order.
    ///
    /// Returns `Ok(None)` if all `length` of them were there, and where and why it
    /// ended if not. What was there before has then been handed on.
    pub fn read_through(
        &self,
        start: u64,
        length: u64,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<Option<Gap>> {
        let mut buffer = Vec::new();
        let mut done = 0_u64;
        while done < length {
            let Some(at) = start.checked_add(done) else {
                let problem = "addresses end before".to_owned();
                return Ok(Some(Gap { at: u64::MAX, problem }));
            };
            let left = length.saturating_sub(done).min(MAX_PIECE);
            let (place, left) = match self.piece(at, left) {
                Ok(piece) => piece,
                Err(gap) => return Ok(Some(gap)),
            };
            if let Err(error) = self.fill(place, left, &mut buffer) {
                // What comes before the first missing byte can be read by itself.
                let there = missing(&error).0.saturating_sub(place.0).min(left);
                let problem = self.problem(at.saturating_add(there), &error);
                if there > 0 && self.fill(place, there, &mut buffer).is_ok() {
                    take(&buffer)?;
                    return Ok(Some(Gap { at: at.saturating_add(there), problem }));
                }
                return Ok(Some(Gap { at, problem }));
            }
            take(&buffer)?;
            done = done.saturating_add(left);
        }
        Ok(None)
    }

    /// Where the piece that begins at `at` is in memory, and how long it is.
    fn piece(&self, at: u64, left: u64) -> Result<(PhysAddr, u64), Gap> {
        let (place, left) = match self {
            Self::Physical(_) => (PhysAddr(at), left),
            Self::Virtual(space) => {
                let mapping = space
                    .mapping(VirtAddr(at))
                    .map_err(|error| Gap { at, problem: error.to_string() })?;
                (mapping.translate(VirtAddr(at)), left.min(mapping.left(VirtAddr(at))))
            }
        };
        let end = self.memory().piece_end(place);
        Ok((place, left.min(end.0.saturating_sub(place.0)).max(1)))
    }

    fn memory(&self) -> &dyn PhysMemory {
        match self {
            Self::Physical(memory) => &**memory,
            Self::Virtual(space) => &**space.memory(),
        }
    }

    fn fill(&self, place: PhysAddr, length: u64, buffer: &mut Vec<u8>) -> Result<(), MemoryError> {
        buffer.resize(usize::try_from(length).unwrap_or_default(), 0);
        self.memory().read(place, buffer)
    }

    fn problem(&self, at: u64, error: &MemoryError) -> String {
        match self {
            Self::Physical(_) => error.to_string(),
            Self::Virtual(_) => format!("{} is not there: {error}", VirtAddr(at)),
        }
    }
}

/// The first byte that an error is about.
fn missing(error: &MemoryError) -> PhysAddr {
    match error {
        MemoryError::Absent { at }
        | MemoryError::Excluded { at }
        | MemoryError::LeftOut { at, .. }
        | MemoryError::Truncated { at, .. }
        | MemoryError::Damaged { at, .. } => *at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmcore::MemoryRange;

    /// Two ranges apart. Each byte is the low half of its address.
    #[derive(Debug)]
    struct Two([MemoryRange; 2]);

    impl PhysMemory for Two {
        fn ranges(&self) -> &[MemoryRange] {
            &self.0
        }

        fn read(&self, at: PhysAddr, buffer: &mut [u8]) -> Result<(), MemoryError> {
            for (index, byte) in buffer.iter_mut().enumerate() {
                let at = PhysAddr(at.0 + index as u64);
                if !self.0.iter().any(|range| range.contains(at)) {
                    return Err(MemoryError::Absent { at });
                }
                *byte = at.0 as u8;
            }
            Ok(())
        }

        fn piece_end(&self, at: PhysAddr) -> PhysAddr {
            PhysAddr(at.0.saturating_add(1).checked_next_multiple_of(16).unwrap_or(u64::MAX))
        }
    }

    fn read(start: u64, length: u64) -> (Vec<u8>, Option<Gap>) {
        let range = |start| MemoryRange { start: PhysAddr(start), length: 0x28 };
        let view = View::Physical(Arc::new(Two([range(0x100), range(0x200)])));
        let mut bytes = Vec::new();
        let gap = view.read_through(start, length, |piece| {
            assert!(piece.len() <= 16);
            bytes.extend(piece);
            Ok(())
        });
        (bytes, gap.unwrap())
    }

    #[test]
    fn all_bytes_come_in_order() {
        let (bytes, gap) = read(0x108, 0x20);
        assert_eq!((bytes, gap), ((8..0x28).collect(), None));
    }

    #[test]
    fn what_is_before_the_first_missing_byte_is_handed_on() {
        let (bytes, gap) = read(0x11c, 0x100);
        assert_eq!(bytes, (0x1c..0x28).collect::<Vec<_>>());
        let gap = gap.unwrap();
        assert_eq!((gap.at, &*gap.problem), (0x128, "no memory at 0x128 in the core"));
        assert_eq!(read(0x180, 4).1.unwrap().at, 0x180);
    }

    #[test]
    fn nothing_is_read_behind_the_last_address() {
        let (bytes, gap) = read(u64::MAX, 4);
        assert_eq!((bytes.len(), gap.unwrap().at), (0, u64::MAX));
    }
}
