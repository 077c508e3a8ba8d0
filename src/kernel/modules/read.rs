//! One module, out of its `struct module`.

use vmcore_formats::addr::VirtAddr;

use super::{Module, ModuleRange, ModuleState, ModuleSymbols, OrcTables, RangeKind, build_id};
use crate::kernel::budget::Budget;
use crate::kernel::types::{ListOf, Object, ObjectError};
use crate::kernel::{Kernel, taint};

/// The longest name. `MODULE_NAME_LEN` is 56.
pub(super) const MAX_NAME: usize = 64;
/// The longest version.
const MAX_VERSION: usize = 128;
/// The most users of a module that are listed.
const MAX_USERS: usize = 1024;
/// The most parts of a module. Linux has seven.
const MAX_RANGES: u32 = 16;
/// The longest part. On arm64 modules have room for 2 GiB.
const MAX_RANGE: u64 = 2 << 30;

/// Reads a module. Who uses it comes later.
pub(super) fn module(
    kernel: &Kernel,
    at: VirtAddr,
    budget: &Budget,
) -> Result<Module, ObjectError> {
    let module = Object::at(kernel, "module", at)?;
    let ranges = ranges(kernel, &module);
    let text = |path| {
        let at = module.pointer(path).ok().filter(|at| at.0 != 0)?;
        Some(kernel.string(at, MAX_VERSION)).filter(|text| !text.is_empty())
    };
    let build_id = build_id::of(kernel, &module, &ranges, budget);
    Ok(Module {
        name: module.text("name", MAX_NAME)?,
        at,
        state: state(module.u64("state")?),
        size: (!ranges.is_empty())
            .then(|| ranges.iter().fold(0, |sum, range| range.size.saturating_add(sum))),
        ranges,
        taints: module.u64("taints").ok().map(|mask| taint::letters(kernel, mask)),
        users: None,
        // The kernel itself holds one for as long as a module is there.
        references: module
            .i32("refcnt.counter")
            .ok()
            .map(|count| i64::from(count).saturating_sub(1)),
        version: text("version"),
        source_version: text("srcversion"),
        build_id: build_id.map(|id| id.to_string()),
        kallsyms: symbols(kernel, &module).ok(),
        orc: orc(&module),
    })
}

/// Where the modules are that use a module, and what is wrong with the list of them.
///
/// Returns `None` if the kernel does not keep it, or its layout is not known.
pub(super) fn users(
    kernel: &Kernel,
    module: &Module,
    budget: &Budget,
) -> Option<(Vec<VirtAddr>, Option<String>)> {
    let object = Object::at(kernel, "module", module.at).ok()?;
    // Kernels that cannot unload modules have no such list.
    let head = object.address_of("source_list").ok()?;
    let what = format!("users of module {}", module.name);
    let of = ListOf { structure: "module_use", member: "source_list", what: &what };
    let mut list = kernel.list(head, of, budget).ok()?;
    if list.nodes.len() > MAX_USERS {
        list.nodes.truncate(MAX_USERS);
        list.finding = Some(format!("only {MAX_USERS} {what} are listed"));
    }
    let user = |at: VirtAddr| Object::at(kernel, "module_use", at).ok()?.pointer("source").ok();
    Some((list.nodes.into_iter().filter_map(user).collect(), list.finding))
}

fn state(value: u64) -> ModuleState {
    match value {
        0 => ModuleState::Live,
        1 => ModuleState::Coming,
        2 => ModuleState::Going,
        3 => ModuleState::Unformed,
        other => ModuleState::Unknown(other),
    }
}

/// `mem[]`; before Linux commit ac3b43283923 "module: replace `module_layout` with `module_memory`" (in
/// v6.4), `core_layout` and `init_layout` with code first.
fn ranges(kernel: &Kernel, module: &Object<'_>) -> Vec<ModuleRange> {
    let Ok(types) = kernel.types() else { return Vec::new() };
    let mut ranges = Vec::new();
    let mut add = |base: u64, size: u64, kind| {
        if base != 0 && size > 0 && size <= MAX_RANGE {
            ranges.push(ModuleRange { base: VirtAddr(base), size, kind });
        }
    };
    let count = types.field("module", "mem").ok().and_then(|mem| mem.elements);
    let names = types.enumerators("mod_mem_type").unwrap_or_default();
    for index in 0..count.unwrap_or_default().min(MAX_RANGES) {
        let name = names.iter().find(|(_, value)| *value == i64::from(index));
        let kind = match name.map(|(name, _)| name.as_str()) {
            Some("MOD_TEXT") => RangeKind::Text,
            Some("MOD_DATA" | "MOD_RODATA" | "MOD_RO_AFTER_INIT") => RangeKind::Data,
            Some("MOD_INIT_TEXT") => RangeKind::InitText,
            Some("MOD_INIT_DATA" | "MOD_INIT_RODATA") => RangeKind::InitData,
            _ => RangeKind::Other,
        };
        let base = module.u64(&format!("mem[{index}].base")).unwrap_or_default();
        add(base, module.u64(&format!("mem[{index}].size")).unwrap_or_default(), kind);
    }
    for (layout, text, data) in [
        ("core_layout", RangeKind::Text, RangeKind::Data),
        ("init_layout", RangeKind::InitText, RangeKind::InitData),
    ] {
        let part = |name| module.u64(&format!("{layout}.{name}")).unwrap_or_default();
        let (base, size) = (part("base"), part("size"));
        let code = part("text_size").min(size);
        add(base, code, text);
        add(base.wrapping_add(code), size.saturating_sub(code), data);
    }
    ranges
}

fn symbols(kernel: &Kernel, module: &Object<'_>) -> Result<ModuleSymbols, ObjectError> {
    let kallsyms = Object::at(kernel, "mod_kallsyms", module.pointer("kallsyms")?)?;
    Ok(ModuleSymbols {
        symtab: kallsyms.pointer("symtab")?,
        count: kallsyms.u64("num_symtab")?,
        strtab: kallsyms.pointer("strtab")?,
        typetab: kallsyms.pointer("typetab").ok().filter(|at| at.0 != 0),
    })
}

fn orc(module: &Object<'_>) -> Option<OrcTables> {
    let count = module.u64("arch.num_orcs").ok().filter(|count| *count > 0)?;
    let ips = module.pointer("arch.orc_unwind_ip").ok()?;
    Some(OrcTables { ips, entries: module.pointer("arch.orc_unwind").ok()?, count })
}
