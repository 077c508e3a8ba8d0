//! Functions: those of the kernel's code whose prototype BTF has.
//!
//! A name that several functions have is in BTF only if all of them have the same prototype.

use std::collections::HashMap;

use vmcore_formats::btf::{Btf, Kind};

use super::abbreviations::Shape;
use super::types::Types;

/// A function of the kernel's code.
#[derive(Clone, Copy, Debug)]
pub(in crate::vmlinux) struct Function<'a> {
    /// Its name.
    pub(in crate::vmlinux) name: &'a [u8],
    /// Where it begins.
    pub(in crate::vmlinux) at: u64,
    /// How many bytes it has.
    pub(in crate::vmlinux) size: u64,
    /// Whether other files can name it.
    pub(in crate::vmlinux) global: bool,
}

/// Writes functions.
pub(super) fn write<'a>(types: &mut Types<'_>, functions: impl Iterator<Item = Function<'a>>) {
    let btf: &Btf = types.btf;
    let prototypes: HashMap<&[u8], _> = btf
        .types()
        .filter(|found| found.kind == Kind::Func)
        .map(|found| (found.name(), found))
        .collect();
    for function in functions {
        let Some(found) = prototypes.get(function.name).filter(|_| function.size > 0) else {
            continue;
        };
        let prototype = btf.by_id(found.size_or_type);
        let Some(prototype) = prototype.filter(|found| found.kind == Kind::FuncProto) else {
            continue;
        };
        if types.entries.is_full() {
            return;
        }
        let to = types.target(prototype.id, prototype.size_or_type);
        types.entries.begin(to.map_or(Shape::VoidFunction, |_| Shape::Function));
        types.name(found.name_offset());
        types.entries.byte(function.global.into());
        types.entries.address(function.at);
        types.entries.address(function.size);
        types.refer(to);
        types.parameters(&prototype, true);
        types.entries.end_children();
    }
}
