//! The type of a variable: that of BTF, else that of the table of known ones.

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::btf::Kind;

use super::types::{CType, Derived, Lookup};
use crate::kernel::known_variables::known_variables;

impl Lookup<'_> {
    /// The type of a variable, and whether each CPU has one.
    pub(super) fn variable(&self, name: &str) -> Option<(CType, bool)> {
        self.variable_of_btf(name).or_else(|| self.known_variable(name))
    }

    /// Whether a symbol is that of a per-CPU variable, by its address.
    pub(super) fn is_per_cpu(&self, name: &str) -> bool {
        let at = |name| self.kernel.symbol(name);
        let range = at("__per_cpu_start").zip(at("__per_cpu_end"));
        range.zip(at(name)).is_some_and(|((start, end), at)| start <= at && at < end)
    }

    fn known_variable(&self, name: &str) -> Option<(CType, bool)> {
        let mut lines = known_variables().filter(|(known, _)| *known == name).peekable();
        lines.peek()?;
        let all = self.kernel.symbols().ok()?.all(name);
        let [at] = all.as_slice() else { return None };
        let of = lines.find_map(|(_, text)| self.fitting(text, *at))?;
        Some((of, self.is_per_cpu(name)))
    }

    /// The type that a line has, if BTF has it, and the next symbol is not in it.
    fn fitting(&self, text: &str, at: VirtAddr) -> Option<CType> {
        let symbol = self.kernel.symbols().ok()?.containing(at);
        // Symbols of per-CPU variables may be small numbers, outside of the image.
        let room = symbol.filter(|symbol| symbol.offset == 0).map(|symbol| symbol.size);
        let (plain, arrays) = text.split_at_checked(text.find('[').unwrap_or(text.len()))?;
        let mut of = self.known_type(plain.trim())?;
        let mut counts = Vec::new();
        for count in arrays.split('[').skip(1) {
            let count = count.trim().strip_suffix(']')?;
            counts.push(match count.parse() {
                Ok(number) => Some(number),
                Err(_) if count.is_empty() => None,
                Err(_) => Some(self.enumerator(count)?),
            });
        }
        let fixed = counts.iter().flatten().copied().try_fold(of.size()?, u64::checked_mul)?;
        if fixed == 0 || room.is_some_and(|room| fixed > room) {
            return None;
        }
        for count in counts.into_iter().rev() {
            let count = match count {
                Some(count) => count,
                None => room? / fixed,
            };
            of.derived.push(Derived::Array(count));
        }
        Some(of)
    }

    /// The value of an enumerator, whatever its enumeration.
    fn enumerator(&self, name: &str) -> Option<u64> {
        let mut all = self.btf.types().filter(|one| matches!(one.kind, Kind::Enum | Kind::Enum64));
        let found = all.find_map(|one| one.values().find(|(other, _)| *other == name.as_bytes()));
        u64::try_from(found?.1).ok()
    }
}
