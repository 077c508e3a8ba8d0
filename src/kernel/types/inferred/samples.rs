//! The bytes of a structure whose layout is not known yet.

use std::ops::Range;

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::endian::Endian;

use super::layouts::Doubt;
use crate::kernel::AddressSpace;
use crate::vmcore::pages::read_before_gap;

/// Kernel addresses have this bit.
const KERNEL_HALF: u64 = 1 << 63;

/// The bytes from where a structure begins on. It may be shorter, and what follows something else.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: VirtAddr,
    bytes: Vec<u8>,
    endian: Endian,
}

impl Sample {
    /// Up to `length` bytes: as many as are there.
    pub(super) fn read(space: &AddressSpace, at: VirtAddr, length: u64) -> Self {
        let length = usize::try_from(length).unwrap_or_default();
        let read = |at, buffer: &mut [u8]| space.read(VirtAddr(at), buffer);
        let bytes = read_before_gap(at.0, length, read);
        Self { at, bytes, endian: space.endian() }
    }

    /// How many bytes were there.
    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The address of an offset.
    pub(super) fn place(&self, offset: u64) -> VirtAddr {
        self.at.wrapping_add(offset)
    }

    /// Eight bytes.
    pub(super) fn word(&self, offset: u64) -> Option<u64> {
        self.endian.u64_at(self.rest(offset)?, 0)
    }

    /// Eight bytes that are an address of the kernel's.
    pub(super) fn pointer(&self, offset: u64) -> Option<VirtAddr> {
        self.word(offset).filter(|word| word & KERNEL_HALF != 0).map(VirtAddr)
    }

    /// Four bytes.
    pub(super) fn half(&self, offset: u64) -> Option<u32> {
        self.endian.u32_at(self.rest(offset)?, 0)
    }

    /// One byte.
    pub(super) fn byte(&self, offset: u64) -> Option<u8> {
        self.rest(offset)?.first().copied()
    }

    /// A text that ends with a NUL before `most` bytes. Empty ones are none.
    pub(super) fn text(&self, offset: u64, most: usize) -> Option<&[u8]> {
        let rest = self.rest(offset)?;
        let rest = rest.get(..most).unwrap_or(rest);
        let end = rest.iter().position(|byte| *byte == 0).filter(|end| *end > 0)?;
        rest.get(..end)
    }

    fn rest(&self, offset: u64) -> Option<&[u8]> {
        self.bytes.get(usize::try_from(offset).ok()?..)
    }
}

/// The offsets in a range at which something is so.
pub(super) fn offsets(
    range: Range<u64>,
    step: usize,
    mut is_so: impl FnMut(u64) -> bool,
) -> Vec<u64> {
    range.step_by(step).filter(|offset| is_so(*offset)).collect()
}

/// The one that there is.
pub(super) fn only(found: &[u64]) -> Result<u64, Doubt> {
    match found {
        [one] => Ok(*one),
        [] => Err(Doubt::Nothing),
        several => Err(Doubt::Several(several.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_an_answer_and_two_are_none() {
        assert_eq!(only(&[8]), Ok(8));
        assert_eq!(only(&[]), Err(Doubt::Nothing));
        assert_eq!(only(&[8, 16]), Err(Doubt::Several(2)));
    }

    #[test]
    fn nothing_is_read_behind_what_is_there() {
        let sample = Sample {
            at: VirtAddr(1 << 63),
            bytes: b"swapper\0\x01\0\0\0\0\0\0\x80ab".to_vec(),
            endian: Endian::Little,
        };
        assert_eq!(sample.text(0, 16), Some(&b"swapper"[..]));
        assert_eq!(
            (sample.text(0, 7), sample.text(7, 16), sample.text(16, 16)),
            (None, None, None)
        );
        assert_eq!(sample.pointer(8), Some(VirtAddr((1 << 63) + 1)));
        assert_eq!(
            (sample.word(11), sample.half(14), sample.half(15)),
            (None, Some(0x6261_8000), None)
        );
        assert_eq!(sample.word(u64::MAX), None);
    }
}
