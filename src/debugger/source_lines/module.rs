//! The file of a module, which is not linked: its sections all begin at zero.
//!
//! So each section gets an address of its own here, and the relocations of the debug sections are
//! applied with these addresses. Where the module was really loaded does not matter: a function is
//! looked up by its name, and an address by its offset in the function.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use addr2line::Context;
use gimli::{Dwarf, LittleEndian, SectionId};
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, ObjectSymbol, RelocationKind, RelocationTarget, SymbolKind};

use super::file::{self, Section};
use super::{SourceLine, SourceLinesError};
use crate::kernel::SymbolisedAddress;

type Elf<'a> = ElfFile64<'a, object::LittleEndian>;

/// The lines of a module's code.
pub(super) struct ModuleLines {
    context: Context<Section>,
    /// Where each function is. None where two have one name.
    functions: BTreeMap<String, Option<u64>>,
}

impl ModuleLines {
    /// Opens a module's file.
    ///
    /// # Errors
    /// Fails if it cannot be read, or has no debug symbols.
    pub(super) fn open(path: &Path) -> Result<Self, SourceLinesError> {
        Self::read(path).map_err(|problem| SourceLinesError { path: path.to_owned(), problem })
    }

    fn read(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        let elf = Elf::parse(&*bytes).map_err(|error| error.to_string())?;
        if elf.section_by_name(".debug_info").is_none() {
            return Err("it has no debug symbols".to_owned());
        }
        let places = places(&elf);
        let dwarf =
            Dwarf::load(|id| section(&elf, &places, id)).map_err(|error| error.to_string())?;
        let context = Context::from_dwarf(dwarf).map_err(|error| error.to_string())?;
        let mut functions = BTreeMap::new();
        for symbol in elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            let Ok(name) = symbol.name() else { continue };
            let at = address(&places, &symbol);
            let known = functions.entry(name.to_owned()).or_insert(at);
            if *known != at {
                *known = None;
            }
        }
        Ok(Self { context, functions })
    }

    /// The lines of a place in it, of which `back` bytes are taken: one for what a call returns to.
    pub(super) fn at(&self, symbol: &SymbolisedAddress, back: u64) -> Vec<SourceLine> {
        let Some(start) = self.functions.get(&symbol.name).copied().flatten() else {
            return Vec::new();
        };
        let probe = start.wrapping_add(symbol.offset).wrapping_sub(back);
        let Ok(found) = self.context.find_frames(probe).skip_all_loads() else { return Vec::new() };
        file::lines(found)
    }
}

/// Where each section is put.
fn places(elf: &Elf<'_>) -> BTreeMap<usize, u64> {
    let mut next = 0_u64;
    let place = |section: object::read::elf::ElfSection64<'_, '_, object::LittleEndian>| {
        let at = next;
        // None begins where another ends: the end of a function is not the start of one.
        next = next.saturating_add(section.size()).saturating_add(64) & !15;
        (section.index().0, at)
    };
    elf.sections().map(place).collect()
}

fn address<'a>(places: &BTreeMap<usize, u64>, symbol: &impl ObjectSymbol<'a>) -> Option<u64> {
    let section = places.get(&symbol.section_index()?.0)?;
    section.checked_add(symbol.address())
}

/// A section with debug symbols, completed.
fn section(
    elf: &Elf<'_>,
    places: &BTreeMap<usize, u64>,
    id: SectionId,
) -> Result<Section, object::Error> {
    let Some(section) = elf.section_by_name(id.name()) else {
        return Ok(Section::new(Rc::from([]), LittleEndian));
    };
    let mut bytes = section.uncompressed_data()?.into_owned();
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(index) = relocation.target() else { continue };
        let symbol = elf.symbol_by_index(index)?;
        // Of debug symbols themselves, the sections do begin at zero.
        let code = symbol.section_index().and_then(|index| elf.section_by_index(index).ok());
        let debug =
            code.is_some_and(|section| section.name().is_ok_and(|name| name.starts_with(".debug")));
        let at = if debug { Some(symbol.address()) } else { address(places, &symbol) };
        let (RelocationKind::Absolute, Some(at)) = (relocation.kind(), at) else { continue };
        let value = at.wrapping_add_signed(relocation.addend()).to_le_bytes();
        let length = usize::from(relocation.size() / 8).min(value.len());
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let field = bytes.get_mut(start..start.saturating_add(length));
        if let (Some(field), Some(value)) = (field, value.get(..length)) {
            field.copy_from_slice(value);
        }
    }
    Ok(Section::new(Rc::from(bytes), LittleEndian))
}
