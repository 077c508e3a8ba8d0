//! `.symtab`: the symbols of kallsyms, each with its section.

use object::LittleEndian as LE;
use object::elf;
use object::endian::{U16, U32, U64};
use object::pod::bytes_of;

use super::elf::FIRST;
use super::linked::Linked;
use super::sections::Section;

/// The symbols, and the index of the first global one.
pub(super) fn section(linked: &Linked, sizes: &[u64], image: &[Section]) -> (Vec<u8>, u32) {
    let (mut local, mut global) = (vec![0; 24], Vec::new());
    for (symbol, size) in linked.symbols.iter().zip(sizes) {
        let position = image.iter().position(|section| section.contains(symbol.at));
        // What marks the end of a section belongs to it.
        let position =
            position.or_else(|| image.iter().rposition(|section| section.end() == symbol.at));
        let absolute = symbol.letter.eq_ignore_ascii_case(&b'a') && position.is_none();
        let index = position.and_then(|position| u16::try_from(position).ok());
        let index = index.filter(|_| !absolute).map(|index| index.saturating_add(FIRST));
        let left = position.and_then(|at| image.get(at)).map(Section::end);
        let size = left.map_or(0, |end| (*size).min(end.saturating_sub(symbol.at)));
        let is_code = position.and_then(|at| image.get(at)).is_some_and(Section::is_code);
        let kind = match symbol.letter {
            _ if index.is_none() => elf::STT_NOTYPE,
            b't' | b'T' | b'w' | b'W' if is_code => elf::STT_FUNC,
            _ if is_code => elf::STT_NOTYPE,
            _ => elf::STT_OBJECT,
        };
        let weak = matches!(symbol.letter, b'w' | b'W' | b'v' | b'V');
        let is_global = symbol.letter.is_ascii_uppercase() || weak;
        let binding = match (weak, is_global) {
            (true, _) => elf::STB_WEAK,
            (false, true) => elf::STB_GLOBAL,
            (false, false) => elf::STB_LOCAL,
        };
        let entry = elf::Sym64 {
            st_name: U32::new(LE, symbol.name),
            st_info: elf::SymbolInfo::new(binding, kind),
            st_other: elf::SymbolOther(0),
            st_shndx: U16::new(LE, index.map_or(elf::SHN_ABS, elf::SymbolSection)),
            st_value: U64::new(LE, symbol.at),
            st_size: U64::new(LE, size),
        };
        let table = if is_global { &mut global } else { &mut local };
        table.extend_from_slice(bytes_of(&entry));
    }
    let first = u32::try_from(local.len() / 24).unwrap_or_default();
    local.extend(global);
    (local, first)
}
