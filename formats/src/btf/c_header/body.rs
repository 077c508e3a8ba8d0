//! The members of a structure or union, so that a compiler places them as BTF does.

use std::collections::HashSet;

use super::Writer;
use super::names::identifier;
use crate::btf::{Kind, Member, Type};

/// The most members of one structure.
const MAX_MEMBERS: usize = 1 << 14;

/// A structure's members in braces.
pub(super) struct Body {
    pub(super) text: String,
    /// What a compiler aligns it to.
    pub(super) align: u64,
    pub(super) is_packed: bool,
}

/// A member that is declared.
struct Part {
    text: String,
    /// Its first bit, and how many there are.
    bit: u64,
    bits: u64,
    align: u64,
    /// The bits of what a bit field is in; 0 for other members.
    unit: u64,
}

impl Writer<'_> {
    /// The members of a structure or union. Types that it has by value are written before.
    pub(super) fn body(&mut self, found: &Type<'_>, indent: usize, depth: usize) -> Body {
        let mut parts = Vec::new();
        let mut names = HashSet::new();
        let size = u64::from(found.size_or_type).saturating_mul(8);
        let mut end = 0_u64;
        for member in found.members().take(MAX_MEMBERS) {
            self.spend(1);
            if self.is_full {
                break;
            }
            let part = self.part(&member, indent.saturating_add(1), depth, &mut names);
            let is_union = found.kind == Kind::Union;
            // A structure's members follow one another, and are in it.
            let fits = |part: &Part| {
                let inside = part.bit.checked_add(part.bits).is_some_and(|end| end <= size);
                inside && if is_union { part.bit == 0 } else { part.bit >= end }
            };
            match part.filter(fits) {
                Some(part) => {
                    end = part.bit.saturating_add(part.bits);
                    parts.push(part);
                }
                None => {
                    let of = String::from_utf8_lossy(found.name()).into_owned();
                    let name = String::from_utf8_lossy(member.name).into_owned();
                    self.leave_out(format!("the member {name} of {of} is left out"));
                }
            }
        }
        let place = if found.kind == Kind::Union { union } else { structure };
        let natural = place(&parts, size, false);
        let is_packed = natural.is_none();
        let (lines, align) = natural.or_else(|| place(&parts, size, true)).unwrap_or_default();
        let tabs = "\t".repeat(indent.saturating_add(1));
        let mut text = "{\n".to_owned();
        for line in lines {
            text.push_str(&format!("{tabs}{line};\n"));
        }
        text.push_str(&format!("{}}}", "\t".repeat(indent)));
        self.spend(text.len());
        Body { text, align: align.max(1), is_packed }
    }

    fn part(
        &mut self,
        member: &Member<'_>,
        indent: usize,
        depth: usize,
        names: &mut HashSet<String>,
    ) -> Option<Part> {
        let mut name = String::new();
        if !member.name.is_empty() {
            name = identifier(member.name, member.bit);
            if !names.insert(name.clone()) {
                name = format!("{name}___{}", member.bit);
                names.insert(name.clone());
            }
        }
        let bytes = self.btf.size_of(member.id)?;
        let bit = u64::from(member.bit);
        if member.bits > 0 {
            let unit = bytes.checked_mul(8)?;
            let target = self.btf.strip(member.id)?;
            let is_number = matches!(target.kind, Kind::Int | Kind::Enum | Kind::Enum64);
            let declared =
                self.declared(member.id, &format!("{name}: {}", member.bits), true, indent, depth)?;
            let bits = u64::from(member.bits);
            let fits = is_number && bits <= unit && unit <= 64;
            return fits.then_some(Part { text: declared.text, bit, bits, align: bytes, unit });
        }
        let bits = bytes.checked_mul(8)?;
        let declared = bit
            .is_multiple_of(8)
            .then(|| self.declared(member.id, &name, true, indent, depth))
            .flatten();
        if let Some(declared) = declared {
            return Some(Part { text: declared.text, bit, bits, align: declared.align, unit: 0 });
        }
        // Its size is known, and its type cannot be written: it has itself, or is too deep.
        let name = if name.is_empty() { format!("unnamed_{bit}") } else { name };
        let text = format!("unsigned char {name}[{bytes}]");
        bit.is_multiple_of(8).then_some(Part { text, bit, bits, align: 1, unit: 0 })
    }
}

/// The lines of a structure, and its alignment. `None` if a compiler would place a member
/// elsewhere.
fn structure(parts: &[Part], size: u64, packed: bool) -> Option<(Vec<String>, u64)> {
    let mut lines = Vec::new();
    let (mut cursor, mut align) = (0_u64, 1_u64);
    for part in parts {
        let own = if packed { 1 } else { part.align.max(1) };
        align = align.max(own);
        let natural = |cursor: u64| {
            if part.unit > 0 {
                // A bit field is within one unit of its type, but not in a packed structure.
                let crosses = cursor.checked_rem(part.unit).unwrap_or(0).saturating_add(part.bits)
                    > part.unit;
                if crosses && !packed { cursor.next_multiple_of(part.unit) } else { cursor }
            } else {
                cursor.next_multiple_of(own.saturating_mul(8))
            }
        };
        if natural(cursor) != part.bit {
            pad(&mut lines, cursor, part.bit);
            if natural(part.bit) != part.bit || part.bit < cursor {
                return None;
            }
        }
        lines.push(part.text.clone());
        cursor = part.bit.saturating_add(part.bits);
    }
    let unit = align.saturating_mul(8);
    if cursor.next_multiple_of(unit) != size {
        if !size.is_multiple_of(unit) {
            return None;
        }
        pad(&mut lines, cursor, size);
    }
    Some((lines, align))
}

/// The lines of a union, and its alignment.
fn union(parts: &[Part], size: u64, packed: bool) -> Option<(Vec<String>, u64)> {
    let align = parts.iter().map(|part| if packed { 1 } else { part.align.max(1) }).max();
    let align = align.unwrap_or(1);
    if !size.is_multiple_of(align.saturating_mul(8)) {
        return None;
    }
    let mut lines: Vec<String> = parts.iter().map(|part| part.text.clone()).collect();
    let longest = parts.iter().map(|part| part.bits.next_multiple_of(8)).max().unwrap_or(0);
    if longest.next_multiple_of(align.saturating_mul(8)) != size {
        lines.push(format!("unsigned char __padding[{}]", size / 8));
    }
    Some((lines, align))
}

/// Bits without a name, from one bit to another.
fn pad(lines: &mut Vec<String>, from: u64, to: u64) {
    let byte = from.next_multiple_of(8).min(to);
    if byte > from {
        lines.push(format!("unsigned char: {}", byte.saturating_sub(from)));
    }
    let bytes = to.saturating_sub(byte) / 8;
    if bytes > 0 {
        lines.push(format!("unsigned char __padding_{}[{bytes}]", byte / 8));
    }
    let rest = to.saturating_sub(byte) % 8;
    if rest > 0 {
        lines.push(format!("unsigned char: {rest}"));
    }
}
