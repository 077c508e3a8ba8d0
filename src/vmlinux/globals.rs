//! Which variables the kernel has, where each is, and its type.
//!
//! ```text
//! BTF's sections of variables    per-CPU ones; all of them where the kernel has global_var
//! known_variables                others, checked against BTF and symbols
//! ```
//!
//! It is the same in each boot of a build. Memory is looked at only for where an array of constants
//! ends, whose length nothing else says.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use vmcore_formats::btf::{Btf, Kind};

use super::dwarf::{Declaration, Dwarf, TypeRef, Variable};
use super::linked::{Linked, LinkedSymbol};
use crate::kernel::known_variables::known_variables;

/// The most variables. With `global_var`, a kernel has 60,000.
const MAX_VARIABLES: usize = 1 << 18;
/// The longest array of constants whose end is looked for.
const MAX_CONSTANTS: u64 = 4096;

/// Where symbols of a name are.
struct ByName<'a> {
    linked: &'a Linked,
    sizes: &'a [u64],
    /// The first symbol of each name that is not in code, and how many are. Letters do not tell:
    /// newer kernels have `T` for data of sections that may be executed.
    found: HashMap<&'a [u8], (usize, u32)>,
}

impl<'a> ByName<'a> {
    fn of(linked: &'a Linked, sizes: &'a [u64], code: &[Range<u64>]) -> Self {
        let mut found: HashMap<&[u8], (usize, u32)> = HashMap::new();
        for (number, symbol) in linked.symbols.iter().enumerate() {
            if !code.iter().any(|range| range.contains(&symbol.at)) {
                let entry = found.entry(linked.name(symbol)).or_insert((number, 0));
                entry.1 = entry.1.saturating_add(1);
            }
        }
        Self { linked, sizes, found }
    }

    /// The only symbol of a name, and how many bytes there are up to the next one.
    fn only(&self, name: &[u8]) -> Option<(&'a LinkedSymbol, u64)> {
        let (number, count) = *self.found.get(name)?;
        let symbol = self.linked.symbols.get(number).filter(|_| count == 1)?;
        Some((symbol, *self.sizes.get(number)?))
    }

    /// The symbol of a name at an address.
    fn at(&self, name: &[u8], at: u64) -> Option<&'a LinkedSymbol> {
        let symbols = &self.linked.symbols;
        let first = symbols.partition_point(|symbol| symbol.at < at);
        let here = symbols.get(first..)?.iter().take_while(|symbol| symbol.at == at);
        here.into_iter().find(|symbol| self.linked.name(symbol) == name)
    }
}

/// Writes all variables. Gives what does not fit, as sentences. `read` gives that many bytes of
/// memory at a link-time address.
pub(super) fn write(
    dwarf: &mut Dwarf<'_>,
    btf: &Btf,
    linked: &Linked,
    sizes: &[u64],
    code: &[Range<u64>],
    read: &dyn Fn(u64, u64) -> Option<Vec<u8>>,
) -> Vec<String> {
    let by_name = ByName::of(linked, sizes, code);
    let mut written = of_btf(dwarf, btf, &by_name);
    let mut unfit: Vec<&str> = Vec::new();
    for (name, text) in known_variables() {
        if written.contains(name.as_bytes()) {
            continue;
        }
        let Some((symbol, available)) = by_name.only(name.as_bytes()) else { continue };
        let declared = Declaration::parse(text);
        let of = declared.and_then(|declared| {
            let used = || used(&read(symbol.at, available.min(MAX_CONSTANTS))?);
            let available = if declared.ends_where_zeros_begin() { used()? } else { available };
            dwarf.declare(&declared, available)
        });
        let Some(of) = of else {
            unfit.push(name);
            continue;
        };
        let global = symbol.letter.is_ascii_uppercase();
        dwarf.variable(&Variable { name: name.as_bytes(), at: symbol.at, of, global });
        written.insert(name.as_bytes());
    }
    unfit.retain(|name| !written.contains(name.as_bytes()));
    unfit.dedup();
    let sentence = |name| format!("the variable {name} has no type: none that it is known by fits");
    unfit.into_iter().map(sentence).collect()
}

/// How many bytes there are up to the last eight that are not zero.
fn used(bytes: &[u8]) -> Option<u64> {
    let mut words = bytes.chunks_exact(8);
    let last = words.rposition(|word| word.iter().any(|byte| *byte != 0))?;
    u64::try_from(last).ok()?.checked_add(1)?.checked_mul(8)
}

/// Writes the variables of a module, as far as BTF has them.
pub(super) fn write_of_module(
    dwarf: &mut Dwarf<'_>,
    btf: &Btf,
    linked: &Linked,
    sizes: &[u64],
    code: &[Range<u64>],
) {
    of_btf(dwarf, btf, &ByName::of(linked, sizes, code));
}

/// Those that BTF has.
fn of_btf<'a>(dwarf: &mut Dwarf<'_>, btf: &'a Btf, by_name: &ByName<'_>) -> HashSet<&'a [u8]> {
    let mut written = HashSet::new();
    for section in btf.data_sections() {
        let variables = || {
            section.variables().filter_map(|variable| {
                let found = btf.by_id(variable.id).filter(|found| found.kind == Kind::Var)?;
                Some((variable, found))
            })
        };
        // Offsets count from where the section begins. Names that are there once say where.
        let base = variables().find_map(|(variable, found)| {
            let (symbol, _) = by_name.only(found.name())?;
            symbol.at.checked_sub(variable.offset.into())
        });
        let Some(base) = base else { continue };
        for (variable, found) in variables() {
            if written.len() > MAX_VARIABLES {
                break;
            }
            let at = base.wrapping_add(variable.offset.into());
            let Some(symbol) = by_name.at(found.name(), at) else { continue };
            let global = symbol.letter.is_ascii_uppercase();
            let of = TypeRef::Id(found.size_or_type);
            dwarf.variable(&Variable { name: found.name(), at, of, global });
            written.insert(found.name());
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_ends_at_its_last_word_that_is_not_zero() {
        let bytes = |words: [u64; 3]| words.map(u64::to_le_bytes).concat();
        assert_eq!(used(&bytes([0, 1 << 63, 0])), Some(16));
        assert_eq!(used(&bytes([1, 0, 2])), Some(24));
        assert_eq!(used(&bytes([0; 3])), None);
        assert_eq!(used(&[1; 7]), None);
    }

    #[test]
    fn each_line_of_the_table_has_a_type_that_is_read() {
        for (name, text) in known_variables() {
            assert!(Declaration::parse(text).is_some(), "{name}: {text}");
        }
    }
}
