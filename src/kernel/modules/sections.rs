//! The sections of a module's file, and where each is in memory.
//!
//! ```text
//! module.sect_attrs ──► attrs[nsections]    address, and the name in battr.attr or of its own
//!                   ──► grp.bin_attrs[]     private, attr.name; a null pointer ends them
//! module.percpu                             .data..percpu, which is not among them
//! ```
//!
//! The kernel keeps them for `/sys/module/NAME/sections`. Linux commit d8959b947a8d "module:
//! sysfs: Drop member `module_sect_attrs::nsections`" (in v6.14) changed how they are counted. Where
//! there are none, the parts of the module are its sections.

use vmcore_formats::addr::VirtAddr;

use super::{Module, RangeKind};
use crate::kernel::Kernel;
use crate::kernel::types::{Object, ObjectError};

/// The most sections of a module that are looked at. The largest have some 100.
const MAX_SECTIONS: u64 = 512;
/// The longest name.
const MAX_NAME: usize = 64;
/// The most per-CPU memory of a module. Linux has 8 KiB for all of them.
const MAX_PER_CPU: u64 = 1 << 20;
/// The section of per-CPU variables.
pub(super) const PER_CPU: &str = ".data..percpu";

/// A section of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSection {
    /// Its name: printable ASCII.
    pub name: String,
    /// Where it is. Per-CPU variables: what an offset of a CPU is added to.
    pub at: VirtAddr,
    /// How many bytes there are up to the next section, or the end of the part that it is in.
    pub size: u64,
}

impl ModuleSection {
    /// Whether an address is in it.
    pub fn contains(&self, at: VirtAddr) -> bool {
        at.is_in(self.at, self.size)
    }
}

impl Kernel {
    /// The sections of a module that are in memory, by ascending address. No two have one name.
    pub fn module_sections(&self, module: &Module) -> Vec<ModuleSection> {
        let mut found = listed(self, module).unwrap_or_default();
        found.retain(|(_, at)| module.ranges.iter().any(|range| range.contains(*at)));
        if !found.iter().any(|(name, _)| name == ".text") {
            found = by_ranges(module);
        }
        found.sort_by_key(|(_, at)| *at);
        let ends: Vec<VirtAddr> = found.iter().skip(1).map(|(_, at)| *at).collect();
        let mut sections: Vec<ModuleSection> = Vec::new();
        for (number, (name, at)) in found.into_iter().enumerate() {
            let range = module.ranges.iter().find(|range| range.contains(at));
            let Some(range) = range else { continue };
            let end = range.base.saturating_add(range.size);
            let end = ends.get(number).copied().unwrap_or(end).min(end);
            let size = end.0.saturating_sub(at.0);
            if size > 0 && !sections.iter().any(|other| other.name == name) {
                sections.push(ModuleSection { name, at, size });
            }
        }
        sections.retain(|section| section.name != PER_CPU);
        sections.extend(per_cpu(self, module).ok().flatten());
        sections.sort_by_key(|section| section.at);
        sections
    }
}

/// Names and addresses, as the kernel lists them.
fn listed(kernel: &Kernel, module: &Module) -> Result<Vec<(String, VirtAddr)>, ObjectError> {
    let types = kernel.types().map_err(Clone::clone)?;
    let all = Object::at(kernel, "module", module.at)?.to("sect_attrs", "module_sect_attrs")?;
    let mut found = Vec::new();
    let mut add = |name: VirtAddr, at: VirtAddr| {
        let name = kernel.string(name, MAX_NAME);
        if name.starts_with('.') || name.starts_with('_') {
            let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
            if printable && name.len() < MAX_NAME {
                found.push((name, at));
            }
        }
    };
    if all.has("nsections") {
        let count = all.u64("nsections")?.min(MAX_SECTIONS);
        let first = all.address_of("attrs")?;
        let size = types.size("module_sect_attr")?;
        let path = ["battr.attr.name", "name"];
        let path = path.into_iter().find(|path| types.has("module_sect_attr", path));
        for number in 0..count {
            let at = first.saturating_add(size.saturating_mul(number));
            let section = Object::at(kernel, "module_sect_attr", at)?;
            let name = section.pointer(path.unwrap_or("name"))?;
            add(name, section.pointer("address")?);
        }
        return Ok(found);
    }
    let path = ["grp.bin_attrs", "grp.bin_attrs_new"].into_iter().find(|path| all.has(path));
    let list = all.pointer(path.unwrap_or("grp.bin_attrs"))?;
    for number in 0..MAX_SECTIONS {
        let mut bytes = [0; 8];
        let entry = list.saturating_add(number.saturating_mul(8));
        if kernel.space.read(entry, &mut bytes).is_err() {
            break;
        }
        let at = VirtAddr(kernel.space.endian().number(&bytes).unwrap_or_default());
        if at.0 == 0 {
            break;
        }
        let section = Object::at(kernel, "bin_attribute", at)?;
        add(section.pointer("attr.name")?, section.pointer("private")?);
    }
    Ok(found)
}

/// A section for each part of the module.
fn by_ranges(module: &Module) -> Vec<(String, VirtAddr)> {
    let mut found: Vec<(String, VirtAddr)> = Vec::new();
    for range in &module.ranges {
        let name = match range.kind {
            RangeKind::Text => ".text",
            RangeKind::InitText => ".init.text",
            RangeKind::InitData => ".init.data",
            RangeKind::Data | RangeKind::Other => ".data",
        };
        let same = found.iter().filter(|(other, _)| other.starts_with(name)).count();
        let name = if same > 0 { format!("{name}.{same}") } else { name.to_owned() };
        found.push((name, range.base));
    }
    found
}

fn per_cpu(kernel: &Kernel, module: &Module) -> Result<Option<ModuleSection>, ObjectError> {
    let object = Object::at(kernel, "module", module.at)?;
    let (at, size) = (object.pointer("percpu")?, object.u64("percpu_size")?);
    let sound = at.0 != 0 && size > 0 && size <= MAX_PER_CPU;
    Ok(sound.then(|| ModuleSection { name: PER_CPU.to_owned(), at, size }))
}
