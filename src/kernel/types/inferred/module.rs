//! `struct module`.
//!
//! ```text
//! 0   state       0 to 3
//! 8   list        from the symbol `modules`
//! 24  name        56 bytes; kobject.name, which follows, points to the same text
//!     ..
//!     taints      num_bugs, bug_list (through all modules), bug_table      where BUG() has tables
//!     kallsyms    points to core_kallsyms, once the module is live
//!     core_kallsyms
//! mod_kallsyms    symtab, num_symtab, strtab, and typetab in newer kernels: in the module's own memory
//! arch            num_orcs, orc_unwind_ip, orc_unwind: two adjacent tables, one of offsets into code
//! ```
//!
//! Source: Linux `include/linux/module.h`.

use vmcore_formats::addr::VirtAddr;

use super::layouts::{Doubt, Layouts};
use super::reference_modules::{
    self, LENGTH, LIST, MODULE, NAME, NAME_LENGTH, Ranges, ReferenceModules,
};
use super::samples::{Sample, offsets, only};
use super::{module_memory, module_uses};
use crate::kernel::Kernel;

const SYMBOLS: &str = "mod_kallsyms";
/// The most symbols of a module.
const MAX_COUNT: u32 = 1 << 22;

pub(super) fn infer(kernel: &Kernel, layouts: &mut Layouts) {
    let Some((reference, finding)) = reference_modules::find(kernel) else { return };
    if reference.modules.is_empty() && finding.is_none() {
        // Where the list is empty, its place in a module does not matter.
        layouts.know(MODULE, "list", LIST, 16);
        return;
    }
    if reference.modules.is_empty() {
        return layouts.doubt("module.list", Doubt::Nothing);
    }
    layouts.modules = reference.modules.len();
    layouts.know(MODULE, "state", 0, 4);
    layouts.know(MODULE, "list", LIST, 16);
    layouts.know_text(MODULE, "name", NAME, NAME_LENGTH);
    let ranges = module_memory::infer(&reference, layouts);
    let kallsyms = layouts.take(MODULE, "kallsyms", 8, kallsyms(&reference));
    if let Some(kallsyms) = kallsyms {
        symbols(&reference, kallsyms, &ranges, layouts);
        layouts.take(MODULE, "taints", 8, taints(&reference, kallsyms));
    }
    orc(&reference, &ranges, layouts);
    module_uses::infer(&reference, layouts);
}

/// What points to where it ends itself. Modules that are just being loaded have it elsewhere.
fn kallsyms(reference: &ReferenceModules<'_>) -> Result<u64, Doubt> {
    let live = || reference.modules.iter().filter(|module| module.half(0) == Some(0));
    only(&offsets(NAME..LENGTH, 8, |offset| {
        let behind = offset.saturating_add(8);
        let leads = |module: &Sample| module.pointer(offset) == Some(module.place(behind));
        live().next().is_some() && live().all(leads)
    }))
}

fn is_within(ranges: &[(VirtAddr, u64)], at: VirtAddr) -> bool {
    ranges.iter().any(|(start, size)| at.is_in(*start, *size))
}

fn symbols(
    reference: &ReferenceModules<'_>,
    kallsyms: u64,
    ranges: &Ranges,
    layouts: &mut Layouts,
) {
    let live = reference.modules.iter().zip(ranges).filter(|(module, _)| module.half(0) == Some(0));
    let (mut sound, mut typed, mut untyped) = (true, 0_usize, 0_usize);
    for (module, ranges) in live {
        let Some(at) = module.pointer(kallsyms) else { continue };
        let table = Sample::read(&reference.kernel.space, at, 32);
        let inside = |offset| table.pointer(offset).is_some_and(|at| is_within(ranges, at));
        let count = table.half(8).is_some_and(|count| count > 0 && count < MAX_COUNT);
        sound &= inside(0) && count && inside(16);
        let count = if inside(24) { &mut typed } else { &mut untyped };
        *count = count.saturating_add(1);
    }
    if !sound || typed.saturating_add(untyped) == 0 {
        return layouts.doubt(SYMBOLS, Doubt::Nothing);
    }
    layouts.know(SYMBOLS, "symtab", 0, 8);
    layouts.know(SYMBOLS, "num_symtab", 8, 4);
    layouts.know(SYMBOLS, "strtab", 16, 8);
    if untyped == 0 {
        layouts.know(SYMBOLS, "typetab", 24, 8);
    }
}

/// Before the list of what has tables of `BUG()`, which is through all modules.
fn taints(reference: &ReferenceModules<'_>, kallsyms: u64) -> Result<u64, Doubt> {
    const KNOWN: u64 = 1 << 32;
    let (list, taints) = (kallsyms.checked_sub(24), kallsyms.checked_sub(40));
    let (Some(list), Some(taints)) = (list, taints) else { return Err(Doubt::Nothing) };
    let ends = reference.kernel.symbol("module_bug_list");
    let links = |module: &Sample| {
        [list, list.saturating_add(8)].into_iter().all(|offset| {
            let to = module.pointer(offset);
            to.is_some_and(|to| reference.has(to.wrapping_sub(list)) || Some(to) == ends)
        })
    };
    // Those that are just coming are in no list yet.
    let listed = reference.modules.iter().filter(|module| links(module)).count();
    let few =
        reference.modules.iter().all(|module| module.word(taints).is_some_and(|it| it < KNOWN));
    let most = listed.saturating_mul(8) >= reference.modules.len().saturating_mul(7);
    (few && most).then_some(taints).ok_or(Doubt::Nothing)
}

/// A count and two tables: where code begins, in order, and what is said of it.
fn orc(reference: &ReferenceModules<'_>, ranges: &Ranges, layouts: &mut Layouts) {
    if reference.kernel.symbol("__start_orc_unwind_ip").is_none() {
        return;
    }
    let found = offsets(NAME..LENGTH, 8, |offset| {
        let word = |module: &Sample, skip: u64| module.word(offset.saturating_add(skip));
        let mut tables = 0_usize;
        let sound = reference.modules.iter().zip(ranges).all(|(module, ranges)| {
            let (Some(count), Some(ips)) = (module.half(offset), word(module, 8)) else {
                return false;
            };
            let entries = word(module, 16).unwrap_or_default();
            if count == 0 {
                return ips == 0 || is_within(ranges, VirtAddr(ips));
            }
            tables = tables.saturating_add(1);
            [ips, entries].iter().all(|at| is_within(ranges, VirtAddr(*at)))
                && are_side_by_side((ips, 4), (entries, 6), count)
                && is_of_code(reference, ranges, ips, count)
        });
        sound && tables > 0
    });
    if let Some(arch) = layouts.take(MODULE, "arch.num_orcs", 4, only(&found)) {
        layouts.know(MODULE, "arch.orc_unwind_ip", arch.saturating_add(8), 8);
        layouts.know(MODULE, "arch.orc_unwind", arch.saturating_add(16), 8);
    }
}

/// Whether two tables of `count` entries, each given with its entries' size, follow each other.
fn are_side_by_side((a, each_a): (u64, u64), (b, each_b): (u64, u64), count: u32) -> bool {
    const GAP: u64 = 16;
    let follows = |first: u64, each: u64, second: u64| {
        second.wrapping_sub(first).wrapping_sub(u64::from(count).wrapping_mul(each)) < GAP
    };
    follows(a, each_a, b) || follows(b, each_b, a)
}

/// Whether a table leads from place to place in code. Code that ran once is gone.
fn is_of_code(
    reference: &ReferenceModules<'_>,
    ranges: &[(VirtAddr, u64)],
    table: u64,
    count: u32,
) -> bool {
    const LOOKED_AT: u32 = 4096;
    let count = u64::from(count.min(LOOKED_AT));
    let table = Sample::read(&reference.kernel.space, VirtAddr(table), count.saturating_mul(4));
    let code = (0..count).map(|index| {
        let offset = index.saturating_mul(4);
        let to = i64::from(table.half(offset)?.cast_signed());
        Some(VirtAddr(table.place(offset).0.wrapping_add_signed(to)))
    });
    let Some(code) = code.collect::<Option<Vec<_>>>() else { return false };
    let there = code.iter().filter(|at| is_within(ranges, **at)).count();
    code.is_sorted() && there.saturating_mul(2) > code.len()
}
