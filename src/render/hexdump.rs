//! Bytes in hexadecimal, sixteen on a line.
//!
//! ```text
//! 0x0000000000100000  7f 45 4c 46 02 01 01 00  00 00 00 00 00 00 00 00  |.ELF............|
//! *
//! 0x0000000000100040  00010102464c457f 0000000000000000                 |.ELF............|
//! ```
//!
//! Repeated lines are a `*`, as in `hexdump`; after a last `*`, the end address follows.

use std::io::{self, Write};

use vmcore_formats::endian::Endian;

/// How many bytes are on a line.
const LINE: usize = 16;

/// How bytes are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Each by itself.
    Byte,
    /// Four together, as a number in this byte order.
    Word4(Endian),
    /// Eight together, as a number in this byte order.
    Word8(Endian),
}

impl Unit {
    fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Word4(_) => 4,
            Self::Word8(_) => 8,
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Byte => 48,
            Self::Word4(_) => 35,
            Self::Word8(_) => 33,
        }
    }

    fn is_little(self) -> bool {
        matches!(self, Self::Word4(Endian::Little) | Self::Word8(Endian::Little))
    }
}

/// Prints bytes that come piece by piece.
#[derive(Debug)]
pub struct HexDump {
    at: u64,
    unit: Unit,
    pending: Vec<u8>,
    last: Option<[u8; LINE]>,
    repeats: bool,
}

impl HexDump {
    /// A dump whose first byte is at this address.
    pub fn new(at: u64, unit: Unit) -> Self {
        Self { at, unit, pending: Vec::with_capacity(LINE), last: None, repeats: false }
    }

    /// Prints the lines that these bytes fill; keeps the rest.
    pub fn add(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = bytes;
        if !self.pending.is_empty() {
            let wanted = LINE.saturating_sub(self.pending.len()).min(bytes.len());
            let (now, later) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
            self.pending.extend(now);
            bytes = later;
            let Ok(line) = <[u8; LINE]>::try_from(&*self.pending) else { return Ok(()) };
            self.pending.clear();
            self.full_line(&line, out)?;
        }
        let (lines, rest) = bytes.as_chunks::<LINE>();
        for line in lines {
            self.full_line(line, out)?;
        }
        self.pending.extend(rest);
        Ok(())
    }

    /// Prints the rest.
    pub fn end(mut self, out: &mut dyn Write) -> io::Result<()> {
        let rest = std::mem::take(&mut self.pending);
        if !rest.is_empty() {
            self.line(&rest, out)
        } else if self.repeats {
            writeln!(out, "{:#018x}", self.at)
        } else {
            Ok(())
        }
    }

    fn full_line(&mut self, line: &[u8; LINE], out: &mut dyn Write) -> io::Result<()> {
        if self.last.as_ref() == Some(line) {
            if !self.repeats {
                writeln!(out, "*")?;
                self.repeats = true;
            }
            self.at = self.at.wrapping_add(LINE as u64);
            return Ok(());
        }
        self.repeats = false;
        self.last = Some(*line);
        self.line(line, out)
    }

    fn line(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let mut hex = Vec::with_capacity(self.unit.width());
        let size = self.unit.bytes();
        for (index, unit) in bytes.chunks(size).enumerate() {
            if index > 0 {
                hex.push(b' ');
            }
            if size == 1 && index == LINE / 2 {
                hex.push(b' ');
            }
            // A number that is cut short has no value: its bytes are printed one by one.
            if unit.len() == size && self.unit.is_little() {
                unit.iter().rev().for_each(|byte| push_hex(*byte, &mut hex));
            } else {
                unit.iter().for_each(|byte| push_hex(*byte, &mut hex));
            }
            if unit.len() < size {
                hex.extend(b"..");
            }
        }
        hex.resize(self.unit.width().max(hex.len()), b' ');
        write!(out, "{:#018x}  ", self.at)?;
        out.write_all(&hex)?;
        out.write_all(b"  |")?;
        let text: Vec<u8> = bytes.iter().map(|byte| visible(*byte)).collect();
        out.write_all(&text)?;
        out.write_all(b"|\n")?;
        self.at = self.at.wrapping_add(bytes.len() as u64);
        Ok(())
    }
}

/// Appends a byte in hexadecimal.
pub fn push_hex(byte: u8, out: &mut Vec<u8>) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
    out.extend([digit(byte >> 4), digit(byte & 15)]);
}

fn visible(byte: u8) -> u8 {
    if byte == b' ' || byte.is_ascii_graphic() { byte } else { b'.' }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(at: u64, unit: Unit, pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        let mut dump = HexDump::new(at, unit);
        for piece in pieces {
            dump.add(piece, &mut out).unwrap();
        }
        dump.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pieces_of_any_length_give_the_same_lines() {
        let bytes: Vec<u8> = (0x30..0x55).collect();
        let expected = "\
0x0000000000001004  30 31 32 33 34 35 36 37  38 39 3a 3b 3c 3d 3e 3f  |0123456789:;<=>?|
0x0000000000001014  40 41 42 43 44 45 46 47  48 49 4a 4b 4c 4d 4e 4f  |@ABCDEFGHIJKLMNO|
0x0000000000001024  50 51 52 53 54                                    |PQRST|
";
        assert_eq!(dump(0x1004, Unit::Byte, &[&bytes]), expected);
        for length in 1..20 {
            let pieces: Vec<_> = bytes.chunks(length).collect();
            assert_eq!(dump(0x1004, Unit::Byte, &pieces), expected, "pieces of {length}");
        }
    }

    #[test]
    fn lines_like_the_one_before_are_a_star() {
        let text = dump(0, Unit::Byte, &[&[0; 64]]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(&lines[1..], ["*", "0x0000000000000040"]);
        let text = dump(0, Unit::Byte, &[&[0; 48], &[1; 16]]);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().last().unwrap().starts_with("0x0000000000000030  01 01"));
    }

    #[test]
    fn words_are_in_the_byte_order_that_is_asked_for() {
        let bytes: Vec<u8> = (1..=18).collect();
        let little = dump(0, Unit::Word8(Endian::Little), &[&bytes]);
        assert!(little.starts_with("0x0000000000000000  0807060504030201 100f0e0d0c0b0a09  |"));
        assert!(little.lines().nth(1).unwrap().starts_with("0x0000000000000010  1112..  "));
        let big = dump(0, Unit::Word4(Endian::Big), &[&bytes]);
        assert!(big.starts_with("0x0000000000000000  01020304 05060708 090a0b0c 0d0e0f10  |"));
    }
}
