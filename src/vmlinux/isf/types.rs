//! Numbers, structures and enumerations of an ISF.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};
use vmcore_formats::btf::{Btf, Kind, Type};
use vmcore_formats::text::{self, MAX_NAME};

use crate::vmlinux::dwarf::Sound;

/// The most pointers and arrays of one type.
const MAX_DEPTH: usize = 32;
/// The most members of one structure, and values of one enumeration.
const MAX_MEMBERS: usize = 1 << 16;
/// Numbers by size and sign, as compilers name them.
const NUMBERS: [(&str, u32, bool); 8] = [
    ("signed char", 1, true),
    ("unsigned char", 1, false),
    ("short int", 2, true),
    ("short unsigned int", 2, false),
    ("int", 4, true),
    ("unsigned int", 4, false),
    ("long int", 8, true),
    ("long unsigned int", 8, false),
];

/// The types of a kernel, and the name of each.
#[derive(Debug)]
pub(in crate::vmlinux) struct TypeTable<'k> {
    btf: &'k Btf,
    names: HashMap<u32, String>,
    /// The structures by name, for those that are declared only.
    by_name: HashMap<String, u32>,
    sound: Sound,
}

impl<'k> TypeTable<'k> {
    pub(in crate::vmlinux) fn new(btf: &'k Btf) -> Self {
        // The typedef of what has no name: `typedef struct { ... } atomic_t`.
        let mut aliases: HashMap<u32, Type<'_>> = HashMap::new();
        for found in btf.types().filter(|found| found.kind == Kind::Typedef) {
            let target = btf.by_id(found.size_or_type).filter(|target| target.name().is_empty());
            if let Some(target) = target {
                aliases.entry(target.id).or_insert(found);
            }
        }
        let (mut names, mut by_name) = (HashMap::new(), HashMap::new());
        let mut taken = HashSet::new();
        // What has a name keeps it.
        let is_named = |found: &Type<'_>| !found.name().is_empty();
        let ours = || btf.types().filter(|found| found.kind.is_aggregate() || is_enum(found));
        for found in ours().filter(is_named).chain(ours().filter(|found| !is_named(found))) {
            let alias = aliases.get(&found.id).map(Type::name).filter(|name| !name.is_empty());
            let wanted = match (found.name(), alias) {
                ([], None) => format!("unnamed_{}", found.id),
                ([], Some(alias)) => text::lossy(alias, MAX_NAME),
                (name, _) => text::lossy(name, MAX_NAME),
            };
            let name = match taken.contains(&wanted) {
                true => format!("{wanted}___{}", found.id),
                false => wanted,
            };
            if found.kind.is_aggregate() {
                by_name.entry(name.clone()).or_insert(found.id);
            }
            taken.insert(name.clone());
            names.insert(found.id, name);
        }
        Self { btf, names, by_name, sound: Sound::of(btf) }
    }

    pub(super) fn btf(&self) -> &'k Btf {
        self.btf
    }

    /// A structure's number.
    pub(super) fn structure(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(in crate::vmlinux) fn base_types(&self) -> BTreeMap<String, Value> {
        let one = |size: u32, signed: bool, kind: &str| json!({ "size": size, "signed": signed, "kind": kind, "endian": "little" });
        let mut all = BTreeMap::new();
        all.insert("void".to_owned(), one(0, false, "void"));
        all.insert("pointer".to_owned(), one(8, false, "int"));
        for (name, size, signed) in NUMBERS {
            let kind = if size == 1 { "char" } else { "int" };
            all.insert(name.to_owned(), one(size, signed, kind));
        }
        for found in self.btf.types() {
            let kind = match (found.kind, found.integer()) {
                (Kind::Float, _) => "float",
                (_, Some(integer)) if integer.boolean => "bool",
                (_, Some(_)) if found.size_or_type == 1 => "char",
                (_, Some(_)) => "int",
                _ => continue,
            };
            let signed = found.kind == Kind::Float || found.integer().is_some_and(|one| one.signed);
            let name = text::lossy(found.name(), MAX_NAME);
            all.entry(name).or_insert_with(|| one(found.size_or_type, signed, kind));
        }
        all
    }

    pub(in crate::vmlinux) fn user_types(&self) -> impl Iterator<Item = (&str, Value)> {
        let all = self.btf.types().filter(|found| found.kind.is_aggregate());
        all.filter_map(|found| {
            let name = self.names.get(&found.id)?;
            let mut fields = Map::new();
            let mut unnamed = 0_usize;
            for member in found.members().take(MAX_MEMBERS) {
                if !self.is_inside(&found, member.id, member.bit, member.bits) {
                    continue;
                }
                let Some((offset, of)) = self.field(member.id, member.bit, member.bits) else {
                    continue;
                };
                let mut field = json!({ "type": of, "offset": offset });
                let mut name = text::lossy(member.name, MAX_NAME);
                if name.is_empty() {
                    name = format!("unnamed_field_{unnamed}");
                    unnamed = unnamed.saturating_add(1);
                    if let Some(field) = field.as_object_mut() {
                        field.insert("anonymous".to_owned(), Value::Bool(true));
                    }
                }
                fields.insert(name, field);
            }
            let kind = if found.kind == Kind::Union { "union" } else { "struct" };
            Some((&**name, json!({ "kind": kind, "size": found.size_or_type, "fields": fields })))
        })
    }

    /// Whether a member is inside of its structure, and does not contain that.
    fn is_inside(&self, structure: &Type<'_>, id: u32, bit: u32, bits: u32) -> bool {
        let Some(size) = self.sound.size(id).filter(|_| self.sound.allows(structure.id, id)) else {
            return false;
        };
        let length = if bits > 0 { bits.into() } else { size.saturating_mul(8) };
        let end = u64::from(bit).saturating_add(length);
        end <= u64::from(structure.size_or_type).saturating_mul(8)
    }

    /// A member's offset in bytes, and its type.
    fn field(&self, id: u32, bit: u32, bits: u32) -> Option<(u32, Value)> {
        if bits == 0 {
            return bit.is_multiple_of(8).then(|| (bit / 8, self.descriptor(id)));
        }
        // A bit field is read as a number of its type, which begins at a multiple of its size.
        let found = self.btf.strip(id)?;
        let unit = found.size_or_type.checked_mul(8).filter(|unit| (8..=64).contains(unit))?;
        let start = (bit / unit).checked_mul(unit)?;
        let crosses = bit.wrapping_sub(start).saturating_add(bits) > unit;
        let start = if crosses { bit / 8 * 8 } else { start };
        let of = self.descriptor(found.id);
        let position = bit.saturating_sub(start);
        let of = json!({
            "kind": "bitfield", "bit_position": position, "bit_length": bits, "type": of
        });
        Some((start / 8, of))
    }

    pub(in crate::vmlinux) fn enumerations(&self) -> impl Iterator<Item = (&str, Value)> {
        self.btf.types().filter(is_enum).filter_map(|found| {
            let name = self.names.get(&found.id)?;
            let values = found.values().take(MAX_MEMBERS);
            let constants: Map<String, Value> =
                values.map(|(name, value)| (text::lossy(name, MAX_NAME), value.into())).collect();
            let size = found.size_or_type;
            let fits =
                |(_, other, signed): &&(&str, u32, bool)| (*other, *signed) == (size, found.flag);
            let base = NUMBERS.iter().find(fits).map_or("unsigned int", |(name, ..)| name);
            Some((&**name, json!({ "size": size, "base": base, "constants": constants })))
        })
    }

    /// How a type is written where it is used.
    pub(super) fn descriptor(&self, id: u32) -> Value {
        self.descriptor_of(id, 0)
    }

    fn descriptor_of(&self, id: u32, depth: usize) -> Value {
        let void = || json!({ "kind": "base", "name": "void" });
        let Some(found) = self.btf.strip(id).filter(|_| depth < MAX_DEPTH) else { return void() };
        let deeper = depth.saturating_add(1);
        let named = |kind: &str, id: u32| match self.names.get(&id) {
            Some(name) => json!({ "kind": kind, "name": name }),
            None => void(),
        };
        match found.kind {
            Kind::Ptr => {
                json!({ "kind": "pointer", "subtype": self.descriptor_of(found.size_or_type, deeper) })
            }
            Kind::Array => {
                let array = found.array();
                let element = array.map_or(0, |array| array.element);
                let count = array.map_or(0, |array| array.count);
                json!({ "kind": "array", "count": count, "subtype": self.descriptor_of(element, deeper) })
            }
            Kind::Struct => named("struct", found.id),
            Kind::Union => named("union", found.id),
            Kind::Enum | Kind::Enum64 => named("enum", found.id),
            Kind::FuncProto | Kind::Func => json!({ "kind": "function" }),
            // What is declared only is the structure of that name.
            Kind::Fwd => match self.structure(&text::lossy(found.name(), MAX_NAME)) {
                Some(id) => named(if found.flag { "union" } else { "struct" }, id),
                None => void(),
            },
            Kind::Int | Kind::Float => {
                json!({ "kind": "base", "name": text::lossy(found.name(), MAX_NAME) })
            }
            _ => void(),
        }
    }
}

fn is_enum(found: &Type<'_>) -> bool {
    matches!(found.kind, Kind::Enum | Kind::Enum64)
}

#[cfg(test)]
mod tests {
    use vmcore_formats::endian::Endian;

    use super::*;
    use crate::kernel::test_kernel::btf::Builder;

    #[test]
    fn structures_have_fields_by_offset_and_what_has_no_name_gets_one() {
        let mut btf = Builder::new();
        let int = btf.plain("int", 1, 4, &[1 << 24 | 32]);
        let inner = btf.aggregate(4, "", 4, &[("counter", int, 0, 0)]);
        let alias = btf.plain("atomic_t", 8, inner, &[]);
        let declared = btf.plain("task", 7, 0, &[]);
        let pointer = btf.plain("", 2, declared, &[]);
        let union = btf.aggregate(5, "", 4, &[("value", int, 0, 0)]);
        let members = [
            ("usage", alias, 0, 0),
            ("flag", int, 35, 3),
            ("next", pointer, 64, 0),
            ("", union, 128, 0),
        ];
        btf.aggregate(4, "task", 24, &members);
        btf.aggregate(4, "task", 8, &[]);
        btf.enumeration(6, "state", &[("RUNNING", 0), ("LOST", -1)]);
        let btf = Btf::parse(btf.build(), Endian::Little).unwrap();
        let table = TypeTable::new(&btf);
        let types: HashMap<_, _> = table.user_types().collect();
        let task = &types["task"];
        assert_eq!(task["size"], 24);
        let usage = json!({ "type": { "kind": "struct", "name": "atomic_t" }, "offset": 0 });
        assert_eq!(task["fields"]["usage"], usage);
        let flag = &task["fields"]["flag"];
        assert_eq!((&flag["offset"], &flag["type"]["bit_position"]), (&json!(4), &json!(3)));
        assert_eq!(task["fields"]["next"]["type"]["subtype"]["name"], "task");
        assert_eq!(task["fields"]["unnamed_field_0"]["anonymous"], true);
        assert!(types.contains_key("task___8"), "{types:?}");
        let states: HashMap<_, _> = table.enumerations().collect();
        assert_eq!(states["state"]["base"], "int");
        assert_eq!(states["state"]["constants"]["LOST"], -1);
        assert_eq!(table.base_types()["int"]["signed"], true);
    }
}
