//! The header of a Windows crash dump, which QEMU writes as `win-dmp`.
//!
//! ```text
//!        64 bits  32 bits
//! PAGEDU64  0     PAGEDUMP  0     magic
//! 10   16   8     8               version: major and minor, u32 each
//! 10   16         pointers of the kernel, each as wide as the machine
//! 30   20         machine         u32   IMAGE_FILE_MACHINE_..
//! 34   24         processors      u32
//! 38   28         bugcheck code   u32
//! 40   2c         its parameters  4 pointers
//! 88   64         runs            u32 count, pages in all, then first page and count of each run
//! f98  f88        kind of dump    u32   1: all memory, run after run
//! 2000 1000       the memory
//! ```
//!
//! Source: QEMU `include/qemu/win_dump_defs.h`. Only the bugcheck, and the location of the
//! memory in a full dump, are decoded.
//!
//! ```
//! use vmcore_formats::endian::Endian;
//! use vmcore_formats::windows_dump::{MAGIC_64, WindowsDump};
//!
//! let mut header = [0; 0x2000];
//! header[..8].copy_from_slice(MAGIC_64);
//! header[0x38..0x3c].copy_from_slice(&Endian::Little.u32_bytes(0xd1));
//! header[0x88..0x8c].copy_from_slice(&Endian::Little.u32_bytes(1)); // one run
//! header[0x98..0xa0].copy_from_slice(&Endian::Little.u64_bytes(1)); // from page 1
//! header[0xa0..0xa8].copy_from_slice(&Endian::Little.u64_bytes(0x9e)); // of 0x9e pages
//! header[0xf98] = 1; // a full dump
//! let dump = WindowsDump::decode(&header)?;
//! assert_eq!((dump.code, dump.kind), (0xd1, Some(1)));
//! assert_eq!((dump.runs[0].start.0, dump.runs[0].length), (0x1000, 0x9e000));
//! # Ok::<_, vmcore_formats::windows_dump::WindowsDumpError>(())
//! ```

use crate::addr::{Pfn, PhysAddr};
use crate::cursor::{Cursor, ParseError};
use crate::endian::Endian;
use thiserror::Error;

/// The first bytes of a 64-bit dump.
pub const MAGIC_64: &[u8; 8] = b"PAGEDU64";
/// The first bytes of a 32-bit dump.
pub const MAGIC_32: &[u8; 8] = b"PAGEDUMP";
/// The longest header, in bytes.
pub const MAX_HEADER: usize = 0x2000;
/// A page of such a dump, in bytes.
const PAGE: u64 = 4096;
/// The kind of dump with all memory, run after run.
const FULL: u32 = 1;
/// The most runs for which the header has room.
const MAX_RUNS: u32 = 64;

/// The decoded header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowsDump {
    /// Whether it is a 64-bit dump.
    pub is_64: bool,
    /// `IMAGE_FILE_MACHINE_..`, for example 0x8664.
    pub machine: u32,
    /// The number of processors.
    pub processors: u32,
    /// The build of Windows.
    pub build: u32,
    /// The STOP code.
    pub code: u32,
    /// Its parameters.
    pub parameters: [u64; 4],
    /// The kind of dump: 1 has all memory. `None` if the header is cut off before it.
    pub kind: Option<u32>,
    /// The memory. Empty if dumps of this kind have another layout.
    pub runs: Vec<Run>,
}

/// A run of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its physical address.
    pub start: PhysAddr,
    /// Its length in bytes.
    pub length: u64,
    /// Its offset in the file.
    pub offset: u64,
}

/// Why a header cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WindowsDumpError {
    /// Another magic.
    #[error("it does not begin like a Windows crash dump")]
    Magic,
    /// It ends too early.
    #[error("the header is cut off: {0}")]
    Short(#[from] ParseError),
}

/// The offsets of the fields of a header.
struct Layout {
    header: u64,
    machine: u64,
    parameters: u64,
    runs: u64,
    kind: u64,
}

const LAYOUT_64: Layout =
    Layout { header: 0x2000, machine: 0x30, parameters: 0x40, runs: 0x88, kind: 0xf98 };
const LAYOUT_32: Layout =
    Layout { header: 0x1000, machine: 0x20, parameters: 0x2c, runs: 0x64, kind: 0xf88 };

impl WindowsDump {
    /// Decodes a header. `bytes` should be the first [`MAX_HEADER`] bytes of the file, or all
    /// of a shorter one.
    ///
    /// # Errors
    /// Fails if it has another magic, or is cut off before the end of the bugcheck's parameters.
    /// A header that is cut off later has no runs.
    pub fn decode(bytes: &[u8]) -> Result<Self, WindowsDumpError> {
        let is_64 = bytes.starts_with(MAGIC_64);
        if !is_64 && !bytes.starts_with(MAGIC_32) {
            return Err(WindowsDumpError::Magic);
        }
        let layout = if is_64 { LAYOUT_64 } else { LAYOUT_32 };
        let build = at(bytes, 12)?.u32("the build")?;
        let mut rest = at(bytes, layout.machine)?;
        let machine = rest.u32("the machine")?;
        let processors = rest.u32("the processors")?;
        let code = rest.u32("the bugcheck's code")?;
        let mut rest = at(bytes, layout.parameters)?;
        let mut parameters = [0; 4];
        for parameter in &mut parameters {
            *parameter = pointer(&mut rest, is_64, "the bugcheck's parameters")?;
        }
        let kind = at(bytes, layout.kind).and_then(|mut rest| rest.u32("the kind")).ok();
        let mut dump =
            Self { is_64, machine, processors, build, code, parameters, kind, runs: Vec::new() };
        if kind == Some(FULL) {
            dump.runs = runs(bytes, &layout, is_64).unwrap_or_else(|_| Vec::new());
        }
        Ok(dump)
    }
}

/// The runs of memory. Empty if their count is larger than the header has room for.
fn runs(bytes: &[u8], layout: &Layout, is_64: bool) -> Result<Vec<Run>, ParseError> {
    let mut rest = at(bytes, layout.runs)?;
    let count = rest.u32("the count of runs")?;
    if is_64 {
        rest.u32("padding")?;
    }
    pointer(&mut rest, is_64, "the count of pages")?;
    let mut runs = Vec::new();
    let mut offset = layout.header;
    if count > MAX_RUNS {
        return Ok(runs);
    }
    for _ in 0..count {
        let first = Pfn(pointer(&mut rest, is_64, "a run's first page")?);
        let pages = pointer(&mut rest, is_64, "a run's pages")?;
        let (Some(start), Some(length)) = (first.address(PAGE), pages.checked_mul(PAGE)) else {
            return Ok(runs);
        };
        let Some(next) = offset.checked_add(length).filter(|end| i64::try_from(*end).is_ok())
        else {
            return Ok(runs);
        };
        runs.push(Run { start, length, offset });
        offset = next;
    }
    Ok(runs)
}

fn at(bytes: &[u8], offset: u64) -> Result<Cursor<'_>, ParseError> {
    let mut cursor = Cursor::new(bytes, Endian::Little);
    cursor.take(offset, "the header")?;
    Ok(cursor)
}

fn pointer(cursor: &mut Cursor<'_>, is_64: bool, what: &'static str) -> Result<u64, ParseError> {
    if is_64 { cursor.u64(what) } else { cursor.u32(what).map(u64::from) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of 64 bits, with two runs.
    fn header() -> Vec<u8> {
        let mut bytes = vec![0; MAX_HEADER];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, MAGIC_64);
        put(8, &15_u32.to_le_bytes());
        put(12, &19041_u32.to_le_bytes());
        put(0x30, &0x8664_u32.to_le_bytes());
        put(0x34, &4_u32.to_le_bytes());
        put(0x38, &0xd1_u32.to_le_bytes());
        for (index, value) in [1_u64, 2, 0, 0xffff_f800_0000_1000].iter().enumerate() {
            put(0x40 + index * 8, &value.to_le_bytes());
        }
        put(0x88, &2_u32.to_le_bytes());
        put(0x90, &0x9e_u64.to_le_bytes());
        for (index, value) in [1_u64, 0x9e, 0x100, 0x1000].iter().enumerate() {
            put(0x98 + index * 8, &value.to_le_bytes());
        }
        put(0xf98, &1_u32.to_le_bytes());
        bytes
    }

    #[test]
    fn bugcheck_and_memory_are_decoded() {
        let dump = WindowsDump::decode(&header()).unwrap();
        assert_eq!(
            (dump.machine, dump.processors, dump.build, dump.code),
            (0x8664, 4, 19041, 0xd1)
        );
        assert_eq!(dump.parameters, [1, 2, 0, 0xffff_f800_0000_1000]);
        let run = |start, length, offset| Run { start: PhysAddr(start), length, offset };
        assert_eq!(dump.runs, [run(0x1000, 0x9e000, 0x2000), run(0x10_0000, 0x100_0000, 0xa_0000)]);
    }

    #[test]
    fn a_dump_of_32_bits_has_narrow_pointers() {
        let mut bytes = vec![0; 0x1000];
        bytes[..8].copy_from_slice(MAGIC_32);
        bytes[0x28] = 0x50;
        bytes[0x2c] = 7;
        bytes[0x30] = 1;
        bytes[0x64] = 1;
        bytes[0x68] = 2;
        bytes[0x6c] = 1;
        bytes[0x70] = 2;
        bytes[0xf88] = 1;
        let dump = WindowsDump::decode(&bytes).unwrap();
        assert_eq!((dump.is_64, dump.code, dump.parameters), (false, 0x50, [7, 1, 0, 0]));
        assert_eq!(dump.runs, [Run { start: PhysAddr(0x1000), length: 0x2000, offset: 0x1000 }]);
    }

    #[test]
    fn every_truncation_is_an_error_or_has_no_runs() {
        let header = header();
        for length in 0..header.len() {
            match WindowsDump::decode(&header[..length]) {
                Ok(dump) => assert!(length >= 0x60 && (dump.runs.is_empty() || length >= 0xf9c)),
                Err(_) => assert!(length < 0x60, "cut at {length:#x}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(mut bytes in prop::collection::vec(any::<u8>(), 0..MAX_HEADER)) {
            let _ = WindowsDump::decode(&bytes);
            for magic in [MAGIC_64, MAGIC_32] {
                if let Some(start) = bytes.get_mut(..8) {
                    start.copy_from_slice(magic);
                    let _ = WindowsDump::decode(&bytes);
                }
            }
        }
    }
}
