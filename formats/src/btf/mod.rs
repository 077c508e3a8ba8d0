//! BTF: the types of a kernel, as it carries them in its own memory.
//!
//! ```text
//! 0   magic    u16  0xeb9f
//! 2   version  u8   1
//! 3   flags    u8
//! 4   hdr_len  u32  24; 32 with a layout section
//! 8   type_off, type_len, str_off, str_len        u32 each, counted from hdr_len
//! 24  layout_off, layout_len                      u32 each, if hdr_len is 32
//!
//! type:   name_off u32, info u32, size or type u32, then data by kind (see `kind`)
//! info:   vlen 0..24, kind 24..31, kind_flag 31   (older kernels: vlen 0..16, kind 24..29)
//! member: name_off u32, type u32, offset u32      offset in bits; with kind_flag
//!                                                 bits 0..24, and 24..32 a bit field's size
//! ```
//!
//! Types are numbered from 1; 0 is `void`. A module's BTF is split: the numbers of its
//! types and the offsets of its strings continue those of the kernel. The wider `vlen` and
//! `kind` (Linux commit f7a6b9eaff3e "bpf: Extend BTF UAPI vlen, kinds to use unused bits")
//! took bits that were zero before, so all versions are decoded alike. The layout section
//! came with Linux commit 222edc843c15 "btf: Add BTF kind layout encoding to UAPI".
//! Source: Linux `include/uapi/linux/btf.h`.
//!
//! Needs: the bytes. Gives: offsets and sizes of members by their names. One pass finds the
//! start of each type; names are indexed at the first look-up by name.
//!
//! ```
//! use vmcore_formats::{btf::Btf, endian::Endian};
//!
//! let strings = b"\0long\0node\0data\0next\0";
//! let types = [
//!     1, 1 << 24, 8, 64, // 1: INT "long", 8 bytes, 64 bits
//!     6, 4 << 24 | 2, 16, // 2: STRUCT "node", 2 members, 16 bytes
//!     11, 1, 0, // "data", type 1, bit 0
//!     16, 1, 64, // "next", type 1, bit 64
//! ];
//! let (length, text) = (size_of_val(&types) as u32, strings.len() as u32);
//! let header = [0x0001_eb9f, 24, 0, length, length, text];
//! let words = header.iter().chain(&types).flat_map(|word| Endian::Little.u32_bytes(*word));
//! let btf = Btf::parse(words.chain(*strings).collect(), Endian::Little)?;
//!
//! assert_eq!(btf.field("node", "next")?.offset, 8);
//! assert_eq!(btf.size("node")?, 16);
//! assert!(btf.field("node", "prev").is_err());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod c_header;
mod c_name;
mod content;
mod header;
mod kind;
mod members;
#[cfg(test)]
pub(crate) mod synthetic;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, OnceLock};

use thiserror::Error;

pub use c_header::Header as CHeader;
pub use c_name::Declaration;
pub use content::{Array, Integer, Member, Parameter, Variable};
pub use header::{HEADER_LENGTH, Header, MAGIC, MAX_LENGTH};
pub use kind::Kind;
pub use members::{Bits, Field, Located, TypeError};

use crate::cursor::ParseError;
use crate::endian::Endian;

/// The most types that are read. The kernel has room for a million.
pub const MAX_TYPES: usize = 1 << 20;
/// The longest name that is looked at.
const MAX_NAME: usize = 512;
const TYPE_LENGTH: usize = 12;
/// The most types of one name that are looked at, and of one hash. A kernel has two or three.
const MAX_ALIKE: usize = 16;
const MAX_SAME_HASH: usize = 256;

/// Why BTF cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BtfError {
    /// The bytes end too early.
    #[error(transparent)]
    Short(#[from] ParseError),
    /// Another magic or version.
    #[error("BTF begins with {found:#x} instead of 0xeb9f and version 1")]
    Magic {
        /// The first four bytes.
        found: u32,
    },
    /// Sections longer than any kernel's.
    #[error("the BTF header describes {length} bytes, more than the {MAX_LENGTH} that are read")]
    TooLong {
        /// The length that the header describes.
        length: u64,
    },
}

/// A type, as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Type<'b> {
    /// Its number.
    pub id: u32,
    /// Its kind.
    pub kind: Kind,
    /// `kind_flag`.
    pub flag: bool,
    /// How many members, values or parameters it has.
    pub vlen: u32,
    /// Its size, or the type that it refers to, by its kind.
    pub size_or_type: u32,
    /// The data after the first 12 bytes.
    pub tail: &'b [u8],
    name: u32,
    owner: &'b Btf,
}

/// The types of a kernel or a module.
pub struct Btf {
    bytes: Vec<u8>,
    header: Header,
    endian: Endian,
    /// The offset of each type in the section of types.
    starts: Vec<u32>,
    /// The numbers of the types that are sections of variables, of which there are few.
    data_sections: Vec<u32>,
    /// Hash of the name and number of each type that can be looked up by name. Sorted.
    index: OnceLock<Vec<(u32, u32)>>,
    base: Option<Arc<Self>>,
    unread: Option<String>,
}

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf").field("types", &self.starts.len()).finish_non_exhaustive()
    }
}

impl Btf {
    /// Reads a kernel's BTF.
    ///
    /// Stops at the first type that cannot be read: those before it can be used, and
    /// [`Self::unread`] describes the problem.
    ///
    /// # Errors
    /// Fails if the header is not one of BTF, or the sections exceed the bytes.
    pub fn parse(bytes: Vec<u8>, endian: Endian) -> Result<Self, BtfError> {
        Self::read(bytes, endian, None)
    }

    /// Reads a module's BTF, which continues that of its kernel.
    ///
    /// # Errors
    /// Fails like [`Self::parse`].
    pub fn parse_split(bytes: Vec<u8>, base: Arc<Self>) -> Result<Self, BtfError> {
        let endian = base.endian;
        Self::read(bytes, endian, Some(base))
    }

    fn read(bytes: Vec<u8>, endian: Endian, base: Option<Arc<Self>>) -> Result<Self, BtfError> {
        let header = Header::decode(&bytes, endian)?;
        header.fits(bytes.len() as u64)?;
        let mut btf = Self {
            bytes,
            header,
            endian,
            starts: Vec::new(),
            data_sections: Vec::new(),
            index: OnceLock::new(),
            base,
            unread: None,
        };
        (btf.starts, btf.data_sections, btf.unread) = btf.find_starts();
        Ok(btf)
    }

    /// What could not be read, and why, as a sentence.
    pub fn unread(&self) -> Option<&str> {
        self.unread.as_deref()
    }

    /// The number that the next type would have: the count of types, with `void` and
    /// those of the base.
    pub fn next_id(&self) -> u32 {
        self.first_id().saturating_add(u32::try_from(self.starts.len()).unwrap_or(u32::MAX))
    }

    /// The length of the strings, with those of the base: the offset at which the strings
    /// of a split BTF begin.
    pub fn next_string(&self) -> u32 {
        self.first_string().saturating_add(self.header.strings.length)
    }

    /// The number of its first type: 1, or of a module, where those of the base end.
    pub fn first_id(&self) -> u32 {
        self.base.as_ref().map_or(1, |base| base.next_id())
    }

    /// The offset of its first string: 0, or of a module, where those of the base end.
    pub fn first_string(&self) -> u32 {
        self.base.as_ref().map_or(0, |base| base.next_string())
    }

    /// Starts, sections of variables, and what could not be read.
    fn find_starts(&self) -> (Vec<u32>, Vec<u32>, Option<String>) {
        let types = self.header.types.of(&self.bytes);
        let layout = self.header.layout.of(&self.bytes);
        // A type takes 12 bytes at least, and 24 on average.
        let mut starts = Vec::with_capacity(types.len() / 24);
        let mut sections = Vec::new();
        let mut id = self.first_id();
        let mut at = 0_usize;
        while at < types.len() {
            let info = self.endian.u32_at(types, at.saturating_add(4));
            let kind = info.map(Kind::of);
            let end = info.zip(kind).and_then(|(info, kind)| {
                let tail = kind.tail(info & 0xff_ffff, layout)?;
                let tail = usize::try_from(tail).ok()?;
                at.checked_add(TYPE_LENGTH)?.checked_add(tail).filter(|end| *end <= types.len())
            });
            let start = u32::try_from(at).ok().filter(|_| starts.len() < MAX_TYPES);
            let (Some(end), Some(start)) = (end, start) else {
                let unread = format!(
                    "BTF is damaged: type {} is cut off or of an unknown kind",
                    starts.len().saturating_add(1)
                );
                return (starts, sections, Some(unread));
            };
            starts.push(start);
            if kind == Some(Kind::DataSec) {
                sections.push(id);
            }
            id = id.saturating_add(1);
            at = end;
        }
        (starts, sections, None)
    }

    /// A type by its number. `None` for `void`, and for a number that no type has.
    pub fn by_id(&self, id: u32) -> Option<Type<'_>> {
        if let Some(base) = &self.base
            && id < base.next_id()
        {
            return base.by_id(id);
        }
        let index = usize::try_from(id.checked_sub(self.first_id())?).ok()?;
        let start = usize::try_from(*self.starts.get(index)?).ok()?;
        let types = self.header.types.of(&self.bytes);
        let word = |skip| self.endian.u32_at(types, start.saturating_add(skip));
        let info = word(4)?;
        let vlen = info & 0xff_ffff;
        let kind = Kind::of(info);
        let length = kind.tail(vlen, self.header.layout.of(&self.bytes))?;
        let tail = types.get(start.checked_add(TYPE_LENGTH)?..)?;
        Some(Type {
            id,
            kind,
            flag: info >> 31 == 1,
            vlen,
            size_or_type: word(8)?,
            tail: tail.get(..usize::try_from(length).ok()?)?,
            name: word(0)?,
            owner: self,
        })
    }

    /// The types with this name, structures and unions first. The first few, if a guest has
    /// thousands.
    pub fn named(&self, name: &str) -> Vec<Type<'_>> {
        let index = self.index_names();
        let hash = hash(name.as_bytes());
        let from = index.partition_point(|(other, _)| *other < hash);
        let same = index.get(from..).unwrap_or_default().iter();
        let same = same.take_while(|(other, _)| *other == hash).take(MAX_SAME_HASH);
        let mut found: Vec<_> = same
            .filter_map(|(_, id)| self.by_id(*id))
            .filter(|found| found.name() == name.as_bytes())
            .take(MAX_ALIKE)
            .collect();
        found.sort_by_key(|found| !found.kind.is_aggregate());
        if let Some(base) = &self.base {
            found.extend(base.named(name));
        }
        found
    }

    /// Makes the index of names, which else the first look-up by name makes. Gives it.
    pub fn index_names(&self) -> &[(u32, u32)] {
        self.index.get_or_init(|| self.by_name())
    }

    fn by_name(&self) -> Vec<(u32, u32)> {
        let types = self.header.types.of(&self.bytes);
        let mut index = Vec::with_capacity(self.starts.len() / 4);
        for (id, start) in (self.first_id()..).zip(&self.starts) {
            let start = usize::try_from(*start).unwrap_or(usize::MAX);
            let info = self.endian.u32_at(types, start.saturating_add(4)).unwrap_or_default();
            if !Kind::of(info).is_indexed() {
                continue;
            }
            match self.endian.u32_at(types, start) {
                None | Some(0) => {}
                Some(name) => index.push((hash(self.string(name)), id)),
            }
        }
        index.sort_unstable();
        index
    }

    /// A string by its offset. Empty past the end.
    fn string(&self, offset: u32) -> &[u8] {
        if let Some(base) = &self.base
            && offset < base.next_string()
        {
            return base.string(offset);
        }
        let strings = self.header.strings.of(&self.bytes);
        let skip =
            usize::try_from(offset.saturating_sub(self.first_string())).unwrap_or(usize::MAX);
        let rest = strings.get(skip..).unwrap_or_default();
        let rest = rest.get(..MAX_NAME).unwrap_or(rest);
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }
}

impl<'b> Type<'b> {
    /// Its name. Empty for an anonymous type.
    pub fn name(&self) -> &'b [u8] {
        self.owner.string(self.name)
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.owner.endian.u32_at(self.tail, at)
    }
}

/// FNV-1a.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
