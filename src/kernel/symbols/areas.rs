//! Code and data outside of the kernel's image that has symbols: modules, BPF programs,
//! and trampolines of ftrace.
//!
//! ```text
//! modules()                    module.mem[]               their own kallsyms
//! bpf_kallsyms                 bpf_ksym.start..end        bpf_prog_<tag>_<name> [bpf]
//! ftrace_ops_trampoline_list   trampoline, its size       ftrace_trampoline
//! ```
//!
//! Needs: types, and the modules. Gives: the symbol of an address. A module's symbols are
//! read when one of its addresses is asked for.

use std::sync::OnceLock;

use vmcore_formats::addr::VirtAddr;
use vmcore_formats::kallsyms::module::{
    MAX_MODULE_SYMBOLS, ModuleTable, SYMBOL_LENGTH, TableSymbol,
};

use crate::kernel::budget::Budget;
use crate::kernel::modules::{Module, ModuleRange, RangeKind};
use crate::kernel::reading::read_tables;
use crate::kernel::symbolised_address::SymbolisedAddress;
use crate::kernel::types::{ListOf, Object};
use crate::kernel::{AddressSpace, Kernel};

/// The most BPF programs, and the most trampolines, that are looked at.
const MAX_GENERATED: usize = 16 << 10;
/// The longest code that the kernel makes in one piece.
const MAX_LENGTH: u64 = 64 << 20;
/// The longest name of a BPF program. `KSYM_NAME_LEN` is 512.
const MAX_NAME: usize = 512;
/// The longest symbol tables of all modules together, in bytes. Those of one take up to 4 MB.
const MAX_TABLES: u64 = 64 << 20;

/// The binding of global and weak symbols in ELF.
const GLOBAL: u8 = 1;
const WEAK: u8 = 2;

/// A symbol of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSymbol {
    /// Its address.
    pub at: VirtAddr,
    /// How many bytes it has. 0 where that is not known.
    pub size: u64,
    /// Its type, as `nm` writes it.
    pub letter: u8,
    /// Its name, as the kernel has it.
    pub name: Vec<u8>,
}

/// Where there are symbols outside of the image.
#[derive(Debug)]
pub(crate) struct Areas {
    /// By ascending address.
    areas: Vec<Area>,
    /// The symbols of each module, in the order of [`Kernel::modules`].
    tables: Vec<OnceLock<ModuleTable>>,
    /// How many bytes of them may still be kept.
    left: Budget,
}

#[derive(Debug)]
struct Area {
    start: VirtAddr,
    size: u64,
    /// Whether it has code.
    code: bool,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A part of a module, by its number.
    Module(usize),
    /// A BPF program or what calls one.
    Bpf(String),
    /// What ftrace calls a function's tracer by.
    Ftrace,
}

impl Areas {
    /// Looks for them.
    pub(crate) fn of(kernel: &Kernel) -> Self {
        let mut areas = Vec::new();
        let modules = &kernel.modules().modules;
        for (number, module) in modules.iter().enumerate() {
            let area = |range: &ModuleRange| Area {
                start: range.base,
                size: range.size,
                code: !matches!(range.kind, RangeKind::Data | RangeKind::InitData),
                content: Content::Module(number),
            };
            areas.extend(module.ranges.iter().map(area));
        }
        areas.extend(bpf(kernel));
        areas.extend(trampolines(kernel));
        areas.sort_by_key(|area| area.start);
        let tables = modules.iter().map(|_| OnceLock::new()).collect();
        Self { areas, tables, left: Budget::of(MAX_TABLES) }
    }

    /// Whether an address is in code.
    pub(crate) fn is_code(&self, at: VirtAddr) -> bool {
        self.area(at).is_some_and(|area| area.code)
    }

    /// The symbol of an address.
    pub(crate) fn containing(&self, kernel: &Kernel, at: VirtAddr) -> Option<SymbolisedAddress> {
        let area = self.area(at)?;
        let whole = |name: &str, module: Option<&str>| SymbolisedAddress {
            name: name.to_owned(),
            offset: at.0.wrapping_sub(area.start.0),
            size: area.size,
            module: module.map(str::to_owned),
            build_id: None,
        };
        let number = match &area.content {
            Content::Bpf(name) => return Some(whole(name, Some("bpf"))),
            Content::Ftrace => return Some(whole("ftrace_trampoline", None)),
            Content::Module(number) => *number,
        };
        let module = kernel.modules().modules.get(number)?;
        let table =
            self.tables.get(number)?.get_or_init(|| read_table(&kernel.space, module, &self.left));
        // What is before the range is of another one.
        let found = table.at_or_below(at).filter(|found| found.at >= area.start)?;
        let end = area.start.saturating_add(area.size);
        let next = found.next.unwrap_or(end).min(end);
        Some(SymbolisedAddress {
            name: found.name,
            offset: at.0.wrapping_sub(found.at.0),
            size: next.0.saturating_sub(found.at.0),
            module: Some(module.name.clone()),
            build_id: module.build_id.clone(),
        })
    }

    /// The symbols of a module, by ascending address.
    pub(crate) fn of_module(&self, kernel: &Kernel, module: &Module) -> Vec<ModuleSymbol> {
        let modules = &kernel.modules().modules;
        let number = modules.iter().position(|other| other.at == module.at);
        let cell = number.and_then(|number| self.tables.get(number));
        let Some(cell) = cell else { return Vec::new() };
        let table = cell.get_or_init(|| read_table(&kernel.space, module, &self.left));
        let letters = letters(&kernel.space, module);
        let symbol = |symbol: TableSymbol<'_>| {
            let number = usize::try_from(symbol.number).unwrap_or(usize::MAX);
            let letter = letters.as_ref().map_or(Some(&symbol.info), |all| all.get(number));
            let mut letter = letter.copied().filter(u8::is_ascii_alphabetic).unwrap_or(b't');
            // The kernel's letters are those of local symbols.
            if letters.is_some() {
                letter = match symbol.info >> 4 {
                    GLOBAL => letter.to_ascii_uppercase(),
                    WEAK => b'w',
                    _ => letter,
                };
            }
            ModuleSymbol { at: symbol.at, size: symbol.size, letter, name: symbol.name.to_vec() }
        };
        table.iter().map(symbol).collect()
    }

    fn area(&self, at: VirtAddr) -> Option<&Area> {
        let index = self.areas.partition_point(|area| area.start <= at).checked_sub(1)?;
        self.areas.get(index).filter(|area| at.is_in(area.start, area.size))
    }
}

/// The letter of each symbol's type, where the kernel keeps them apart.
fn letters(space: &AddressSpace, module: &Module) -> Option<Vec<u8>> {
    let symbols = module.kallsyms?;
    let count = usize::try_from(symbols.count.min(MAX_MODULE_SYMBOLS)).ok()?;
    space.read_vec(symbols.typetab?, count).ok()
}

/// A module's symbols, as far as they can be read. None if there are too many of all modules.
fn read_table(space: &AddressSpace, module: &Module, left: &Budget) -> ModuleTable {
    let Some(symbols) = module.kallsyms else { return ModuleTable::default() };
    let count = symbols.count.min(MAX_MODULE_SYMBOLS);
    let length = count.saturating_mul(SYMBOL_LENGTH);
    let (Ok(()), Ok(length)) = (left.take(length), usize::try_from(length)) else {
        return ModuleTable::default();
    };
    let Ok(table) = space.read_vec(symbols.symtab, length) else { return ModuleTable::default() };
    let table = ModuleTable::decode(&table, space.endian());
    if left.take(table.texts_length()).is_err() {
        return ModuleTable::default();
    }
    let mut texts = vec![0; usize::try_from(table.texts_length()).unwrap_or_default()];
    // The last name ends somewhere before; what is behind it may not be mapped.
    read_tables(space, &mut [(symbols.strtab, &mut texts)]);
    table.with_texts(texts)
}

fn bpf(kernel: &Kernel) -> Vec<Area> {
    let of = ListOf { structure: "bpf_ksym", member: "lnode", what: "BPF programs" };
    let area = |at| {
        let symbol = Object::at(kernel, "bpf_ksym", at).ok()?;
        let (start, end) = (symbol.u64("start").ok()?, symbol.u64("end").ok()?);
        let name = symbol.text("name", MAX_NAME).ok()?;
        area(start, end.checked_sub(start)?, Content::Bpf(name))
    };
    listed(kernel, "bpf_kallsyms", of).into_iter().filter_map(area).collect()
}

fn trampolines(kernel: &Kernel) -> Vec<Area> {
    let of = ListOf { structure: "ftrace_ops", member: "list", what: "trampolines of ftrace" };
    let area = |at| {
        let ops = Object::at(kernel, "ftrace_ops", at).ok()?;
        let (start, size) = (ops.u64("trampoline").ok()?, ops.u64("trampoline_size").ok()?);
        area(start, size, Content::Ftrace)
    };
    let listed = listed(kernel, "ftrace_ops_trampoline_list", of);
    listed.into_iter().filter_map(area).collect()
}

fn area(start: u64, size: u64, content: Content) -> Option<Area> {
    let sound = start != 0 && size > 0 && size <= MAX_LENGTH;
    sound.then_some(Area { start: VirtAddr(start), size, code: true, content })
}

/// The structures of a list. None if the kernel has no such list.
fn listed(kernel: &Kernel, head: &str, of: ListOf<'_>) -> Vec<VirtAddr> {
    let Some(head) = kernel.symbol(head) else { return Vec::new() };
    let mut nodes =
        kernel.list(head, of, &Budget::of_walk()).map(|list| list.nodes).unwrap_or_default();
    nodes.truncate(MAX_GENERATED);
    nodes
}
