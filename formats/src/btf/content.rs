//! What a type consists of: members, elements, values, parameters, variables.
//!
//! Needs: a type. Gives: its parts, as they are stored, in their order. Nothing is checked
//! against the rest of BTF: ids may be those of no type, and offsets may be outside of the type.
//! How many parts there are is bounded by the length of BTF.

use super::{Btf, Kind, Type};

/// A member of a structure or a union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'b> {
    /// Its name. Empty for an anonymous structure or union.
    pub name: &'b [u8],
    /// The offset of its name among all strings.
    pub name_offset: u32,
    /// Its type.
    pub id: u32,
    /// Its offset from the start of the structure, in bits.
    pub bit: u32,
    /// The width of a bit field in bits. 0 for other members.
    pub bits: u32,
}

/// An array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array {
    /// The type of an element.
    pub element: u32,
    /// The type of an index.
    pub index: u32,
    /// How many elements there are: 0 where that is not known.
    pub count: u32,
}

/// How an integer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    /// Whether it has a sign.
    pub signed: bool,
    /// Whether it is a character. Compilers set this seldom: names tell more.
    pub character: bool,
    /// Whether it is `_Bool`.
    pub boolean: bool,
    /// The offset of its lowest bit.
    pub offset: u32,
    /// How many bits it has.
    pub bits: u32,
}

/// A parameter of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'b> {
    /// Its name. Empty where that is not known.
    pub name: &'b [u8],
    /// The offset of its name among all strings.
    pub name_offset: u32,
    /// Its type. 0 as the last one means that any number of others follow.
    pub id: u32,
}

/// A variable in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The type of kind [`Kind::Var`], which has its name and type.
    pub id: u32,
    /// Its offset in the section.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
}

impl<'b> Type<'b> {
    /// The offset of its name among all strings. 0 for an anonymous type.
    pub fn name_offset(&self) -> u32 {
        self.name
    }

    /// The members of a structure or union. Empty for others.
    pub fn members(&self) -> impl Iterator<Item = Member<'b>> + use<'b> {
        let (owner, flag) = (self.owner, self.flag);
        self.entries(self.kind.is_aggregate(), 12).filter_map(move |entry| {
            let word = |at| owner.endian.u32_at(entry, at);
            let (name, id, offset) = (word(0)?, word(4)?, word(8)?);
            let (bit, bits) = if flag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            Some(Member { name: owner.string(name), name_offset: name, id, bit, bits })
        })
    }

    /// The elements of an array.
    pub fn array(&self) -> Option<Array> {
        let is_array = self.kind == Kind::Array;
        let word = |at| self.word(at).filter(|_| is_array);
        Some(Array { element: word(0)?, index: word(4)?, count: word(8)? })
    }

    /// How an integer is stored.
    pub fn integer(&self) -> Option<Integer> {
        let word = self.word(0).filter(|_| self.kind == Kind::Int)?;
        let (encoding, offset, bits) = (word >> 24 & 0xf, word >> 16 & 0xff, word & 0xff);
        let has = |bit| encoding & bit != 0;
        Some(Integer { signed: has(1), character: has(2), boolean: has(4), offset, bits })
    }

    /// The names and values of an enumeration. Empty for others. Values are signed if
    /// `kind_flag` is set.
    pub fn values(&self) -> impl Iterator<Item = (&'b [u8], i64)> + use<'b> {
        let (owner, flag) = (self.owner, self.flag);
        let size = if self.kind == Kind::Enum64 { 12 } else { 8 };
        let is_enumeration = matches!(self.kind, Kind::Enum | Kind::Enum64);
        self.entries(is_enumeration, size).filter_map(move |entry| {
            let word = |at| owner.endian.u32_at(entry, at);
            let (name, low) = (word(0)?, word(4)?);
            let value = match word(8) {
                Some(high) => (u64::from(high) << 32 | u64::from(low)).cast_signed(),
                None if flag => low.cast_signed().into(),
                None => low.into(),
            };
            Some((owner.string(name), value))
        })
    }

    /// The offsets of the names of [`Self::values`] among all strings.
    pub fn value_names(&self) -> impl Iterator<Item = u32> + use<'b> {
        let owner = self.owner;
        let size = if self.kind == Kind::Enum64 { 12 } else { 8 };
        let is_enumeration = matches!(self.kind, Kind::Enum | Kind::Enum64);
        self.entries(is_enumeration, size).filter_map(move |entry| owner.endian.u32_at(entry, 0))
    }

    /// The parameters of a function's prototype. Empty for others.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter<'b>> + use<'b> {
        let owner = self.owner;
        self.entries(self.kind == Kind::FuncProto, 8).filter_map(move |entry| {
            let word = |at| owner.endian.u32_at(entry, at);
            let name_offset = word(0)?;
            Some(Parameter { name: owner.string(name_offset), name_offset, id: word(4)? })
        })
    }

    /// The variables of a section. Empty for others.
    pub fn variables(&self) -> impl Iterator<Item = Variable> + use<'b> {
        let owner = self.owner;
        self.entries(self.kind == Kind::DataSec, 12).filter_map(move |entry| {
            let word = |at| owner.endian.u32_at(entry, at);
            Some(Variable { id: word(0)?, offset: word(4)?, size: word(8)? })
        })
    }

    fn entries(&self, any: bool, size: usize) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let tail = if any { self.tail } else { &[] };
        tail.chunks_exact(size)
    }
}

impl Btf {
    /// All types, by their numbers; of a module, its own ones only.
    pub fn types(&self) -> impl Iterator<Item = Type<'_>> {
        (self.first_id()..self.next_id()).filter_map(|id| self.by_id(id))
    }

    /// The sections of variables; of a module, its own ones only.
    pub fn data_sections(&self) -> impl Iterator<Item = Type<'_>> {
        self.data_sections.iter().filter_map(|id| self.by_id(*id))
    }

    /// All of it, as it was read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The section of strings: of a module, its own one only. Its first string is at
    /// [`Self::first_string`].
    pub fn strings(&self) -> &[u8] {
        self.header.strings.of(&self.bytes)
    }

    /// A string by its offset among all strings, as far as names are looked at. Empty past the
    /// end.
    pub fn string_at(&self, offset: u32) -> &[u8] {
        self.string(offset)
    }

    /// The BTF that this one continues.
    pub fn base(&self) -> Option<&std::sync::Arc<Self>> {
        self.base.as_ref()
    }
}
