//! Edits of memory, as an input lists them.
//!
//! ```text
//! 0   operation   u8
//! 1   region      u8    what the words were read for; 0xff: the notes
//! 2   count       u16   of words or pages, for operations on several
//! 4   word        u32   which word of the region
//! 8   operand     u64   a value, or which word is copied
//! ```
//!
//! Sixteen bytes each, so that a fuzzer that moves or repeats them makes other edits.

use std::collections::{BTreeMap, BTreeSet};

use super::regions::{Region, Regions};
use super::sample::Sample;
use crate::input::Input;

/// The size of a page, in bytes.
pub(super) const PAGE: u64 = 4096;
/// The most edits of an input, and words or pages of one edit.
const MAX_EDITS: usize = 64;
const MAX_COUNT: u16 = 4096;
/// The number of the notes, which are no region.
const NOTES: u8 = 0xff;

/// Values that are often wrong.
const VALUES: [u64; 16] = [
    0,
    1,
    u64::MAX,
    1 << 63,
    i64::MAX.cast_unsigned(),
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0xffff,
    0xffff_8000_0000_0000,
    0xffff_ffff_8000_0000,
    0xffff_ffff_ffff_f000,
    0x7fff_ffff_f000,
    0xdead_0000_0000_0100,
    0x4141_4141_4141_4141,
];

/// What is overwritten, and what cannot be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits {
    /// Bytes by their address.
    bytes: BTreeMap<u64, u8>,
    /// Pages by their number.
    missing: BTreeSet<u64>,
    notes: Option<Vec<u8>>,
}

impl Edits {
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// The edits that an input lists.
    pub(super) fn decode(input: &mut Input<'_>, regions: &Regions, sample: &Sample) -> Self {
        let mut edits = Self::default();
        for _ in 0..MAX_EDITS {
            if input.is_empty() {
                break;
            }
            let (operation, region, count) = (input.u8(), input.u8(), input.u16() % MAX_COUNT);
            let edit = Edit { operation, count, pick: input.u32(), operand: input.u64() };
            if region == NOTES {
                edits.edit_notes(edit, sample);
            } else if let Some(region) = regions.get(region) {
                edits.edit(edit, region, sample);
            }
        }
        edits
    }

    /// The notes, if they are edited.
    pub(super) fn notes(&self) -> Option<&[u8]> {
        self.notes.as_deref()
    }

    /// Overwrites bytes that were read.
    pub(super) fn apply(&self, at: u64, buffer: &mut [u8]) {
        let end = at.saturating_add(buffer.len() as u64);
        for (place, byte) in self.bytes.range(at..end) {
            let index = usize::try_from(place.saturating_sub(at)).unwrap_or(usize::MAX);
            if let Some(to) = buffer.get_mut(index) {
                *to = *byte;
            }
        }
    }

    /// The first byte that cannot be read.
    pub(super) fn missing(&self, at: u64, length: usize) -> Option<u64> {
        let end = at.saturating_add(length as u64);
        let page = self.missing.range(at / PAGE..end.div_ceil(PAGE)).next()?;
        Some(page.saturating_mul(PAGE).max(at))
    }

    fn edit(&mut self, edit: Edit, region: &Region, sample: &Sample) {
        let Edit { operation, count, pick, operand } = edit;
        let Some(at) = region.word(pick) else { return };
        let other = u32::try_from(operand & u64::from(u32::MAX)).unwrap_or_default();
        let [low, ..] = operand.to_le_bytes();
        let byte = at.saturating_add(operand >> 61);
        let word = sample.word(at);
        match operation % 14 {
            0 => self.write(at, &operand.to_le_bytes()),
            1 => self.write(at.saturating_add(u64::from(count & 4)), &other.to_le_bytes()),
            2 => self.write(at.saturating_add(u64::from(count & 6)), &count.to_le_bytes()),
            3 => self.write(byte, &[low]),
            4 => self.write(at, &(word ^ 1 << (operand & 63)).to_le_bytes()),
            5 => self.write(at, &word.wrapping_add_signed(i64::from(count) - 2048).to_le_bytes()),
            6 => self.write(at, &value(operand).to_le_bytes()),
            7 => self.write(at, &sample.word(region.word(other).unwrap_or(at)).to_le_bytes()),
            8 => self.write(at, &vec![low; usize::from(count)]),
            9 => self.write(at, &noise(operand, usize::from(count))),
            10 => {
                // Many pointers lead to one thing.
                let target = sample.word(region.word(other).unwrap_or(at));
                for at in pointers(region, pick, sample).take(count.into()) {
                    self.write(at, &target.to_le_bytes());
                }
            }
            11 => {
                // Each pointer leads to the next pointer's thing.
                let places: Vec<u64> = pointers(region, pick, sample).take(count.into()).collect();
                for (at, next) in places.iter().zip(places.iter().skip(1)) {
                    self.write(*at, &sample.word(*next).to_le_bytes());
                }
            }
            12 => {
                let first = at / PAGE;
                self.missing.extend(first..first.saturating_add(u64::from(count & 0xff) + 1));
            }
            _ => {
                // A unit that cannot be read, as a damaged chunk is.
                let first = (at / PAGE) & !0xff;
                self.missing.extend(first..first.saturating_add(0x100));
            }
        }
    }

    fn edit_notes(&mut self, edit: Edit, sample: &Sample) {
        let notes = self.notes.get_or_insert_with(|| sample.notes().to_vec());
        let Some(at) =
            usize::try_from(edit.pick).ok().and_then(|pick| pick.checked_rem(notes.len()))
        else {
            return;
        };
        match edit.operation % 4 {
            0 => notes.truncate(at),
            1 => overwrite(notes, at, &edit.operand.to_le_bytes()),
            2 => overwrite(notes, at, &value(edit.operand).to_le_bytes()),
            _ => overwrite(notes, at, &noise(edit.operand, usize::from(edit.count & 0xff))),
        }
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        self.bytes.extend((at..).zip(bytes.iter().copied()));
    }
}

/// One edit.
#[derive(Clone, Copy)]
struct Edit {
    operation: u8,
    count: u16,
    pick: u32,
    operand: u64,
}

/// The places of a region's words that look like pointers of the kernel.
fn pointers<'a>(
    region: &'a Region,
    pick: u32,
    sample: &'a Sample,
) -> impl Iterator<Item = u64> + 'a {
    region.from(pick).filter(|at| sample.word(*at) >> 48 == 0xffff)
}

fn value(operand: u64) -> u64 {
    let index = usize::try_from(operand & 15).unwrap_or_default();
    VALUES.get(index).copied().unwrap_or_default()
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(with) {
        *to = *from;
    }
}

/// Bytes without a pattern.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let [.., high] = state.to_le_bytes();
        high
    };
    (0..length).map(|_| byte()).collect()
}
