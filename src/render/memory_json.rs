//! Memory as JSON, piece by piece: it may be more than fits into ours.
//!
//! ```text
//! {"schema":"vmcorectl/memory/1","kind":"physical","address":"0x1000","wanted":4,
//!  "bytes":"7f454c46","read":4,"missing":null}
//! ```

use std::io::{self, Write};

use serde_json::json;

use super::hexdump::push_hex;
use super::json::line;

/// The schema of memory as JSON.
pub const SCHEMA: &str = "vmcorectl/memory/1";

/// A JSON text that is begun.
#[derive(Debug)]
pub struct MemoryJson {
    read: u64,
}

impl MemoryJson {
    /// Prints everything before the bytes.
    pub fn begin(kind: &str, address: u64, wanted: u64, out: &mut dyn Write) -> io::Result<Self> {
        write!(
            out,
            "{{\"schema\":\"{SCHEMA}\",\"kind\":\"{kind}\",\"address\":\"{address:#x}\",\"wanted\":{wanted},\"bytes\":\""
        )?;
        Ok(Self { read: 0 })
    }

    /// Prints bytes.
    pub fn add(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        const AT_ONCE: usize = 4096;
        let mut hex = Vec::with_capacity(AT_ONCE.saturating_mul(2));
        for part in bytes.chunks(AT_ONCE) {
            hex.clear();
            part.iter().for_each(|byte| push_hex(*byte, &mut hex));
            out.write_all(&hex)?;
        }
        self.read = self.read.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Prints everything after the bytes: the first address that is missing, and why.
    pub fn end(self, missing: Option<(u64, &str)>, out: &mut dyn Write) -> io::Result<()> {
        let missing = missing
            .map(|(at, problem)| json!({ "address": format!("{at:#x}"), "problem": problem }));
        let mut text = Vec::new();
        line(&missing, &mut text)?;
        write!(out, "\",\"read\":{},\"missing\":", self.read)?;
        out.write_all(text.trim_ascii_end())?;
        writeln!(out, "}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_one_json_document() {
        let mut out = Vec::new();
        let mut json = MemoryJson::begin("physical", 0x1000, 9000, &mut out).unwrap();
        json.add(&[0x7f, 0x45], &mut out).unwrap();
        json.add(&[0xff; 5000], &mut out).unwrap();
        json.end(Some((0x238a, "a \"quoted\" reason")), &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&value["address"], &value["read"]), (&json!("0x1000"), &json!(5002)));
        assert_eq!(value["bytes"], format!("7f45{}", "ff".repeat(5000)));
        assert_eq!(value["missing"]["problem"], "a \"quoted\" reason");
    }
}
