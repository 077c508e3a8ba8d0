//! The symbols of a module, which the kernel keeps as they are in its ELF file.
//!
//! ```text
//! 0   st_name   u32   offset of its name in the module's string table
//! 4   st_info   u8    its binding and type; before Linux 5.2 the letter of its type
//! 6   st_shndx  u16   0 for a symbol of another module
//! 8   st_value  u64   its address
//! 16  st_size   u64   0 for many symbols of assembler code
//! ```
//!
//! Source: ELF-64 object file format; Linux `kernel/module/kallsyms.c`.
//!
//! ```
//! use vmcore_formats::addr::VirtAddr;
//! use vmcore_formats::endian::Endian;
//! use vmcore_formats::kallsyms::module::ModuleTable;
//!
//! let mut entry = [0; 24];
//! (entry[0], entry[6]) = (1, 1);
//! entry[8..16].copy_from_slice(&Endian::Little.u64_bytes(0xffff_ffff_c000_1000));
//! let symbols = ModuleTable::decode(&entry, Endian::Little).with_texts(b"\0init\0".to_vec());
//!
//! let at = VirtAddr(0xffff_ffff_c000_1000);
//! let symbol = symbols.at_or_below(at.wrapping_add(8)).unwrap();
//! assert_eq!((symbol.name.as_str(), symbol.at), ("init", at));
//! ```

use crate::addr::VirtAddr;
use crate::cursor::Cursor;
use crate::endian::Endian;

/// Length of a symbol, in bytes.
pub const SYMBOL_LENGTH: u64 = 24;
/// The most symbols that are read of a module. The largest ones have some 50,000.
pub const MAX_MODULE_SYMBOLS: u64 = 1 << 20;
/// The longest string table that is read of a module, in bytes.
pub const MAX_TEXTS: u64 = 32 << 20;
/// The longest name that is read. `KSYM_NAME_LEN` is 512.
const MAX_NAME: usize = 512;

/// An entry of the symbol table, with its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: VirtAddr,
    size: u64,
    number: u32,
    name: u32,
    info: u8,
}

/// A symbol as the table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSymbol<'t> {
    /// Its name.
    pub name: &'t [u8],
    /// Its address.
    pub at: VirtAddr,
    /// How many bytes it has. 0 where that is not known.
    pub size: u64,
    /// Its index in the table.
    pub number: u32,
    /// Its binding and type, or their letter.
    pub info: u8,
}

/// A module's symbols.
#[derive(Clone, Debug, Default)]
pub struct ModuleTable {
    /// By ascending address; symbols of one address in the file's order.
    symbols: Vec<Entry>,
    texts: Vec<u8>,
}

/// A symbol of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSymbol {
    /// Its name. Bytes that are not UTF-8 are replaced.
    pub name: String,
    /// Its address.
    pub at: VirtAddr,
    /// The address of the next symbol, if there is one.
    pub next: Option<VirtAddr>,
}

impl ModuleTable {
    /// Decodes a symbol table. Undefined symbols and those without a name are ignored.
    ///
    /// The string table is added later by [`Self::with_texts`]; [`Self::texts_length`] gives
    /// the length that it needs.
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

    /// The length of string table that the names need, at most [`MAX_TEXTS`].
    pub fn texts_length(&self) -> u64 {
        let last = self.symbols.iter().map(|symbol| symbol.name).max().unwrap_or_default();
        u64::from(last).saturating_add(MAX_NAME as u64).min(MAX_TEXTS)
    }

    /// The symbols with their string table, or as much of it as can be read.
    ///
    /// Drops symbols whose name is missing, and mapping symbols (`$x` on arm64).
    pub fn with_texts(mut self, texts: Vec<u8>) -> Self {
        self.texts = texts;
        let symbols = std::mem::take(&mut self.symbols);
        let is_named =
            |symbol: &Entry| !matches!(self.name(*symbol), [] | [b'$', ..] | [b'.', b'L', ..]);
        let symbols = symbols.into_iter().filter(is_named).collect();
        Self { symbols, texts: self.texts }
    }

    /// The number of symbols.
    pub fn count(&self) -> usize {
        self.symbols.len()
    }

    /// All symbols, by ascending address.
    pub fn iter(&self) -> impl Iterator<Item = TableSymbol<'_>> {
        self.symbols.iter().map(|symbol| {
            let Entry { at, size, number, info, .. } = *symbol;
            TableSymbol { name: self.name(*symbol), at, size, number, info }
        })
    }

    /// The symbol at the highest address that is not above `at`. Of several at that address,
    /// the first in the file, like the kernel.
    pub fn at_or_below(&self, at: VirtAddr) -> Option<ModuleSymbol> {
        let end = self.symbols.partition_point(|symbol| symbol.at <= at);
        let found = self.symbols.get(end.checked_sub(1)?)?.at;
        let first = self.symbols.partition_point(|symbol| symbol.at < found);
        let name = self.name(*self.symbols.get(first)?);
        let next = self.symbols.get(end).map(|symbol| symbol.at);
        Some(ModuleSymbol { name: String::from_utf8_lossy(name).into_owned(), at: found, next })
    }

    fn name(&self, symbol: Entry) -> &[u8] {
        let start = usize::try_from(symbol.name).unwrap_or(usize::MAX);
        let rest = self.texts.get(start..).unwrap_or_default();
        let rest = rest.get(..MAX_NAME).unwrap_or(rest);
        let end = rest.iter().position(|byte| *byte == 0);
        // A name without its NUL is cut off, and so is a different name.
        end.and_then(|end| rest.get(..end)).unwrap_or_default()
    }
}

fn symbol(entry: &[u8], number: u32, endian: Endian) -> Option<Entry> {
    let mut rest = Cursor::new(entry, endian);
    let name = rest.u32("st_name").ok()?;
    let info = rest.u8("st_info").ok()?;
    rest.take(1, "st_other").ok()?;
    let section = rest.u16("st_shndx").ok()?;
    let at = VirtAddr(rest.u64("st_value").ok()?);
    let size = rest.u64("st_size").ok()?;
    let entry = Entry { at, size, number, name, info };
    (section != 0 && name != 0 && at.0 != 0).then_some(entry)
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
    fn only_named_symbols_of_the_module_itself_are_found() {
        let symbols = ModuleTable::decode(&table(), Endian::Little);
        assert_eq!(symbols.texts_length(), 25 + 512);
        let symbols = symbols.with_texts(TEXTS.to_vec());
        assert_eq!(symbols.count(), 3);
        let found = symbols.at_or_below(VirtAddr(0x1fff)).unwrap();
        assert_eq!((found.name.as_str(), found.at), ("init", VirtAddr(0x1000)));
        assert_eq!(found.next, Some(VirtAddr(0x2000)));
        assert_eq!(symbols.at_or_below(VirtAddr(0x2000)).unwrap().name, "exit");
        assert_eq!(symbols.at_or_below(VirtAddr(0xfff)), None);
        let all: Vec<_> = symbols.iter().map(|one| (one.name, one.number, one.info)).collect();
        assert_eq!(all, [(&b"init"[..], 2, b't'), (b"alias", 3, b't'), (b"exit", 1, b't')]);
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
