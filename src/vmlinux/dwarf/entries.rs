//! `.debug_info`, entry by entry.
//!
//! References to types are written as their numbers in BTF are met, and filled in at the end,
//! when it is known where each type's entry is.

use super::abbreviations::{Shape, leb128, signed_leb128};

/// The most bytes of entries. Those of a kernel take 10 to 20 MB.
pub(super) const MAX_LENGTH: usize = 96 << 20;

/// A type, by its number in BTF or by where its entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::vmlinux) enum TypeRef {
    /// Its number.
    Id(u32),
    /// The offset of its entry.
    At(u32),
}

/// Entries that are being written.
#[derive(Debug, Default)]
pub(super) struct Entries {
    bytes: Vec<u8>,
    /// Where the entry of each type is, by its number. 0 where it has none.
    starts: Vec<u32>,
    /// Where references are, and to which type.
    references: Vec<(u32, u32)>,
    /// Where addresses are, and which.
    addresses: Vec<(u32, u64)>,
}

impl Entries {
    /// With room for types up to this number.
    pub(super) fn new(next_id: u32) -> Self {
        let count = usize::try_from(next_id).unwrap_or_default();
        Self { starts: vec![0; count], ..Self::default() }
    }

    /// Where the next entry begins.
    pub(super) fn offset(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    /// Whether nothing more should be written.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() > MAX_LENGTH
    }

    /// Begins the entry of a type.
    pub(super) fn begin_type(&mut self, id: u32, shape: Shape) {
        let offset = self.begin(shape);
        self.set_type(id, offset);
    }

    /// Keeps where the entry of a type is.
    pub(super) fn set_type(&mut self, id: u32, offset: u32) {
        let start = usize::try_from(id).ok().and_then(|id| self.starts.get_mut(id));
        if let Some(start) = start {
            *start = offset;
        }
    }

    /// Begins an entry, and gives where it is.
    pub(super) fn begin(&mut self, shape: Shape) -> u32 {
        let offset = self.offset();
        self.bytes.push(shape.number());
        offset
    }

    /// Ends the children of an entry.
    pub(super) fn end_children(&mut self) {
        self.bytes.push(0);
    }

    pub(super) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn number(&mut self, value: u64) {
        leb128(&mut self.bytes, value);
    }

    pub(super) fn signed(&mut self, value: i64) {
        signed_leb128(&mut self.bytes, value);
    }

    pub(super) fn word(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    pub(super) fn address(&mut self, value: u64) {
        self.addresses.push((self.offset(), value));
        self.raw(&value.to_le_bytes());
    }

    /// A text in the entry itself.
    pub(super) fn text(&mut self, text: &[u8]) {
        self.bytes.extend(text.iter().filter(|byte| **byte != 0));
        self.bytes.push(0);
    }

    pub(super) fn reference(&mut self, to: TypeRef) {
        match to {
            TypeRef::At(offset) => self.word(offset),
            TypeRef::Id(id) => {
                self.references.push((self.offset(), id));
                self.word(0);
            }
        }
    }

    /// The section, with all references filled in: those to what has no entry lead to `otherwise`.
    /// With it, where its addresses are, and which.
    pub(super) fn finish(mut self, otherwise: u32) -> (Vec<u8>, Vec<(u32, u64)>) {
        for (at, id) in &self.references {
            let start = usize::try_from(*id).ok().and_then(|id| self.starts.get(id)).copied();
            let start = start.filter(|start| *start != 0).unwrap_or(otherwise);
            let place = usize::try_from(*at).ok().and_then(|at| self.bytes.get_mut(at..));
            if let Some(place) = place.and_then(|bytes| bytes.first_chunk_mut::<4>()) {
                *place = start.to_le_bytes();
            }
        }
        let length = self.offset().saturating_sub(4);
        if let Some(first) = self.bytes.first_chunk_mut::<4>() {
            *first = length.to_le_bytes();
        }
        (self.bytes, self.addresses)
    }
}
