//! Types that are written in C: found in BTF, and what is made of them.

use vmcore_formats::btf::Kind;

use super::abbreviations::Shape;
use super::declaration::{Base, Count, Declaration};
use super::entries::TypeRef;
use super::types::Types;

const POINTER: u64 = 8;
/// No type of C that variables of the table have begins at a multiple of more.
const MAX_ALIGNMENT: u64 = 8;

/// Writes what is needed for a type that takes at most `available` bytes. `None` if BTF has no
/// such type, or it takes more.
pub(super) fn write(
    types: &mut Types<'_>,
    declared: &Declaration<'_>,
    available: u64,
) -> Option<TypeRef> {
    let (base, base_size) = base(types, declared.base)?;
    let element = if declared.pointers > 0 { POINTER } else { base_size? };
    let mut counts = Vec::new();
    for count in &declared.counts {
        counts.push(match *count {
            Count::Number(number) => Some(number),
            Count::Enumerator(name) => Some(types.enumerator(name)?),
            Count::Fit | Count::Used => None,
        });
    }
    let fixed = counts.iter().flatten().copied().try_fold(1_u64, u64::checked_mul)?;
    let unit = element.checked_mul(fixed).filter(|unit| *unit > 0 && *unit <= available)?;
    let mut at = base;
    for _ in 0..declared.pointers {
        let shape = at.map_or(Shape::VoidPointer, |_| Shape::Pointer);
        let pointer = types.entries.begin(shape);
        types.entries.byte(8);
        types.refer(at);
        at = Some(TypeRef::At(pointer));
    }
    for count in counts.iter().rev() {
        let count = count.unwrap_or(available / unit);
        at = Some(TypeRef::At(types.begin_array(at?, Some(count))));
    }
    at
}

/// A type of BTF, and its size. `void` has neither.
fn base(types: &mut Types<'_>, base: Base<'_>) -> Option<(Option<TypeRef>, Option<u64>)> {
    match base {
        Base::Members(body) => nameless(types, body),
        _ => of_btf(types, base),
    }
}

/// Writes a structure without a name, of members that each have a type of BTF.
fn nameless(types: &mut Types<'_>, body: &str) -> Option<(Option<TypeRef>, Option<u64>)> {
    let mut members = Vec::new();
    let mut end = 0_u64;
    for member in body.split(';').map(str::trim).filter(|member| !member.is_empty()) {
        let (text, name) = member.rsplit_once(' ')?;
        let declared = Declaration::parse(text)?;
        if declared.pointers > 0 || !declared.counts.is_empty() {
            return None;
        }
        let (of, size) = of_btf(types, declared.base)?;
        let size = size.filter(|size| *size > 0)?;
        let at = end.checked_next_multiple_of(MAX_ALIGNMENT.min(size.next_power_of_two()))?;
        members.push((name, of?, at));
        end = at.checked_add(size)?;
    }
    let size = end.checked_next_multiple_of(MAX_ALIGNMENT)?;
    let structure = types.entries.begin(Shape::NamelessStruct);
    types.entries.number(size);
    for (name, of, at) in members {
        types.entries.begin(Shape::DeclaredMember);
        types.entries.text(name.as_bytes());
        types.entries.reference(of);
        types.entries.number(at);
    }
    types.entries.end_children();
    Some((Some(TypeRef::At(structure)), Some(size)))
}

fn of_btf(types: &Types<'_>, base: Base<'_>) -> Option<(Option<TypeRef>, Option<u64>)> {
    let found = |name: &str, kinds: &[Kind]| {
        let named = types.btf.named(name);
        let id = named.iter().find(|found| kinds.contains(&found.kind))?.id;
        Some((Some(TypeRef::Id(id)), types.sound.size(id)))
    };
    match base {
        Base::Void => Some((None, None)),
        Base::Struct(name) => found(name, &[Kind::Struct]),
        Base::Union(name) => found(name, &[Kind::Union]),
        Base::Enum(name) => found(name, &[Kind::Enum, Kind::Enum64]),
        Base::Named(name) => match types.named_integer(name) {
            Some((size, at)) => Some((Some(at), Some(size))),
            None => found(name, &[Kind::Typedef]),
        },
        Base::Members(_) => None,
    }
}
