//! The file of a module, made out of a core: its symbols, and types where it has BTF.
//!
//! ```text
//! module_symbols ──► linked ──► .symtab, .strtab
//! module_sections ─────┴──────► .text, .data ..., without contents
//! split BTF ──────► dwarf ────► .debug_*, .rela.debug_*
//! ```
//!
//! Needs: a module of the kernel. Gives: a relocatable file with the module's build id, which drgn
//! takes by that, and crash by its name (`mod -S`).

use std::fs::File;
use std::sync::Arc;

use object::elf as format;
use sha2::{Digest, Sha256};
use vmcore_formats::btf::Btf;
use vmcore_formats::elf::build_id::BuildId;
use vmcore_formats::endian::Endian;
use vmcore_formats::paging::Paging;

use super::dwarf::{Dwarf, Sections};
use super::elf::Extra;
use super::linked::Linked;
use super::{VmlinuxError, globals, notes, relocatable};
use crate::kernel::modules::{Module, ModuleSection};
use crate::kernel::{Kernel, ModuleTypesError, Types};

/// A file that was made of a module.
#[derive(Debug)]
pub struct MadeModule {
    machine: format::Machine,
    sections: Vec<ModuleSection>,
    extra: Vec<Extra>,
    types: Option<ModuleTypesError>,
    findings: Vec<String>,
    build_id: Option<BuildId>,
}

/// What the kernel's memory has of a module.
struct Parts {
    sections: Vec<ModuleSection>,
    linked: Linked,
    sizes: Vec<u64>,
    types: Result<Arc<Types>, ModuleTypesError>,
}

impl Parts {
    fn of(kernel: &Kernel, module: &Module) -> Result<Self, VmlinuxError> {
        if kernel.space.endian() != Endian::Little {
            return Err(VmlinuxError::BigEndian);
        }
        let mut sections = kernel.module_sections(module);
        // Notes are written with their contents.
        sections.retain(|section| !section.name.starts_with(".note"));
        if sections.is_empty() {
            return Err(VmlinuxError::NoSections);
        }
        let mut symbols = kernel.module_symbols(module);
        symbols.retain(|symbol| sections.iter().any(|section| section.contains(symbol.at)));
        let linked = Linked::of_module(&symbols);
        let sizes = sizes(&linked, &symbols);
        Ok(Self { sections, linked, sizes, types: kernel.module_types(module.at) })
    }
}

/// Adds to a digest what the file of a module is made of, and nothing that depends on a boot.
///
/// # Errors
/// Fails like [`MadeModule::of`].
pub fn digest_module(
    kernel: &Kernel,
    module: &Module,
    digest: &mut Sha256,
) -> Result<(), VmlinuxError> {
    let Parts { sections, linked, sizes, types } = Parts::of(kernel, module)?;
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    add(module.name.as_bytes());
    add(module.build_id.as_deref().unwrap_or_default().as_bytes());
    for section in &sections {
        add(section.name.as_bytes());
        add(&section.size.to_le_bytes());
    }
    add(&relocatable::symbols(&linked, &sizes, &sections).0);
    add(&linked.names);
    let btf = types.as_ref().ok().and_then(|types: &Arc<Types>| types.btf());
    add(btf.map(|btf| btf.bytes()).unwrap_or_default());
    Ok(())
}

impl MadeModule {
    /// Makes it.
    ///
    /// # Errors
    /// Fails if it is not known where the module is. Without types, [`Self::without_types`] says
    /// why.
    pub fn of(kernel: &Kernel, module: &Module) -> Result<Self, VmlinuxError> {
        let Parts { sections, linked, sizes, types } = Parts::of(kernel, module)?;
        let mut findings = Vec::new();
        if linked.left_out > 0 {
            let count = linked.left_out;
            findings.push(format!("{count} symbols were left out: their names are not valid"));
        }
        let btf = types.as_ref().ok().and_then(|types: &Arc<Types>| types.btf());
        let debug = btf.map(|btf| debug_information(btf, module, &linked, &sizes, &sections));
        let (machine, relocation) = match kernel.space.paging() {
            Paging::X86_64(_) => (format::EM_X86_64, format::R_X86_64_64.0),
            Paging::Arm64(_) => (format::EM_AARCH64, format::R_AARCH64_ABS64.0),
        };
        let build_id = module.build_id.as_ref().and_then(|id| id.parse::<BuildId>().ok());
        let mut extra = vec![notes(build_id.as_ref(), debug.is_some())];
        let (table, first) = relocatable::symbols(&linked, &sizes, &sections);
        let symtab = sections.len().saturating_add(2);
        let number = |number: usize| u32::try_from(number).unwrap_or_default();
        extra.push(Extra {
            kind: format::SHT_SYMTAB,
            link: number(symtab.saturating_add(1)),
            info: first,
            entry_size: 24,
            align: 8,
            ..Extra::plain(".symtab", table)
        });
        extra.push(Extra { kind: format::SHT_STRTAB, ..Extra::plain(".strtab", linked.names) });
        if let Some(debug) = debug {
            findings.extend(debug.findings);
            let mut relocations = Vec::new();
            for (name, mut bytes) in debug.sections {
                let target = sections.len().saturating_add(extra.len()).saturating_add(1);
                let addresses = debug.addresses.iter().find(|(other, _)| *other == name);
                let found = addresses.map(|(_, addresses)| {
                    relocatable::relocate(&mut bytes, addresses, &sections, relocation)
                });
                extra.push(Extra::plain(name, bytes));
                let Some(found) = found.filter(|found| !found.is_empty()) else { continue };
                relocations.push(Extra {
                    kind: format::SHT_RELA,
                    link: number(symtab),
                    info: number(target),
                    entry_size: 24,
                    align: 8,
                    ..Extra::plain(relocation_name(name), found)
                });
            }
            extra.extend(relocations);
        }
        Ok(Self { machine, sections, extra, types: types.err(), findings, build_id })
    }

    /// What is missing or wrong, as sentences.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// Why it has no types, if it has none.
    pub fn without_types(&self) -> Option<&ModuleTypesError> {
        self.types.as_ref()
    }

    /// Its build id.
    pub fn build_id(&self) -> Option<&BuildId> {
        self.build_id.as_ref()
    }

    /// Writes it to an empty file.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write(&self, file: &File) -> Result<(), VmlinuxError> {
        Ok(relocatable::write(self.machine, &self.sections, &self.extra, file)?)
    }
}

/// How many bytes each symbol has: as the module says, else up to the next one.
fn sizes(linked: &Linked, symbols: &[crate::kernel::symbols::ModuleSymbol]) -> Vec<u64> {
    let mut sizes = linked.sizes();
    // Symbols whose names are not valid are not among those that are linked.
    let mut given = symbols.iter();
    for (symbol, size) in linked.symbols.iter().zip(&mut sizes) {
        let name = linked.name(symbol);
        let found = given.find(|given| given.at.0 == symbol.at && given.name == name);
        if let Some(known) = found.map(|found| found.size).filter(|known| *known > 0) {
            *size = known;
        }
    }
    sizes
}

fn debug_information(
    btf: &Btf,
    module: &Module,
    linked: &Linked,
    sizes: &[u64],
    sections: &[ModuleSection],
) -> Sections {
    let code = sections.iter().filter(|section| relocatable::is_code(&section.name));
    let code: Vec<_> = code.map(|one| one.at.0..one.at.0.saturating_add(one.size)).collect();
    // A unit named like one of its structures hides it: gdb takes the name for that of a file.
    let name = format!("{}.ko", module.name);
    let mut dwarf = Dwarf::of_module(btf, &name, code.clone());
    dwarf.functions(linked.functions(sizes, &code));
    globals::write_of_module(&mut dwarf, btf, linked, sizes, &code);
    dwarf.finish()
}

/// The section with the relocations of another.
fn relocation_name(name: &str) -> &'static str {
    match name {
        ".debug_aranges" => ".rela.debug_aranges",
        ".debug_ranges" => ".rela.debug_ranges",
        _ => ".rela.debug_info",
    }
}
