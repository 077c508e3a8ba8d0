//! The modules that a kernel has loaded.
//!
//! ```text
//! modules ──list──► module ──► mem[], or core_layout and init_layout   where its code is
//!                          ──► kallsyms       its symbols
//!                          ──► arch.orc_*     its ORC tables
//!                          ──► source_list    its users
//! btf_modules ──list──► the types of each one that has any
//! ```
//!
//! Needs: types, and the symbol `modules`. Gives: the modules in the order of `lsmod`.
//! A module that cannot be read is a finding, and the others are listed.

mod build_id;
mod read;
mod sections;
mod types;

use std::collections::HashMap;

use vmcore_formats::addr::VirtAddr;

use super::Kernel;
use super::budget::{Budget, NODE};
use super::types::{ListOf, Object};

pub use sections::ModuleSection;
pub(super) use types::ModuleTypes;
pub use types::ModuleTypesError;

/// The most modules that are looked at.
const MAX_MODULES: usize = 4096;
/// The most users of all modules together that are looked at.
const MAX_ALL_USERS: u64 = 1 << 13;

/// A module.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// Where its `struct module` is.
    pub at: VirtAddr,
    /// Live, coming or going.
    pub state: ModuleState,
    /// Where it is in memory: code and data.
    pub ranges: Vec<ModuleRange>,
    /// How many bytes it has, as `lsmod` says. `None` if it is not known where it is.
    pub size: Option<u64>,
    /// Letters of how it taints the kernel; empty if it does not.
    pub taints: Option<String>,
    /// The names of the modules that use it.
    pub users: Option<Vec<String>>,
    /// Its reference count, without the one that the kernel itself holds.
    pub references: Option<i64>,
    /// Its version (`MODULE_VERSION`).
    pub version: Option<String>,
    /// The hash of its source (`srcversion`).
    pub source_version: Option<String>,
    /// Its build id, in hexadecimal.
    pub build_id: Option<String>,
    /// Where its symbols are.
    pub kallsyms: Option<ModuleSymbols>,
    /// Where its ORC tables are.
    pub orc: Option<OrcTables>,
}

/// A part of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleRange {
    /// Where it begins.
    pub base: VirtAddr,
    /// How many bytes it has. Never zero.
    pub size: u64,
    /// What is in it.
    pub kind: RangeKind,
}

impl ModuleRange {
    /// Whether an address is in it.
    pub fn contains(&self, at: VirtAddr) -> bool {
        at.is_in(self.base, self.size)
    }
}

/// What is in a part of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RangeKind {
    /// Code.
    Text,
    /// Data, whether it can be written or not.
    Data,
    /// Code that is freed once the module has started.
    InitText,
    /// Data that is freed then.
    InitData,
    /// A part that is not known here.
    Other,
}

/// `enum module_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleState {
    /// In use.
    Live,
    /// It is starting.
    Coming,
    /// It is being removed.
    Going,
    /// Not set up yet.
    Unformed,
    /// None of these.
    Unknown(u64),
}

/// Where a module's symbols are: `struct mod_kallsyms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleSymbols {
    /// The symbols, each as ELF has it (`Elf64_Sym`).
    pub symtab: VirtAddr,
    /// How many there are. As the kernel says: not checked.
    pub count: u64,
    /// Their names.
    pub strtab: VirtAddr,
    /// The letter of each one's type, where the kernel keeps it.
    pub typetab: Option<VirtAddr>,
}

/// Where a module's ORC tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrcTables {
    /// Where each entry's code begins: an `i32` each.
    pub ips: VirtAddr,
    /// The entries: six bytes each.
    pub entries: VirtAddr,
    /// How many there are. As the kernel says: not checked.
    pub count: u64,
}

/// The modules of a kernel.
#[derive(Clone, Debug, Default)]
pub struct Modules {
    /// The modules, the one loaded last first.
    pub modules: Vec<Module>,
    /// What is missing or wrong, as sentences.
    pub findings: Vec<String>,
    /// The number of each `struct module`'s module, by its address.
    by_address: HashMap<VirtAddr, usize>,
    /// Where parts of modules begin, and whose they are, by ascending address.
    by_start: Vec<(VirtAddr, usize)>,
}

impl Modules {
    /// Reads them.
    pub(super) fn of(kernel: &Kernel) -> Self {
        let mut all = Self::default();
        if let Err(error) = kernel.types() {
            all.findings.push(format!("modules cannot be listed: {error}"));
            return all;
        }
        let Some(head) = kernel.symbol("modules") else {
            all.findings
                .push("modules cannot be listed: where their list is is not known".to_owned());
            return all;
        };
        let of = ListOf { structure: "module", member: "list", what: "modules" };
        // Of modules, and the data that is looked through.
        let budget = Budget::of_walk();
        let list = match kernel.list(head, of, &budget) {
            Ok(list) => list,
            Err(error) => {
                all.findings.push(format!("modules cannot be listed: {error}"));
                return all;
            }
        };
        all.findings.extend(list.finding);
        if list.nodes.len() > MAX_MODULES {
            all.findings.push(format!("there are more than {MAX_MODULES} modules"));
        }
        for at in list.nodes.into_iter().take(MAX_MODULES) {
            match read::module(kernel, at, &budget) {
                Ok(module) => all.modules.push(module),
                Err(error) => {
                    all.findings.push(format!("the module at {at} cannot be read: {error}"));
                }
            }
        }
        all.index();
        all.add_users(kernel, &Budget::of(MAX_ALL_USERS.saturating_mul(NODE)));
        all
    }

    /// The module that an address is in, code or data.
    pub fn containing(&self, at: VirtAddr) -> Option<&Module> {
        let index = self.by_start.partition_point(|(start, _)| *start <= at).checked_sub(1)?;
        let module = self.modules.get(self.by_start.get(index)?.1)?;
        module.ranges.iter().any(|range| range.contains(at)).then_some(module)
    }

    /// Whether there is a `struct module` at an address.
    pub(super) fn has(&self, at: VirtAddr) -> bool {
        self.by_address.contains_key(&at)
    }

    /// A module by its name.
    pub fn named(&self, name: &str) -> Option<&Module> {
        self.modules.iter().find(|module| module.name == name)
    }

    fn index(&mut self) {
        let numbers = self.modules.iter().enumerate();
        self.by_address = numbers.map(|(number, module)| (module.at, number)).collect();
        let starts = self.modules.iter().enumerate().flat_map(|(number, module)| {
            module.ranges.iter().map(move |range| (range.base, number))
        });
        self.by_start = starts.collect();
        self.by_start.sort_unstable();
    }

    fn add_users(&mut self, kernel: &Kernel, budget: &Budget) {
        let mut all_users = Vec::with_capacity(self.modules.len());
        for module in &self.modules {
            let Some((users, finding)) = read::users(kernel, module, budget) else {
                all_users.push(None);
                continue;
            };
            self.findings.extend(finding);
            let name = |at: VirtAddr| {
                let known = self.by_address.get(&at).and_then(|number| self.modules.get(*number));
                known.map(|module| module.name.clone()).or_else(|| {
                    let module = Object::at(kernel, "module", at).ok()?;
                    module.text("name", read::MAX_NAME).ok()
                })
            };
            all_users.push(Some(users.into_iter().filter_map(name).collect()));
        }
        for (module, users) in self.modules.iter_mut().zip(all_users) {
            module.users = users;
        }
    }
}

#[cfg(test)]
mod tests;
