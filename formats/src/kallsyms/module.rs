//! The symbols of a module, as the kernel keeps them: those of its ELF file.
//!
//! ```text
//! 0   st_name   u32   where its name begins in the module's texts
//! 4   st_info   u8    6 st_shndx  u16, 0 if it is of another module
//! 8   st_value  u64   its address
//! 16  st_size   u64   not relied on: code that was written in assembler has none
//! ```
//!
//! Source: ELF-64 object file format; Linux `kernel/module/kallsyms.c`.

use crate::addr::VirtAddr;
use crate::cursor::{Cursor, Endian};

/// How many bytes a symbol takes.
pub const SYMBOL_LENGTH: u64 = 24;
/// The most symbols that are read of a module. The largest ones have some 50,000.
pub const MAX_MODULE_SYMBOLS: u64 = 1 << 20;
/// The longest texts that are read of a module, in bytes.
pub const MAX_TEXTS: u64 = 32 << 20;
/// The longest name that is read. `KSYM_NAME_LEN` is 512.
const MAX_NAME: usize = 512;

/// A symbol of a module, by its number in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Symbol {
    at: VirtAddr,
    number: u32,
    name: u32,
}

/// A module's symbols.
#[derive(Clone, Debug, Default)]
pub struct ModuleTable {
    /// By ascending address; those of one address in the file's order.
    symbols: Vec<Symbol>,
    texts: Vec<u8>,
}

/// A symbol that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name. Bytes that are no UTF-8 are replaced.
    pub name: String,
    /// Where it begins.
    pub at: VirtAddr,
    /// Where the next one begins, if there is one.
    pub next: Option<VirtAddr>,
}

impl ModuleTable {
    /// Decodes symbols; those of other modules and those without a name do not count.
    ///
    /// [`Self::texts_length`] tells how many bytes of texts there have to be: they are
    /// added later ([`Self::with_texts`]).
    #[must_use]
    pub fn decode(table: &[u8], endian: Endian) -> Self {
        let mut rest = Cursor::new(table, endian);
        let mut symbols = Vec::with_capacity(table.len() / 24);
        let mut number = 0_u32;
        while let Ok(entry) = rest.take(SYMBOL_LENGTH, "symbol of a module") {
            symbols.extend(symbol(entry, number, endian));
            number = number.saturating_add(1);
        }
        symbols.sort_by_key(|symbol| (symbol.at, symbol.number));
        Self { symbols, texts: Vec::new() }
    }

    /// How many bytes of texts the names are in. At most [`MAX_TEXTS`].
    #[must_use]
    pub fn texts_length(&self) -> u64 {
        let last = self.symbols.iter().map(|symbol| symbol.name).max().unwrap_or_default();
        u64::from(last).saturating_add(MAX_NAME as u64).min(MAX_TEXTS)
    }

    /// The same with the texts that the names are in, or as much as there is of them.
    ///
    /// What has no name then, or the name of none but a mark in the code (`$x` on arm64),
    /// no longer counts.
    #[must_use]
    pub fn with_texts(mut self, texts: Vec<u8>) -> Self {
        self.texts = texts;
        let symbols = std::mem::take(&mut self.symbols);
        let is_named =
            |symbol: &Symbol| !matches!(self.name(*symbol), [] | [b'$', ..] | [b'.', b'L', ..]);
        let symbols = symbols.into_iter().filter(is_named).collect();
        Self { symbols, texts: self.texts }
    }

    /// How many symbols there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.symbols.len()
    }

    /// The symbol at the highest address that is not above `at`; of several, the first in
    /// the file, as the kernel has it.
    #[must_use]
    pub fn at_or_below(&self, at: VirtAddr) -> Option<Found> {
        let end = self.symbols.partition_point(|symbol| symbol.at <= at);
        let found = self.symbols.get(end.checked_sub(1)?)?.at;
        let first = self.symbols.partition_point(|symbol| symbol.at < found);
        let name = self.name(*self.symbols.get(first)?);
        let next = self.symbols.get(end).map(|symbol| symbol.at);
        Some(Found { name: String::from_utf8_lossy(name).into_owned(), at: found, next })
    }

    fn name(&self, symbol: Symbol) -> &[u8] {
        let start = usize::try_from(symbol.name).unwrap_or(usize::MAX);
        let rest = self.texts.get(start..).unwrap_or_default();
        let rest = rest.get(..MAX_NAME).unwrap_or(rest);
        let end = rest.iter().position(|byte| *byte == 0);
        // A name without an end was cut off: it is not that name.
        end.and_then(|end| rest.get(..end)).unwrap_or_default()
    }
}

fn symbol(entry: &[u8], number: u32, endian: Endian) -> Option<Symbol> {
    let mut rest = Cursor::new(entry, endian);
    let name = rest.u32("st_name").ok()?;
    rest.take(2, "st_info and st_other").ok()?;
    let section = rest.u16("st_shndx").ok()?;
    let at = VirtAddr(rest.u64("st_value").ok()?);
    (section != 0 && name != 0 && at.0 != 0).then_some(Symbol { at, number, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: &[u8] = b"\0init\0$x\0exit\0.LC0\0alias\0cut";

    fn table() -> Vec<u8> {
        let symbol = |name: u32, section: u16, at: u64| {
            let mut bytes = name.to_le_bytes().to_vec();
            bytes.extend([b't', 0]);
            bytes.extend(section.to_le_bytes());
            bytes.extend(at.to_le_bytes());
            bytes.extend(0_u64.to_le_bytes());
            bytes
        };
        [
            symbol(0, 0, 0),
            symbol(9, 1, 0x2000),  // exit
            symbol(1, 1, 0x1000),  // init
            symbol(19, 1, 0x1000), // alias
            symbol(6, 1, 0x1800),  // $x
            symbol(14, 1, 0x1900), // .LC0
            symbol(1, 0, 0x1a00),  // of another module
            symbol(25, 1, 0x1b00), // without an end
        ]
        .concat()
    }

    #[test]
    fn places_are_those_of_named_symbols_of_the_module_itself() {
        let symbols = ModuleTable::decode(&table(), Endian::Little);
        assert_eq!(symbols.texts_length(), 25 + 512);
        let symbols = symbols.with_texts(TEXTS.to_vec());
        assert_eq!(symbols.count(), 3);
        let found = symbols.at_or_below(VirtAddr(0x1fff)).unwrap();
        assert_eq!((found.name.as_str(), found.at), ("init", VirtAddr(0x1000)));
        assert_eq!(found.next, Some(VirtAddr(0x2000)));
        assert_eq!(symbols.at_or_below(VirtAddr(0x2000)).unwrap().name, "exit");
        assert_eq!(symbols.at_or_below(VirtAddr(0xfff)), None);
    }

    #[test]
    fn every_truncation_gives_what_is_left() {
        let table = table();
        for length in 0..table.len() {
            let symbols = ModuleTable::decode(&table[..length], Endian::Little);
            assert!(symbols.with_texts(TEXTS.to_vec()).count() <= 3);
        }
        for length in 0..TEXTS.len() {
            let symbols = ModuleTable::decode(&table, Endian::Little);
            let symbols = symbols.with_texts(TEXTS[..length].to_vec());
            assert!(
                symbols.at_or_below(VirtAddr(u64::MAX)).is_none_or(|found| found.name != "exi")
            );
        }
    }
}
