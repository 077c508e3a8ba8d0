//! Functions: those of the kernel's code whose prototype BTF has.
//!
//! A name that several functions have is in BTF only if all of them have the same prototype. Some
//! that debuggers look up are written without one, as C takes what was not declared: `int f()`.

use std::collections::HashMap;

use vmcore_formats::btf::{Btf, Kind};

use super::abbreviations::Shape;
use super::types::Types;

/// Functions whose being there says something to debuggers.
///
/// drgn takes a kernel for one with a virtual memory map by `vmemmap_populate`, which is not in the
/// BTF of Linux 5.10: that has functions alone that ftrace can trace.
const LOOKED_UP: &[&[u8]] = &[b"vmemmap_populate"];

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
        let found = prototypes.get(function.name);
        if found.is_none() && LOOKED_UP.contains(&function.name) {
            write_undeclared(types, &function);
        }
        let Some(found) = found.filter(|_| function.size > 0) else { continue };
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

/// Writes a function whose prototype is not known.
fn write_undeclared(types: &mut Types<'_>, function: &Function<'_>) {
    let int = types.integer(4, true);
    types.entries.begin(Shape::UndeclaredFunction);
    types.entries.text(function.name);
    types.entries.byte(function.global.into());
    types.entries.address(function.at);
    types.entries.address(function.size);
    types.refer(Some(int));
}
