//! Variables: where each is, and its type.

use gimli::constants::DW_OP_addr;

use super::abbreviations::Shape;
use super::entries::TypeRef;
use super::types::Types;

/// A variable of the kernel.
#[derive(Clone, Copy, Debug)]
pub(in crate::vmlinux) struct Variable<'a> {
    /// Its name.
    pub(in crate::vmlinux) name: &'a [u8],
    /// Where it is.
    pub(in crate::vmlinux) at: u64,
    /// Its type.
    pub(in crate::vmlinux) of: TypeRef,
    /// Whether other files can name it.
    pub(in crate::vmlinux) global: bool,
}

/// Writes a variable.
pub(super) fn write(types: &mut Types<'_>, variable: &Variable<'_>) {
    if types.entries.is_full() {
        return;
    }
    types.entries.begin(Shape::Variable);
    types.entries.text(variable.name);
    types.entries.byte(variable.global.into());
    types.entries.reference(variable.of);
    // A number and an address.
    types.entries.number(9);
    types.entries.byte(DW_OP_addr.0);
    types.entries.address(variable.at);
}

/// Writes an `int` whose value is known, and which is nowhere in memory.
pub(super) fn write_constant(types: &mut Types<'_>, name: &str, value: i64) {
    let of = types.integer(4, true);
    types.entries.begin(Shape::Constant);
    types.entries.text(name.as_bytes());
    types.entries.byte(0);
    types.entries.reference(of);
    types.entries.signed(value);
}
