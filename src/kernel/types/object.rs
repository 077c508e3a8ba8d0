//! A structure in memory, read by its members' names.

use std::cell::OnceCell;
use std::fmt;

use thiserror::Error;
use vmcore_formats::addr::VirtAddr;

use super::{Field, TypeError, Types, TypesError};
use crate::kernel::Kernel;
use crate::kernel::budget::Spent;
use crate::kernel::page_tables::ReadError;

/// The longest structure that is read at once; of longer ones each member by itself.
const MAX_WHOLE: u64 = 16 << 10;
/// The longest member that is read, in bytes.
const MAX_MEMBER: u64 = 1 << 20;

/// Why a member is not read.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// No types.
    #[error(transparent)]
    Types(#[from] TypesError),
    /// No such type, or no such member.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// It is not in memory.
    #[error("{structure}.{path} cannot be read: {source}")]
    Read {
        /// The structure's name.
        structure: String,
        /// The member.
        path: String,
        /// Why not.
        source: ReadError,
    },
    /// Its size is not that of a number.
    #[error("{structure}.{path} has {size} bytes: it is no number")]
    NoNumber {
        /// The structure's name.
        structure: String,
        /// The member.
        path: String,
        /// Its size.
        size: u64,
    },
    /// What is read with it is too much.
    #[error(transparent)]
    Spent(#[from] Spent),
    /// A null pointer.
    #[error("{structure}.{path} is null")]
    Null {
        /// The structure's name.
        structure: String,
        /// The member.
        path: String,
    },
}

/// A structure in memory.
pub struct Object<'k> {
    kernel: &'k Kernel,
    types: &'k Types,
    structure: &'k str,
    at: VirtAddr,
    /// All of it, if it can be read.
    whole: OnceCell<Option<Vec<u8>>>,
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.structure, self.at)
    }
}

impl<'k> Object<'k> {
    /// The structure of this type at an address. Nothing is read yet.
    ///
    /// # Errors
    /// Fails if the kernel's types are not known.
    pub fn at(kernel: &'k Kernel, structure: &'k str, at: VirtAddr) -> Result<Self, ObjectError> {
        let types = kernel.types().map_err(Clone::clone)?;
        Ok(Self::with(kernel, types, structure, at))
    }

    /// The structure of a type that a module has. Nothing is read yet.
    pub fn with(kernel: &'k Kernel, types: &'k Types, structure: &'k str, at: VirtAddr) -> Self {
        Self { kernel, types, structure, at, whole: OnceCell::new() }
    }

    /// The structure that a member points to.
    pub fn to(&self, path: &str, structure: &'k str) -> Result<Self, ObjectError> {
        let at = self.pointer(path)?;
        if at.0 == 0 {
            let (structure, path) = (self.structure.to_owned(), path.to_owned());
            return Err(ObjectError::Null { structure, path });
        }
        Ok(Self::with(self.kernel, self.types, structure, at))
    }

    /// Where it is.
    pub fn address(&self) -> VirtAddr {
        self.at
    }

    /// Whether it has a member.
    pub fn has(&self, path: &str) -> bool {
        self.types.has(self.structure, path)
    }

    /// Where a member is.
    ///
    /// # Errors
    /// Fails if there is no such member.
    pub fn address_of(&self, path: &str) -> Result<VirtAddr, ObjectError> {
        let offset = self.types.offset(self.structure, path)?;
        Ok(self.at.wrapping_add(offset))
    }

    /// A member as a number; one with fewer than 64 bits without its sign.
    ///
    /// # Errors
    /// Fails if there is no such member, it is no number, or it cannot be read.
    pub fn u64(&self, path: &str) -> Result<u64, ObjectError> {
        let field = self.types.field(self.structure, path)?;
        self.number(path, field)
    }

    /// A member as a number with its sign.
    pub fn i64(&self, path: &str) -> Result<i64, ObjectError> {
        let field = self.types.field(self.structure, path)?;
        let value = self.number(path, field)?;
        let bits = field.bits.map_or(field.size.saturating_mul(8), |bits| bits.size.into());
        let unused = u32::try_from(64_u64.saturating_sub(bits)).unwrap_or_default();
        Ok(value.wrapping_shl(unused).cast_signed().wrapping_shr(unused))
    }

    /// The low 32 bits of a member.
    pub fn u32(&self, path: &str) -> Result<u32, ObjectError> {
        let value = self.u64(path)? & u64::from(u32::MAX);
        Ok(u32::try_from(value).unwrap_or_default())
    }

    /// The low 32 bits of a member, with their sign.
    pub fn i32(&self, path: &str) -> Result<i32, ObjectError> {
        self.u32(path).map(u32::cast_signed)
    }

    /// A member as an address.
    pub fn pointer(&self, path: &str) -> Result<VirtAddr, ObjectError> {
        self.u64(path).map(VirtAddr)
    }

    /// A member's bytes, as they are.
    ///
    /// # Errors
    /// Fails if there is no such member, or it cannot be read.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, ObjectError> {
        let field = self.types.field(self.structure, path)?;
        let mut bytes = vec![0; usize::try_from(field.size.min(MAX_MEMBER)).unwrap_or_default()];
        self.read(path, field.offset, &mut bytes)?;
        Ok(bytes)
    }

    /// A text that is a member itself: up to its first NUL, and at most `max` bytes.
    ///
    /// # Errors
    /// Fails if there is no such member, or it cannot be read.
    pub fn text(&self, path: &str, max: usize) -> Result<String, ObjectError> {
        let field = self.types.field(self.structure, path)?;
        let length = usize::try_from(field.size).unwrap_or(usize::MAX).min(max);
        let mut bytes = vec![0; length];
        self.read(path, field.offset, &mut bytes)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(length);
        Ok(String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned())
    }

    fn number(&self, path: &str, field: Field) -> Result<u64, ObjectError> {
        let length = usize::try_from(field.size).unwrap_or(usize::MAX);
        let mut bytes = [0; 8];
        let Some(bytes) = bytes.get_mut(..length).filter(|bytes| !bytes.is_empty()) else {
            return Err(ObjectError::NoNumber {
                structure: self.structure.to_owned(),
                path: path.to_owned(),
                size: field.size,
            });
        };
        self.read(path, field.offset, bytes)?;
        // One to eight bytes are always a number.
        let value = self.kernel.space.endian().number(bytes).unwrap_or_default();
        let Some(bits) = field.bits else { return Ok(value) };
        // Bit fields are counted from the lowest bit on little-endian machines alone.
        let mask = 1_u64.checked_shl(bits.size).map_or(u64::MAX, |bit| bit.wrapping_sub(1));
        Ok(value.wrapping_shr(bits.offset) & mask)
    }

    fn read(&self, path: &str, offset: u64, buffer: &mut [u8]) -> Result<(), ObjectError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let whole = self.whole.get_or_init(|| self.read_whole()).as_deref();
        let part = whole.and_then(|whole| whole.get(start..start.checked_add(buffer.len())?));
        if let Some(part) = part {
            buffer.copy_from_slice(part);
            return Ok(());
        }
        let at = self.at.wrapping_add(offset);
        self.kernel.space.read(at, buffer).map_err(|source| ObjectError::Read {
            structure: self.structure.to_owned(),
            path: path.to_owned(),
            source,
        })
    }

    fn read_whole(&self) -> Option<Vec<u8>> {
        let size = self.types.size(self.structure).ok().filter(|size| *size <= MAX_WHOLE)?;
        self.kernel.space.read_vec(self.at, usize::try_from(size).ok()?).ok()
    }
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
