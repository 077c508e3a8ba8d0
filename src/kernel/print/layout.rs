//! A type's layout: members with their offsets, or the values of an enumeration.

use serde::{Deserialize, Serialize};
use vmcore_formats::btf::{Btf, Kind};

use super::types::{Lookup, Named, Shape, shown};
use super::{Printed, Query};

/// The most members of a layout, those of anonymous members included.
const MAX_MEMBERS: usize = 1 << 14;

/// What a type consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The type behind a typedef.
    pub alias_of: Option<String>,
    /// Members of a structure or union.
    pub members: Vec<LayoutMember>,
    /// Values of an enumeration.
    pub values: Vec<(String, i64)>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutMember {
    /// Its offset in bits, from the start of the whole type.
    pub bit: u64,
    /// The width of a bit field in bits. 0 for other members.
    pub bits: u32,
    /// Its size in bytes, if its type has one.
    pub size: Option<u64>,
    /// Its declaration in C, without what is inside of an anonymous structure.
    pub declaration: String,
    /// Its name; empty if it has none.
    pub name: String,
    /// The members of an anonymous structure or union.
    pub members: Vec<Self>,
}

/// The layout of a type.
pub(super) fn of(lookup: &Lookup<'_>, named: &Named, query: &Query) -> Printed {
    let of = &named.of;
    let mut layout = Layout::default();
    if let Shape::Plain(found) = of.shape() {
        if let Some(alias) = of.btf.by_id(of.id).filter(|alias| alias.kind == Kind::Typedef) {
            layout.alias_of = Some(of.btf.c_name(alias.size_or_type));
        }
        let values = found.values().take(MAX_MEMBERS);
        layout.values = values.map(|(name, value)| (shown(name), value)).collect();
        let mut left = MAX_MEMBERS;
        layout.members = members(&of.btf, found.id, 0, query.depth, &mut left);
        if left == 0 {
            lookup.note(format!("members beyond {MAX_MEMBERS} are left out"));
        }
    }
    if !named.members.is_empty() {
        let wanted = |member: &LayoutMember| named.members.contains(&member.name);
        layout.members = flat(layout.members).into_iter().filter(wanted).collect();
    }
    Printed {
        type_name: of.name(),
        size: of.size(),
        module: of.module.clone(),
        layout: Some(layout),
        objects: Vec::new(),
        left_out: 0,
        findings: Vec::new(),
    }
}

fn members(btf: &Btf, id: u32, base: u64, depth: usize, left: &mut usize) -> Vec<LayoutMember> {
    let Some(found) = btf.by_id(id) else { return Vec::new() };
    let mut all = Vec::new();
    for member in found.members() {
        if *left == 0 {
            return all;
        }
        *left = left.saturating_sub(1);
        let bit = base.saturating_add(member.bit.into());
        let inner = btf.strip(member.id).filter(|inner| inner.kind.is_aggregate());
        let inner = inner.filter(|_| member.name.is_empty() && depth > 1);
        let name = shown(member.name);
        let declared = if member.bits > 0 { format!("{name} : {}", member.bits) } else { name };
        let declaration = btf.c_declaration(member.id, &declared);
        let members = inner.map_or_else(Vec::new, |inner| {
            members(btf, inner.id, bit, depth.saturating_sub(1), left)
        });
        let (bits, size) = (member.bits, btf.size_of(member.id));
        all.push(LayoutMember { bit, bits, size, declaration, name: shown(member.name), members });
    }
    all
}

/// All members, those of anonymous members in place of these.
fn flat(members: Vec<LayoutMember>) -> Vec<LayoutMember> {
    let mut all = Vec::new();
    for mut member in members {
        let inner = std::mem::take(&mut member.members);
        if member.name.is_empty() { all.extend(flat(inner)) } else { all.push(member) }
    }
    all
}
