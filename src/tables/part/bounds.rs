//! What a file promises is compared with what it has, before the reader of Parquet takes its word.
//!
//! Other hosts write to a table. The reader makes room for as many elements of a list, and as many
//! bytes of a page, as its head says, whatever follows; so a file of some hundred bytes may ask for
//! more memory than there is, and end the process. The heads are structs in Thrift's compact
//! encoding:
//!
//! ```text
//! struct    (field header, value)*, 0
//! field     delta << 4 | type, and the field's number if delta is 0
//! list      count << 4 | type, and the count if that is 15; values
//! binary    length; bytes
//! number    a varint: seven bits in each byte, the lowest first
//! ```

use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

/// The longest footer, and how many elements one of its lists has. Parts that are written have one
/// group of rows and 50 columns.
const MAX_FOOTER: usize = 4 << 20;
const MAX_LIST: u64 = 1024;
/// How deep structs and lists are nested in a head.
const MAX_DEPTH: usize = 16;
/// The most bytes of a page and of all pages of a column, once they are unpacked. Rows of a part
/// have 64 MiB.
const MAX_PAGE: u64 = 64 << 20;
const MAX_COLUMN: u64 = 128 << 20;
/// What is behind the footer: its length and a magic.
const TAIL: usize = 8;

const DAMAGED: &str = "its head promises more than it has";

/// Whether the footer promises no more than there is.
///
/// # Errors
/// Fails with the reason, if it does.
pub(super) fn footer(file: &[u8]) -> Result<(), String> {
    let end = file.len().checked_sub(TAIL).ok_or("it is too short")?;
    let length = file.get(end..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    let start = end.checked_sub(length).filter(|_| length <= MAX_FOOTER);
    let footer = start.and_then(|start| file.get(start..end)).ok_or(DAMAGED)?;
    Head { rest: footer }.structure(0).map(|_| ()).ok_or_else(|| DAMAGED.to_owned())
}

/// Whether the pages of all columns promise no more than a part has.
///
/// # Errors
/// Fails with the reason, if they do.
pub(super) fn pages(file: &[u8], metadata: &ParquetMetaData) -> Result<(), String> {
    let columns = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
    columns
        .map(|column| {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let start = usize::try_from(start).ok()?;
            let length = usize::try_from(column.compressed_size()).ok()?;
            let mut rest = file.get(start..start.checked_add(length)?)?;
            let mut unpacked = 0_u64;
            while !rest.is_empty() {
                let mut head = Head { rest };
                let [_, of_this, stored] = head.structure(0)?;
                let (of_this, stored) =
                    (u64::try_from(of_this).ok()?, usize::try_from(stored).ok()?);
                unpacked = unpacked.checked_add(of_this)?;
                if of_this > MAX_PAGE || unpacked > MAX_COLUMN {
                    return None;
                }
                rest = head.rest.get(stored..)?;
            }
            Some(())
        })
        .collect::<Option<()>>()
        .ok_or_else(|| DAMAGED.to_owned())
}

/// What is left of a head.
struct Head<'a> {
    rest: &'a [u8],
}

/// The numbers in the first three fields of a struct.
type Numbers = [i64; 3];

impl Head<'_> {
    /// Passes over a struct; `None` if it is not whole.
    fn structure(&mut self, depth: usize) -> Option<Numbers> {
        let (mut numbers, mut field) = (Numbers::default(), 0_i64);
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Some(numbers);
            }
            field = match header >> 4 {
                0 => signed(self.number()?),
                delta => field.checked_add(delta.into())?,
            };
            let number = self.value(header & 0xf, depth.checked_add(1)?)?;
            let place = field.checked_sub(1).and_then(|place| usize::try_from(place).ok());
            if let Some(place) = place.and_then(|place| numbers.get_mut(place)) {
                *place = number;
            }
        }
    }

    /// Passes over a value of a field. Gives it, if it is a number.
    fn value(&mut self, kind: u8, depth: usize) -> Option<i64> {
        if depth > MAX_DEPTH {
            return None;
        }
        match kind {
            1 | 2 => return Some(0),
            3 => {
                self.bytes(1)?;
            }
            4..=6 => return Some(signed(self.number()?)),
            7 => {
                self.bytes(8)?;
            }
            8 => {
                let length = self.number()?;
                self.bytes(length)?;
            }
            9 | 10 => self.list(depth)?,
            12 => {
                self.structure(depth)?;
            }
            13 => {
                self.bytes(16)?;
            }
            // Parquet has no maps.
            _ => return None,
        }
        Some(0)
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.number()?,
            count => count.into(),
        };
        if count > MAX_LIST.min(self.rest.len() as u64) {
            return None;
        }
        for _ in 0..count {
            match header & 0xf {
                // In a list, a truth value is a byte.
                1 | 2 => {
                    self.bytes(1)?;
                }
                kind => {
                    self.value(kind, depth.checked_add(1)?)?;
                }
            }
        }
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    fn bytes(&mut self, length: u64) -> Option<&[u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }
}

/// Numbers are written so that small negative ones are short.
fn signed(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for (number, expected) in [(0, 0), (1, -1), (2, 1), (3, -2), (u64::MAX, i64::MIN)] {
            assert_eq!(signed(number), expected);
        }
        assert_eq!(Head { rest: &[0xac, 2] }.number(), Some(300));
        assert_eq!(Head { rest: &[0xff; 11] }.number(), None);
    }

    #[test]
    fn a_head_that_promises_too_much_is_refused() {
        let read = |bytes: &[u8]| Head { rest: bytes }.structure(0);
        assert_eq!(read(&[0x15, 2, 0x15, 4, 0x15, 6, 0]), Some([1, 2, 3]));
        // A list of two numbers, and lists of 1,000 and 4 billion that are not there.
        assert_eq!(read(&[0x19, 0x25, 2, 4, 0]), Some([0; 3]));
        assert_eq!(read(&[0x19, 0xf5, 0xe8, 7, 0, 0]), None);
        assert_eq!(read(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 15, 0]), None);
        assert_eq!(read(&[0x18, 0xff, 0xff, 0xff, 0xff, 15, 0]), None);
        // Structs in structs without end.
        assert_eq!(read(&[0x1c; 4096]), None);
        assert_eq!(read(&[0x15]), None);
    }
}
