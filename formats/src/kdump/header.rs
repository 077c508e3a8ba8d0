//! The first block of a kdump-compressed file (`struct disk_dump_header`).
//!
//! ```text
//!  64-bit  32-bit
//!    0       0    signature            8 bytes, "KDUMP   "
//!    8       8    header_version       u32, 1 to 6
//!   12      12    utsname              6 texts of 65 bytes: sysname, nodename,
//!                                      release, version, machine, domainname
//!  408     404    timestamp            two longs, always 0
//!  424     412    status               u32, the codec's flag, and whether it is complete
//!  428     416    block_size           u32, a page
//!  432     420    sub_hdr_size         u32, in blocks
//!  436     424    bitmap_blocks        u32, of both bitmaps
//!  440     428    max_mapnr            u32, pages; 64 bits wide in the sub header
//!  444     432    total_ram_blocks     u32
//!  448     436    device_blocks        u32
//!  452     440    written_blocks       u32
//!  456     444    current_cpu          u32
//!  460     448    nr_cpus              u32
//! ```
//!
//! No field gives the layout or the byte order. The version reveals the byte order;
//! the machine's name, or else plausible sizes, the layout.
//!
//! ```
//! use vmcore_formats::elf::Class;
//! use vmcore_formats::endian::Endian;
//! use vmcore_formats::kdump::header::{Header, UtsName};
//!
//! let header = Header {
//!     class: Class::Elf64,
//!     endian: Endian::Big,
//!     version: 6,
//!     uts: UtsName { machine: b"s390x".to_vec(), ..UtsName::default() },
//!     status: 0x20,
//!     block_size: 4096,
//!     sub_header_blocks: 1,
//!     bitmap_blocks: 2,
//!     max_mapnr: 32768,
//!     current_cpu: 0,
//!     cpu_count: 1,
//! };
//! assert_eq!(Header::decode(&header.encode())?, header);
//! assert_eq!(header.descriptor_offset(), 4 * 4096);
//! # Ok::<_, vmcore_formats::kdump::KdumpError>(())
//! ```

use super::{Encoder, KdumpError, MAX_BLOCK, MIN_BLOCK, SIGNATURE};
use crate::cursor::Cursor;
use crate::elf::Class;
use crate::endian::Endian;

/// How many bytes from the start of a file [`Header::decode`] needs.
pub const HEADER_LENGTH: usize = 464;
/// Length of each text in utsname.
const TEXT: usize = 65;
/// Length of utsname, in bytes.
pub const UTS_LENGTH: usize = 6 * TEXT;
/// `DUMP_DH_COMPRESSED_INCOMPLETE`: the writer ran out of space.
const INCOMPLETE: u32 = 0x8;
/// `DUMP_DH_EXCLUDED_VMEMMAP`: `struct page`s of excluded pages were excluded, too.
const WITHOUT_VMEMMAP: u32 = 0x10;

/// The names of a kernel and its machine (`struct new_utsname`). Unknown ones are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UtsName {
    /// `Linux`.
    pub sysname: Vec<u8>,
    /// The host's name.
    pub nodename: Vec<u8>,
    /// The kernel's release.
    pub release: Vec<u8>,
    /// The kernel's build.
    pub version: Vec<u8>,
    /// The machine, as `uname -m` has it.
    pub machine: Vec<u8>,
    /// The NIS domain.
    pub domainname: Vec<u8>,
}

impl UtsName {
    /// Decodes [`UTS_LENGTH`] bytes, as the kernel has them in memory.
    ///
    /// # Errors
    /// Fails if there are fewer.
    pub fn decode(bytes: &[u8]) -> Result<Self, KdumpError> {
        Self::decode_at(&mut Cursor::new(bytes, Endian::Little))
    }

    fn decode_at(at: &mut Cursor<'_>) -> Result<Self, KdumpError> {
        let mut text = |what| {
            let field = at.take(TEXT as u64, what)?;
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(TEXT);
            Ok::<_, KdumpError>(field.get(..end).unwrap_or_default().to_vec())
        };
        Ok(Self {
            sysname: text("sysname")?,
            nodename: text("nodename")?,
            release: text("release")?,
            version: text("version")?,
            machine: text("machine")?,
            domainname: text("domainname")?,
        })
    }
}

/// The header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Width of the machine's longs.
    pub class: Class,
    /// Byte order of everything but the notes' text.
    pub endian: Endian,
    /// 1 to 6.
    pub version: u32,
    /// The kernel whose memory it is.
    pub uts: UtsName,
    /// The codec's flag, and others.
    pub status: u32,
    /// Length of a block and of a page, in bytes.
    pub block_size: u32,
    /// How many blocks the sub header and the notes have.
    pub sub_header_blocks: u32,
    /// How many blocks both bitmaps have.
    pub bitmap_blocks: u32,
    /// One more than the last page's number, if that fits into 32 bits.
    pub max_mapnr: u32,
    /// The CPU that panicked, or 0.
    pub current_cpu: u32,
    /// How many CPUs have their registers in the notes.
    pub cpu_count: u32,
}

impl Header {
    /// Decodes the first [`HEADER_LENGTH`] bytes of a file.
    ///
    /// # Errors
    /// Fails if they are not such a header, or if its sizes are impossible.
    pub fn decode(bytes: &[u8]) -> Result<Self, KdumpError> {
        let signature = bytes.get(..SIGNATURE.len()).unwrap_or(bytes);
        if signature != SIGNATURE {
            return Err(KdumpError::Signature { found: signature.to_vec() });
        }
        let endian = byte_order(bytes)?;
        // utsname precedes the fields whose offsets differ.
        let either = Self::decode_as(bytes, Class::Elf64, endian)?;
        let classes: &[Class] = match class_of(&either.uts.machine) {
            Some(Class::Elf64) => &[Class::Elf64],
            Some(Class::Elf32) => &[Class::Elf32],
            None => &[Class::Elf64, Class::Elf32],
        };
        let mut plausible = Vec::new();
        for class in classes {
            let header = Self::decode_as(bytes, *class, endian)?;
            if header.is_plausible() {
                plausible.push(header);
            }
        }
        // Without a machine's name both layouts may be plausible. The right one has CPUs.
        let with_cpus = plausible.iter().position(|header| header.cpu_count > 0);
        plausible.into_iter().nth(with_cpus.unwrap_or(0)).ok_or(KdumpError::Sizes)
    }

    fn decode_as(bytes: &[u8], class: Class, endian: Endian) -> Result<Self, KdumpError> {
        let mut at = Cursor::new(bytes, endian);
        at.take(SIGNATURE.len() as u64, "signature")?;
        let version = at.u32("header_version")?;
        let uts = UtsName::decode_at(&mut at)?;
        at.take(timestamp_length(class), "timestamp")?;
        let status = at.u32("status")?;
        let block_size = at.u32("block_size")?;
        let sub_header_blocks = at.u32("sub_hdr_size")?;
        let bitmap_blocks = at.u32("bitmap_blocks")?;
        let max_mapnr = at.u32("max_mapnr")?;
        at.take(12, "block counts")?;
        let current_cpu = at.u32("current_cpu")?;
        let cpu_count = at.u32("nr_cpus")?;
        Ok(Self {
            class,
            endian,
            version,
            uts,
            status,
            block_size,
            sub_header_blocks,
            bitmap_blocks,
            max_mapnr,
            current_cpu,
            cpu_count,
        })
    }

    fn is_plausible(&self) -> bool {
        let bits = self.bitmap_length().saturating_mul(8);
        (MIN_BLOCK..=MAX_BLOCK).contains(&self.block_size)
            && self.block_size.is_power_of_two()
            && self.bitmap_blocks > 0
            && bits >= u64::from(self.max_mapnr)
    }

    /// Whether its writer marked the file as incomplete.
    pub fn is_incomplete(&self) -> bool {
        self.status & INCOMPLETE != 0
    }

    /// Whether the `struct page`s of excluded pages were excluded, too.
    pub fn is_without_vmemmap(&self) -> bool {
        self.status & WITHOUT_VMEMMAP != 0
    }

    /// Offset of the bitmaps in the file.
    pub fn bitmap_offset(&self) -> u64 {
        u64::from(self.sub_header_blocks).saturating_add(1).saturating_mul(self.block())
    }

    /// Length of both bitmaps together, in bytes.
    pub fn bitmap_length(&self) -> u64 {
        u64::from(self.bitmap_blocks).saturating_mul(self.block())
    }

    /// Offset of the page descriptors in the file.
    pub fn descriptor_offset(&self) -> u64 {
        self.bitmap_offset().saturating_add(self.bitmap_length())
    }

    fn block(&self) -> u64 {
        u64::from(self.block_size)
    }

    /// Encodes it. The rest of its block is zeros.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::new(self.endian);
        to.bytes.extend(SIGNATURE);
        to.u32(self.version);
        let uts = &self.uts;
        for text in
            [&uts.sysname, &uts.nodename, &uts.release, &uts.version, &uts.machine, &uts.domainname]
        {
            to.text(text, TEXT);
        }
        let timestamp = usize::try_from(timestamp_length(self.class)).unwrap_or_default();
        to.bytes.resize(to.bytes.len().saturating_add(timestamp), 0);
        for value in [
            self.status,
            self.block_size,
            self.sub_header_blocks,
            self.bitmap_blocks,
            self.max_mapnr,
            0,
            0,
            0,
            self.current_cpu,
            self.cpu_count,
        ] {
            to.u32(value);
        }
        to.bytes
    }
}

/// Length of the timestamp with the padding before it.
fn timestamp_length(class: Class) -> u64 {
    match class {
        Class::Elf64 => 6 + 16,
        Class::Elf32 => 2 + 8,
    }
}

/// The byte order in which the version is a small number.
fn byte_order(bytes: &[u8]) -> Result<Endian, KdumpError> {
    for endian in [Endian::Little, Endian::Big] {
        let mut at = Cursor::new(bytes, endian);
        at.take(SIGNATURE.len() as u64, "signature")?;
        if (1..=6).contains(&at.u32("header_version")?) {
            return Ok(endian);
        }
    }
    let mut at = Cursor::new(bytes, Endian::Little);
    at.take(SIGNATURE.len() as u64, "signature")?;
    Err(KdumpError::Version { found: at.u32("header_version")? })
}

/// The width of a machine's longs, by its name.
fn class_of(machine: &[u8]) -> Option<Class> {
    Some(match machine {
        b"x86_64" | b"aarch64" | b"s390x" | b"ppc64" | b"ppc64le" | b"riscv64" | b"loongarch64"
        | b"ia64" | b"mips64" | b"sparc64" => Class::Elf64,
        b"i386" | b"i486" | b"i586" | b"i686" | b"ppc" | b"s390" | b"mips" => Class::Elf32,
        arm if arm.starts_with(b"arm") => Class::Elf32,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
