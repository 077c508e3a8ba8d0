//! Members by their names: `thread.sp`, `mem[1].base`.
//!
//! Members of an anonymous structure or union are found as members of its parent.
//! Pointers are not followed: a path stays in one object.

use thiserror::Error;

use super::{Btf, Kind, Member, Type};

/// The most nested types, and the longest chain of typedefs and qualifiers.
const MAX_DEPTH: usize = 32;
/// The most members that a look-up visits.
const MAX_STEPS: usize = 1 << 13;
/// The most values of an enumeration. A kernel's longest ones have a few hundred.
const MAX_VALUES: usize = 1 << 10;
/// The size of a pointer: only 64-bit kernels are read.
const POINTER: u64 = 8;

/// The bits of a bit field in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// Its lowest bit, from the lowest bit of the byte at [`Field::offset`].
    pub offset: u32,
    /// Its width in bits.
    pub size: u32,
}

/// The location of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its offset from the start of the structure, in bytes.
    pub offset: u64,
    /// Its size in bytes. For a bit field, the bytes that it touches.
    pub size: u64,
    /// Its bits, if it is a bit field.
    pub bits: Option<Bits>,
    /// The number of elements, if it is an array.
    pub elements: Option<u32>,
}

/// A type or a member that is not found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TypeError {
    /// There is no such type.
    #[error("the kernel has no type {name}")]
    NoType {
        /// Its name.
        name: String,
    },
    /// It has no such member or value.
    #[error("{name} has no {member}")]
    NoMember {
        /// The type's name.
        name: String,
        /// The member or value that is not in it.
        member: String,
    },
}

impl Btf {
    /// The location of a member in a structure, by a path such as `thread.sp`.
    ///
    /// # Errors
    /// Fails if there is no such structure, or no such member in it.
    pub fn field(&self, structure: &str, path: &str) -> Result<Field, TypeError> {
        let named = self.named(structure);
        if named.is_empty() {
            return Err(TypeError::NoType { name: structure.to_owned() });
        }
        let found = named.iter().find_map(|start| self.descend(*start, path));
        let error = || TypeError::NoMember { name: structure.to_owned(), member: path.to_owned() };
        found.ok_or_else(error)
    }

    /// The different locations of a member in all structures of this name, the one of
    /// [`Self::field`] first.
    pub fn fields(&self, structure: &str, path: &str) -> Vec<Field> {
        let named = self.named(structure).into_iter();
        different(named.filter_map(|start| self.descend(start, path)))
    }

    /// The size of a type in bytes.
    ///
    /// # Errors
    /// Fails if there is no such type.
    pub fn size(&self, name: &str) -> Result<u64, TypeError> {
        let size = self.named(name).into_iter().find_map(|found| self.size_of(found.id));
        size.ok_or_else(|| TypeError::NoType { name: name.to_owned() })
    }

    /// The different sizes of all types of this name, the one of [`Self::size`] first.
    pub fn sizes(&self, name: &str) -> Vec<u64> {
        different(self.named(name).into_iter().filter_map(|found| self.size_of(found.id)))
    }

    /// The names and values of an enumeration.
    ///
    /// # Errors
    /// Fails if there is no enumeration of this name.
    pub fn enumerators(&self, enumeration: &str) -> Result<Vec<(String, i64)>, TypeError> {
        let named = self.named(enumeration);
        let found = named.iter().filter_map(|found| self.strip(found.id)).find(is_enumeration);
        let found = found.ok_or_else(|| TypeError::NoType { name: enumeration.to_owned() })?;
        let value =
            |(name, value): (&[u8], i64)| (String::from_utf8_lossy(name).into_owned(), value);
        Ok(found.values().take(MAX_VALUES).map(value).collect())
    }

    /// A value of an enumeration.
    ///
    /// # Errors
    /// Fails if there is no such enumeration, or no such value in it.
    pub fn enumerator(&self, enumeration: &str, name: &str) -> Result<i64, TypeError> {
        let named = self.named(enumeration);
        if !named
            .iter()
            .filter_map(|found| self.strip(found.id))
            .any(|found| is_enumeration(&found))
        {
            return Err(TypeError::NoType { name: enumeration.to_owned() });
        }
        self.enumerator_values(enumeration, name).first().copied().ok_or_else(|| {
            TypeError::NoMember { name: enumeration.to_owned(), member: name.to_owned() }
        })
    }

    /// The different values of this name in all enumerations of this name, the one of
    /// [`Self::enumerator`] first.
    pub fn enumerator_values(&self, enumeration: &str, name: &str) -> Vec<i64> {
        let named = self.named(enumeration);
        let stripped = named.iter().filter_map(|found| self.strip(found.id));
        different(stripped.filter(is_enumeration).filter_map(|one| {
            one.values()
                .take(MAX_VALUES)
                .find(|(other, _)| *other == name.as_bytes())
                .map(|(_, value)| value)
        }))
    }

    /// A type without typedefs and qualifiers. `None` for `void`.
    pub fn strip(&self, id: u32) -> Option<Type<'_>> {
        let mut found = self.by_id(id)?;
        for _ in 0..MAX_DEPTH {
            if !found.kind.is_alias() {
                return Some(found);
            }
            found = self.by_id(found.size_or_type)?;
        }
        None
    }

    /// The size of a type in bytes, by its number. `None` for `void`, functions, and what is
    /// declared only.
    pub fn size_of(&self, id: u32) -> Option<u64> {
        let (mut id, mut count) = (id, 1_u64);
        for _ in 0..MAX_DEPTH {
            let found = self.strip(id)?;
            match found.kind {
                Kind::Ptr => return count.checked_mul(POINTER),
                Kind::Array => {
                    count = count.checked_mul(found.word(8)?.into())?;
                    id = found.word(0)?;
                }
                Kind::Int
                | Kind::Enum
                | Kind::Enum64
                | Kind::Struct
                | Kind::Union
                | Kind::Float
                | Kind::DataSec => return count.checked_mul(found.size_or_type.into()),
                _ => return None,
            }
        }
        None
    }

    /// The member of this name of a structure, by its type; also one of an anonymous member.
    pub fn member_of(&self, id: u32, name: &str) -> Option<Located> {
        self.member(self.strip(id)?, name.as_bytes(), 0, &mut 0)
    }

    fn descend(&self, start: Type<'_>, path: &str) -> Option<Field> {
        let mut id = start.id;
        let (mut bit, mut size) = (0_u64, 0_u32);
        for part in path.split('.').take(MAX_DEPTH) {
            let mut pieces = part.split('[');
            let name = pieces.next()?;
            let mut steps = 0;
            let member = self.member(self.strip(id)?, name.as_bytes(), 0, &mut steps)?;
            bit = bit.checked_add(member.bit)?;
            (id, size) = (member.id, member.bits);
            for index in pieces {
                let index: u32 = index.strip_suffix(']')?.parse().ok()?;
                let array = self.strip(id).filter(|found| found.kind == Kind::Array)?;
                let count = array.word(8)?;
                if count != 0 && index >= count {
                    return None;
                }
                id = array.word(0)?;
                let skip = self.size_of(id)?.checked_mul(index.into())?.checked_mul(8)?;
                bit = bit.checked_add(skip)?;
            }
        }
        if size > 0 {
            let offset = u32::try_from(bit % 8).ok()?;
            let bytes = offset.checked_add(size)?.div_ceil(8);
            let bits = Some(Bits { offset, size });
            return Some(Field { offset: bit / 8, size: bytes.into(), bits, elements: None });
        }
        let target = self.strip(id);
        let array = target.filter(|found| found.kind == Kind::Array);
        let elements = array.and_then(|array| array.word(8));
        // A damaged type, or one of an unknown kind, has no size: no reader can use the member.
        let size = self.size_of(id)?;
        Some(Field { offset: bit / 8, size, bits: None, elements })
    }

    fn member(
        &self,
        parent: Type<'_>,
        name: &[u8],
        depth: usize,
        steps: &mut usize,
    ) -> Option<Located> {
        if !parent.kind.is_aggregate() || depth > MAX_DEPTH {
            return None;
        }
        for member in parent.members() {
            *steps = steps.saturating_add(1);
            if *steps > MAX_STEPS {
                return None;
            }
            if member.name.is_empty() {
                let inner = self.strip(member.id).filter(|inner| inner.kind.is_aggregate());
                let found = inner
                    .and_then(|inner| self.member(inner, name, depth.saturating_add(1), steps));
                if let Some(found) = found {
                    let bit = found.bit.checked_add(member.bit.into())?;
                    return Some(Located { bit, ..found });
                }
            } else if member.name == name {
                let Member { id, bit, bits, .. } = member;
                return Some(Located { bit: bit.into(), bits, id });
            }
        }
        None
    }
}

/// A member that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its offset in bits.
    pub bit: u64,
    /// The width of a bit field in bits, 0 for other members.
    pub bits: u32,
    /// Its type.
    pub id: u32,
}

fn is_enumeration(found: &Type<'_>) -> bool {
    matches!(found.kind, Kind::Enum | Kind::Enum64)
}

/// Each value once, in the order of their first.
fn different<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut different = Vec::new();
    for value in values {
        if !different.contains(&value) {
            different.push(value);
        }
    }
    different
}
