//! Types of BTF as DWARF has them.
//!
//! ```text
//! INT FLOAT          base_type               STRUCT UNION   structure_type, union_type, members
//! PTR                pointer_type            FWD            the same with declaration
//! ARRAY              array_type, subrange    ENUM ENUM64    enumeration_type, enumerators
//! TYPEDEF CONST ...  typedef, const_type     FUNC_PROTO     subroutine_type, parameters
//! ```
//!
//! `TYPE_TAG` is passed over. An array of 0 elements has no count: BTF does not tell a flexible
//! array from an empty one, and kernels have more of the first. A member that is outside of its
//! structure, or whose type has no size, is left out.

use gimli::constants::{
    DW_ATE_boolean, DW_ATE_float, DW_ATE_signed, DW_ATE_signed_char, DW_ATE_unsigned,
    DW_ATE_unsigned_char, DwAte,
};
use vmcore_formats::btf::{Btf, Kind, Type};

use super::abbreviations::Shape;
use super::entries::{Entries, TypeRef};
use super::sound::{MAX_PARAMETERS, Sound};
use super::strings::Strings;

/// The size of a pointer.
const POINTER: u8 = 8;
/// The longest chain of tags.
const MAX_TAGS: usize = 32;

/// C's integers, by the names that BTF and compilers have for them: size, and whether signed.
const INTEGERS: &[(&str, u64, bool)] = &[
    ("unsigned char", 1, false),
    ("short unsigned int", 2, false),
    ("unsigned int", 4, false),
    ("long unsigned int", 8, false),
    ("signed char", 1, true),
    ("short int", 2, true),
    ("int", 4, true),
    ("long int", 8, true),
    ("char", 1, true),
];

/// Types that are being written.
#[derive(Debug)]
pub(super) struct Types<'b> {
    pub(super) btf: &'b Btf,
    pub(super) sound: Sound,
    pub(super) entries: Entries,
    pub(super) strings: Strings,
    /// The entry used for a type that is not known.
    pub(super) unknown: TypeRef,
    /// C's integers: what enumerations are compatible with, and variables are made of.
    integers: Vec<(&'static str, u64, bool, TypeRef)>,
    left_out: u32,
}

impl<'b> Types<'b> {
    /// Begins with the integers that have to be there.
    pub(super) fn new(btf: &'b Btf, sound: Sound, strings: Strings, mut entries: Entries) -> Self {
        let mut own = |name: &str, encoding: DwAte, size: u64| {
            let at = entries.begin(Shape::OwnBase);
            entries.text(name.as_bytes());
            entries.byte(encoding.0);
            entries.number(size);
            TypeRef::At(at)
        };
        let unknown = own("unknown", DW_ATE_unsigned_char, 1);
        let mut integers = Vec::new();
        for (name, size, signed) in INTEGERS {
            let encoding = match (*size, *signed) {
                (1, true) => DW_ATE_signed_char,
                (1, false) => DW_ATE_unsigned_char,
                (_, true) => DW_ATE_signed,
                (_, false) => DW_ATE_unsigned,
            };
            integers.push((*name, *size, *signed, own(name, encoding, *size)));
        }
        Self { btf, sound, entries, strings, unknown, integers, left_out: 0 }
    }

    /// An integer that needs not be in BTF.
    pub(super) fn integer(&self, size: u64, signed: bool) -> TypeRef {
        let found = self.integers.iter().find(|(_, of, sign, _)| (*of, *sign) == (size, signed));
        found.map_or(self.unknown, |(_, _, _, at)| *at)
    }

    /// The same by its name, with its size.
    pub(super) fn named_integer(&self, name: &str) -> Option<(u64, TypeRef)> {
        let found = self.integers.iter().find(|(other, ..)| *other == name);
        found.map(|(_, size, _, at)| (*size, *at))
    }

    /// The value of an enumerator, whatever its enumeration.
    pub(super) fn enumerator(&self, name: &str) -> Option<u64> {
        let is_enumeration = |found: &Type<'_>| matches!(found.kind, Kind::Enum | Kind::Enum64);
        let mut values = self.btf.types().filter(is_enumeration).flat_map(|found| found.values());
        let (_, value) = values.find(|(other, _)| *other == name.as_bytes())?;
        u64::try_from(value).ok()
    }

    /// What was wrong, as sentences.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = self.sound.findings();
        if self.left_out > 0 {
            findings.push(format!(
                "{} members were left out: they are outside of their structures, or of no type",
                self.left_out
            ));
        }
        if self.entries.is_full() {
            findings.push("the kernel has more types than are written".to_owned());
        }
        findings
    }

    /// Writes a type, if it is one that variables can have.
    pub(super) fn write(&mut self, found: &Type<'b>) {
        if self.entries.is_full() {
            return;
        }
        match found.kind {
            Kind::Int | Kind::Float => self.base(found),
            Kind::Ptr => {
                let to = self.target(found.id, found.size_or_type);
                let shape = to.map_or(Shape::VoidPointer, |_| Shape::Pointer);
                self.entries.begin_type(found.id, shape);
                self.entries.byte(POINTER);
                self.refer(to);
            }
            Kind::Array => self.array(found),
            Kind::Struct | Kind::Union => self.aggregate(found),
            Kind::Enum | Kind::Enum64 => self.enumeration(found),
            Kind::Fwd => self.declaration(found),
            Kind::Typedef => {
                self.alias(found, Shape::Typedef, Shape::VoidTypedef);
            }
            Kind::Const => self.alias(found, Shape::Const, Shape::VoidConst),
            Kind::Volatile => self.alias(found, Shape::Volatile, Shape::VoidVolatile),
            Kind::Restrict => self.alias(found, Shape::Restrict, Shape::VoidRestrict),
            Kind::FuncProto => self.prototype(found),
            _ => {}
        }
    }

    /// Writes that there is a structure or a union of this name, for those that point to it.
    pub(super) fn declaration(&mut self, found: &Type<'b>) {
        let is_union = found.kind == Kind::Union || (found.kind == Kind::Fwd && found.flag);
        let shape = if is_union { Shape::DeclaredUnion } else { Shape::DeclaredStruct };
        self.entries.begin_type(found.id, shape);
        self.name(found.name_offset());
    }

    /// The type that another refers to. `None` for `void`, and where the reference is cut.
    pub(super) fn target(&self, from: u32, to: u32) -> Option<TypeRef> {
        if !self.sound.allows(from, to) {
            return None;
        }
        let (mut from, mut to) = (from, to);
        for _ in 0..MAX_TAGS {
            let found = self.btf.by_id(to)?;
            match found.kind {
                Kind::TypeTag => (from, to) = (to, found.size_or_type),
                Kind::Func | Kind::Var | Kind::DataSec | Kind::DeclTag | Kind::Unknown(_) => {
                    return None;
                }
                _ => return self.sound.allows(from, to).then_some(TypeRef::Id(to)),
            }
        }
        None
    }

    pub(super) fn name(&mut self, name: u32) {
        let offset = self.strings.offset(self.btf, name);
        self.entries.word(offset);
    }

    pub(super) fn refer(&mut self, to: Option<TypeRef>) {
        if let Some(to) = to {
            self.entries.reference(to);
        }
    }

    fn base(&mut self, found: &Type<'b>) {
        let signed = found.integer().is_some_and(|integer| integer.signed);
        let boolean = found.integer().is_some_and(|integer| integer.boolean);
        let encoding = match found.name() {
            _ if found.kind == Kind::Float => DW_ATE_float,
            _ if boolean => DW_ATE_boolean,
            b"char" | b"signed char" => DW_ATE_signed_char,
            b"unsigned char" => DW_ATE_unsigned_char,
            _ if signed => DW_ATE_signed,
            _ => DW_ATE_unsigned,
        };
        self.entries.begin_type(found.id, Shape::Base);
        self.name(found.name_offset());
        self.entries.byte(encoding.0);
        // No integer has more.
        self.entries.number(u64::from(found.size_or_type).min(16));
    }

    fn alias(&mut self, found: &Type<'b>, shape: Shape, without_type: Shape) {
        let to = self.target(found.id, found.size_or_type);
        self.entries.begin_type(found.id, to.map_or(without_type, |_| shape));
        if found.kind == Kind::Typedef {
            self.name(found.name_offset());
        }
        self.refer(to);
    }

    fn array(&mut self, found: &Type<'b>) {
        let Some(array) = found.array() else { return };
        let element = self.target(found.id, array.element).unwrap_or(self.unknown);
        let count = (array.count > 0 && self.sound.size(found.id).is_some()).then_some(array.count);
        let at = self.begin_array(element, count.map(u64::from));
        self.entries.set_type(found.id, at);
    }

    /// Writes an array, and gives where it is.
    pub(super) fn begin_array(&mut self, element: TypeRef, count: Option<u64>) -> u32 {
        let at = self.entries.begin(Shape::Array);
        self.entries.reference(element);
        match count {
            Some(count) => {
                self.entries.begin(Shape::Count);
                self.entries.number(count);
            }
            None => {
                self.entries.begin(Shape::NoCount);
            }
        }
        self.entries.end_children();
        at
    }

    fn aggregate(&mut self, found: &Type<'b>) {
        let is_union = found.kind == Kind::Union;
        let named = found.name_offset() != 0;
        self.entries.begin_type(
            found.id,
            match (is_union, named) {
                (false, true) => Shape::Struct,
                (false, false) => Shape::NamelessStruct,
                (true, true) => Shape::Union,
                (true, false) => Shape::NamelessUnion,
            },
        );
        if named {
            self.name(found.name_offset());
        }
        self.entries.number(found.size_or_type.into());
        let bits = u64::from(found.size_or_type).saturating_mul(8);
        for member in found.members() {
            let start = u64::from(member.bit);
            let size = self.sound.size(member.id).map(|size| size.saturating_mul(8));
            let (to, size) = match (self.target(found.id, member.id), size) {
                (Some(to), Some(size)) if u64::from(member.bits) <= size => (to, size),
                _ => {
                    self.left_out = self.left_out.saturating_add(1);
                    continue;
                }
            };
            let length = if member.bits > 0 { member.bits.into() } else { size };
            if start.saturating_add(length) > bits || (member.bits == 0 && start % 8 != 0) {
                self.left_out = self.left_out.saturating_add(1);
                continue;
            }
            match (member.bits, member.name_offset) {
                (0, 0) => {
                    self.entries.begin(Shape::NamelessMember);
                    self.entries.reference(to);
                    self.entries.number(start / 8);
                }
                (0, name) => {
                    self.entries.begin(Shape::Member);
                    self.name(name);
                    self.entries.reference(to);
                    self.entries.number(start / 8);
                }
                (width, name) => {
                    self.entries.begin(Shape::BitField);
                    self.name(name);
                    self.entries.reference(to);
                    self.entries.number(width.into());
                    self.entries.number(start);
                }
            }
        }
        self.entries.end_children();
    }

    fn enumeration(&mut self, found: &Type<'b>) {
        let size = u64::from(found.size_or_type);
        let size = if matches!(size, 1 | 2 | 4 | 8) { size } else { 4 };
        let named = found.name_offset() != 0;
        let shape = if named { Shape::Enum } else { Shape::NamelessEnum };
        self.entries.begin_type(found.id, shape);
        if named {
            self.name(found.name_offset());
        }
        self.entries.number(size);
        let compatible = self.integer(size, found.flag);
        self.entries.reference(compatible);
        for ((_, value), name) in found.values().zip(found.value_names()) {
            if found.flag {
                self.entries.begin(Shape::Signed);
                self.name(name);
                self.entries.signed(value);
            } else {
                self.entries.begin(Shape::Unsigned);
                self.name(name);
                self.entries.number(value.cast_unsigned());
            }
        }
        self.entries.end_children();
    }

    fn prototype(&mut self, found: &Type<'b>) {
        let to = self.target(found.id, found.size_or_type);
        let shape = to.map_or(Shape::VoidPrototype, |_| Shape::Prototype);
        self.entries.begin_type(found.id, shape);
        self.refer(to);
        self.parameters(found, false);
        self.entries.end_children();
    }

    /// The parameters of a prototype.
    pub(super) fn parameters(&mut self, found: &Type<'b>, with_names: bool) {
        for parameter in found.parameters().take(MAX_PARAMETERS) {
            if parameter.id == 0 {
                self.entries.begin(Shape::OtherParameters);
                continue;
            }
            let to = self.target(found.id, parameter.id).unwrap_or(self.unknown);
            if with_names && parameter.name_offset != 0 {
                self.entries.begin(Shape::Parameter);
                self.name(parameter.name_offset);
            } else {
                self.entries.begin(Shape::NamelessParameter);
            }
            self.entries.reference(to);
        }
    }
}
