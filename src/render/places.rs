//! Matches of a search, one on a line, or with the memory around them.

use std::io::{self, Write};

use serde_json::json;
use vmcore_formats::addr::PhysAddr;

use super::hexdump::{HexDump, Unit, push_hex};
use super::json;
use crate::printable::shown;

/// Prints an address and the string there.
pub fn text(at: PhysAddr, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    writeln!(out, "{:#018x}  {}", at.0, shown(&String::from_utf8_lossy(text)))
}

/// Prints an address and the bytes there.
pub fn hex(at: PhysAddr, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let mut dump = HexDump::new(at.0, Unit::Byte);
    dump.add(bytes, out)?;
    dump.end(out)
}

/// Prints an address, and the bytes around it from `start` on.
pub fn around(
    at: PhysAddr,
    (start, bytes): (PhysAddr, &[u8]),
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{:#018x}:", at.0)?;
    hex(start, bytes, out)?;
    writeln!(out)
}

/// Prints an address and its bytes as JSON on one line.
pub fn line(at: PhysAddr, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let mut hex = Vec::with_capacity(bytes.len().saturating_mul(2));
    bytes.iter().for_each(|byte| push_hex(*byte, &mut hex));
    let hex = String::from_utf8_lossy(&hex);
    json::line(&json!({ "address": format!("{:#x}", at.0), "bytes": hex }), out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(print: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_ends_with_the_string_and_has_no_control_characters() {
        let found = printed(|out| text(PhysAddr(0x1000), b"Linux\x1b[2J\xff\0other", out));
        assert_eq!(found, "0x0000000000001000  Linux\u{fffd}[2J\u{fffd}\n");
    }

    #[test]
    fn a_match_as_json_has_its_address_and_bytes() {
        let found = printed(|out| line(PhysAddr(0x1000), &[0xde, 0xad], out));
        assert_eq!(found, "{\"address\":\"0x1000\",\"bytes\":\"dead\"}\n");
    }
}
